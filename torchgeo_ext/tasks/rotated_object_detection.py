"""Detection of objects in boxes that lie as they do."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchvision.models import WeightsEnum

from torchgeo_ext.layers.rotated_boxes import corner_boxes
from torchgeo_ext.tasks._objects import JudgedRotatedBoxes
from torchgeo_ext.tasks._registered import build_detector


class RotatedObjectDetection(JudgedRotatedBoxes):
    """Learns rotated boxes, as in DOTA and STAR.

    A batch has ``image`` (b, c, h, w) and lists of ``bbox`` (m, 8), the corners x, y of boxes, and
    ``label`` (m), classes from 1. :class:`~torchgeo_ext.datamodules.ObjectDataModule` gives such
    ones.
    """

    predicts = 'detection'

    def __init__(
        self,
        model: str = 'rotatedfcos',
        backbone: str = 'resnet50',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        num_classes: int = 2,
        width: int = 256,
        finest: int = 8,
        model_args: dict[str, Any] | None = None,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new RotatedObjectDetection instance.

        Args:
            model: A registered network that finds rotated boxes: ``rotatedfcos``.
            backbone: Its encoder: a network of this package or TorchGeo, or ``tu-`` and a name of
                timm's.
            weights: Published weights of the backbone to start from, or their name; True for those
                of timm.
            in_channels: Bands of the images.
            num_classes: Number of classes and the background.
            width: Channels of pyramid and head.
            finest: Pixels, along one side, for each place that is looked at.
            model_args: Further arguments of the backbone, such as ``bands`` where it goes by
                wavelengths.
            lr: Learning rate.
            patience: Epochs without a better score until the learning rate drops.
            freeze_backbone: Do not train the backbone.
        """
        self.weights = weights
        super().__init__()

    def configure_models(self) -> None:
        """Build the network."""
        shape = {name: self.hparams[name] for name in ('width', 'finest')}
        self.model = build_detector(self.hparams, self.weights, type(self).__name__, **shape)

    def targets(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Give boxes (m, 5) and labels (m) of each image."""
        pairs = zip(batch['bbox'], batch['label'], strict=True)
        return [{'boxes': corner_boxes(c), 'labels': labels} for c, labels in pairs]
