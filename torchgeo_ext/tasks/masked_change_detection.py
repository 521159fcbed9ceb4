"""Change detection from partly labelled pairs of rasters."""

from einops import rearrange
from torch import Tensor
from torchgeo.tasks import ChangeDetection

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.tasks._masked import FURTHER_DECODERS, MaskedLabels
from torchgeo_ext.tasks._registered import build_registered


class MaskedChangeDetection(MaskedLabels, ChangeDetection):
    """TorchGeo's task, with what learning from one's own layers needs.

    Every loss leaves out pixels without label (``ignore_index``), scores come from one confusion
    matrix, and ``model`` may be any decoder of segmentation_models_pytorch: besides TorchGeo's
    also ``deeplabv3``, ``fpn``, ``linknet``, ``manet``, ``pan``, ``pspnet`` and ``unet++``, which
    see both dates as one image; or a registered model that makes one map of a pair, such as
    ``bit`` or ``changeformer``, which brings its own backbone.
    """

    def configure_models(self) -> None:
        """Build the network."""
        # names are looked up when a task is made; the registry knows the tasks themselves too
        from torchgeo_ext import registry

        name, bands = self.hparams['model'], self.hparams['in_channels']
        classes = self.hparams['num_classes'] or self.hparams['num_labels'] or 1
        if name in FURTHER_DECODERS:
            self.model = FURTHER_DECODERS[name](
                encoder_name=self.hparams['backbone'],
                encoder_weights='imagenet' if self.weights is True else None,
                in_channels=2 * bands,
                classes=classes,
            )
        elif name in registry.models:
            if self.weights:
                raise BadParameter(
                    f'weights: {name} cannot start from {self.weights!r} here.',
                    'Leave weights out, or load a state_dict into the model of the task.',
                )
            self.model = build_registered(
                name, bands, {'num_classes': classes}, type(self).__name__
            )
        else:
            super().configure_models()

    @property
    def fuses_early(self) -> bool:
        """Whether the network takes both dates as one image."""
        from torchgeo_ext import registry

        model: str = self.hparams['model']
        return (
            not model.startswith('fcsiam') and model != 'changevit' and model not in registry.models
        )

    def forward(self, x: Tensor) -> Tensor:
        """Predict logits (b, k, h, w) from pairs (b, 2, c, h, w)."""
        if x.ndim == 5 and self.fuses_early:
            x = rearrange(x, 'b t c h w -> b (t c) h w')
        elif x.ndim == 4 and not self.fuses_early:
            # TorchGeo's step has joined the dates of a model it does not know
            x = rearrange(x, 'b (t c) h w -> b t c h w', t=2)
        scores: Tensor = self.model(x)
        return scores
