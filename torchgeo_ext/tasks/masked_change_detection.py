"""Change detection from partly labelled pairs of rasters."""

from collections.abc import Sequence
from typing import Literal

from einops import rearrange
from torch import Tensor
from torchgeo.tasks import ChangeDetection
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput
from torchgeo_ext.tasks._further import build_further
from torchgeo_ext.tasks._masked import MaskedLabels
from torchgeo_ext.tasks._registered import freeze_parts


class MaskedChangeDetection(MaskedLabels, ChangeDetection):
    """TorchGeo's task, with what learning from one's own layers needs.

    Every loss leaves out pixels without label (``ignore_index``), scores come from one confusion
    matrix, and ``model`` may be any decoder of segmentation_models_pytorch: besides TorchGeo's
    also ``deeplabv3``, ``fpn``, ``linknet``, ``manet``, ``pan``, ``pspnet`` and ``unet++``, which
    see both dates as one image; or a registered model that makes one map of a pair, such as
    ``bit`` or ``changeformer``, which brings its own backbone.
    """

    def __init__(
        self,
        model: str = 'unet',
        backbone: str = 'resnet50',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        task: Literal['binary', 'multiclass', 'multilabel'] = 'binary',
        num_classes: int | None = None,
        num_labels: int | None = None,
        labels: list[str] | None = None,
        num_filters: int = 3,
        pos_weight: Tensor | None = None,
        loss: Literal['ce', 'bce', 'jaccard', 'focal', 'dice'] = 'bce',
        class_weights: Tensor | Sequence[float] | None = None,
        ignore_index: int | None = None,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
        freeze_decoder: bool = False,
    ) -> None:
        """Initialize a new MaskedChangeDetection instance.

        Args:
            model: Name of a network, see above; TorchGeo's task takes its own alone.
            backbone: Name of its encoder in timm or segmentation_models_pytorch.
            weights: Weights of the encoder to start from: True for those of ImageNet, or their
                name or file; for registered networks their name alone.
            in_channels: Bands of each image.
            task: ``binary``, ``multiclass`` or ``multilabel``.
            num_classes: Number of classes of ``multiclass``.
            num_labels: Number of labels of ``multilabel``.
            labels: Names of the classes.
            num_filters: Width of ``fcn``.
            pos_weight: Weight of positive pixels in ``bce``.
            loss: ``ce``, ``bce``, ``jaccard``, ``focal`` or ``dice``.
            class_weights: Weights of the classes in ``ce``.
            ignore_index: Marks pixels without label.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.
            freeze_backbone: Do not train the encoder.
            freeze_decoder: Do not train the decoder.
        """
        # every argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights=weights)

    def configure_models(self) -> None:
        """Build the network."""
        network = build_further(self.hparams, self.weights, type(self).__name__, dates=2)
        if network is None:
            super().configure_models()
            return
        self.model = network
        freeze_parts(self.model, self.hparams)

    @property
    def fuses_early(self) -> bool:
        """Whether the network takes both dates as one image."""
        from torchgeo_ext import registry

        model: str = self.hparams['model']
        return (
            not model.startswith('fcsiam') and model != 'changevit' and model not in registry.models
        )

    def forward(self, x: Tensor) -> Tensor:
        """Predict logits (b, k, h, w) from pairs (b, 2, c, h, w).

        Raises:
            BadInput: If there are other than two dates.
        """
        if x.ndim == 5 and x.shape[1] != 2:
            raise BadInput(
                f'image has the shape {tuple(x.shape)}: {x.shape[1]} dates instead of two.',
                'Choose two dates of each place.',
            )
        if x.ndim == 5 and self.fuses_early:
            x = rearrange(x, 'b t c h w -> b (t c) h w')
        elif x.ndim == 4 and not self.fuses_early:
            # TorchGeo's step has joined the dates of a model it does not know
            x = rearrange(x, 'b (t c) h w -> b t c h w', t=2)
        scores: Tensor = self.model(x)
        return scores
