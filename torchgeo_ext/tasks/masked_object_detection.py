"""Detection of objects in upright boxes, on rasters of one's own."""

from typing import Any

from torchgeo.tasks import ObjectDetection
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.tasks._objects import JudgedBoxes, let_learn
from torchgeo_ext.tasks._registered import build_detector

#: Detectors of TorchGeo's task.
TORCHGEO = ('faster-rcnn', 'fcos', 'retinanet')


class MaskedObjectDetection(JudgedBoxes, ObjectDetection):
    """TorchGeo's task, with further detectors and what learning from one's own layers needs.

    Objects outside of the land held out do not count in validation, as many objects of an image as
    there are do, and a backbone without weights to start from learns in all its layers.
    """

    predicts = 'detection'

    def __init__(
        self,
        model: str = 'faster-rcnn',
        backbone: str = 'resnet50',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        num_classes: int = 2,
        trainable_layers: int = 3,
        model_args: dict[str, Any] | None = None,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new MaskedObjectDetection instance.

        Args:
            model: ``faster-rcnn``, ``fcos`` or ``retinanet`` on ResNets of torchvision; or a
                registered network that finds upright boxes, on any backbone: ``ssd``, ``centernet``
                or ``detr``.
            backbone: A ResNet of torchvision: ``resnet18``, ``resnet50``, ``resnext50_32x4d``, ...;
                for registered networks one of this package or TorchGeo, or ``tu-`` and a name of
                timm's.
            weights: Weights of the backbone to start from, those of torchvision or, for registered
                networks, published ones, or their name there; True for those of ImageNet, which
                are timm's for registered networks.
            in_channels: Bands of the images.
            num_classes: Number of classes and the background.
            trainable_layers: How many of the last layers of a ResNet of torchvision with weights
                learn, 0 to 5.
            model_args: Further arguments of a registered network and of its backbone, such as
                ``finest``, or ``bands`` where it goes by wavelengths.
            lr: Learning rate.
            patience: Epochs without a better score until the learning rate drops.
            freeze_backbone: Do not train the backbone.
        """
        # every argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights=weights)

    def configure_models(self) -> None:
        """Build the network.

        Raises:
            BadParameter: If there is no such network, or it does not take the arguments.
        """
        if self.hparams['model'] not in TORCHGEO:
            self.model = build_detector(self.hparams, self.weights, type(self).__name__)
            return
        if self.hparams['model_args']:
            raise BadParameter(
                f'model_args: {self.hparams["model"]} takes none.', 'Leave model_args out.'
            )
        self.weights = 'DEFAULT' if self.weights is True else self.weights or None
        super().configure_models()
        backbone = self.model.backbone.body
        if self.hparams['freeze_backbone']:
            backbone.requires_grad_(False)  # TorchGeo's task lets the first layer learn
        elif not self.weights:
            let_learn(backbone)
