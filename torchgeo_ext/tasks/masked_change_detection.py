"""Change detection from partly labelled pairs of rasters."""

from einops import rearrange
from torch import Tensor
from torchgeo.tasks import ChangeDetection

from torchgeo_ext.tasks._masked import FURTHER_DECODERS, MaskedLabels


class MaskedChangeDetection(MaskedLabels, ChangeDetection):
    """TorchGeo's task, with what learning from one's own layers needs.

    Every loss leaves out pixels without label (``ignore_index``), scores come from one confusion
    matrix, and ``model`` may be any decoder of segmentation_models_pytorch: besides TorchGeo's
    also ``deeplabv3``, ``fpn``, ``linknet``, ``manet``, ``pan``, ``pspnet`` and ``unet++``, which
    see both dates as one image.
    """

    def configure_models(self) -> None:
        """Build the network."""
        decoder = FURTHER_DECODERS.get(self.hparams['model'])
        if decoder is None:
            super().configure_models()
            return
        self.model = decoder(
            encoder_name=self.hparams['backbone'],
            encoder_weights='imagenet' if self.weights is True else None,
            in_channels=2 * self.hparams['in_channels'],
            classes=self.hparams['num_classes'] or self.hparams['num_labels'] or 1,
        )

    @property
    def fuses_early(self) -> bool:
        """Whether the network takes both dates as one image."""
        model: str = self.hparams['model']
        return not model.startswith('fcsiam') and model != 'changevit'

    def forward(self, x: Tensor) -> Tensor:
        """Predict logits (b, k, h, w) from pairs (b, 2, c, h, w)."""
        if x.ndim == 5 and self.fuses_early:
            x = rearrange(x, 'b t c h w -> b (t c) h w')
        scores: Tensor = self.model(x)
        return scores
