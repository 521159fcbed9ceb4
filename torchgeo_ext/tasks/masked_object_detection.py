"""Detection of objects in upright boxes, on rasters of one's own."""

from torchgeo.tasks import ObjectDetection
from torchvision.models import WeightsEnum

from torchgeo_ext.tasks._objects import JudgedBoxes, let_learn


class MaskedObjectDetection(JudgedBoxes, ObjectDetection):
    """TorchGeo's task, with what learning from one's own layers needs.

    Objects outside of the land held out do not count in validation, as many objects of an image as
    there are do, and a backbone without weights to start from learns in all its layers.
    """

    predicts = 'detection'

    def __init__(
        self,
        model: str = 'faster-rcnn',
        backbone: str = 'resnet50',
        weights: WeightsEnum | str | None = None,
        in_channels: int = 3,
        num_classes: int = 2,
        trainable_layers: int = 3,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new MaskedObjectDetection instance.

        Args:
            model: ``faster-rcnn``, ``fcos`` or ``retinanet``.
            backbone: A ResNet of torchvision: ``resnet18``, ``resnet50``, ``resnext50_32x4d``, ...
            weights: Weights of the backbone to start from, those of torchvision, or their name
                there; ``DEFAULT`` for the best ones of ImageNet.
            in_channels: Bands of the images.
            num_classes: Number of classes and the background.
            trainable_layers: How many of the last layers of a backbone with weights learn, 0 to 5.
            lr: Learning rate.
            patience: Epochs without a better score until the learning rate drops.
            freeze_backbone: Do not train the backbone.
        """
        # every argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights=weights)

    def configure_models(self) -> None:
        """Build the network."""
        super().configure_models()
        backbone = self.model.backbone.body
        if self.hparams['freeze_backbone']:
            backbone.requires_grad_(False)  # TorchGeo's task lets the first layer learn
        elif not self.weights:
            let_learn(backbone)
