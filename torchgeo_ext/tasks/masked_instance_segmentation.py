"""Outlines of single objects, on rasters of one's own."""

from timm.models import adapt_input_conv
from torch import nn
from torchgeo.tasks import InstanceSegmentation
from torchgeo.tasks.utils import GeneralizedRCNNTransformNoOp
from torchvision.models import WeightsEnum
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.tasks._objects import JudgedMasks, let_learn

#: Sides of anchors in pixels, by level: half of torchvision's, as objects from above are small.
_ANCHORS = ((16,), (32,), (64,), (128,), (256,))
_ASPECTS = ((0.5, 1.0, 2.0),) * len(_ANCHORS)
_KINDS = ('resnet', 'resnext', 'wide_resnet')


class MaskedInstanceSegmentation(JudgedMasks, InstanceSegmentation):
    """TorchGeo's task, with what learning from one's own layers needs.

    Mask R-CNN (He, K., Gkioxari, G., Dollar, P., Girshick, R. (2017). ICCV.
    https://arxiv.org/abs/1703.06870) with any ResNet of torchvision and anchors of half the usual
    size. Objects outside of the land held out do not count in validation, as many objects of an
    image as there are do, and a backbone without weights to start from learns in all its layers.
    """

    predicts = 'instance_segmentation'

    def __init__(
        self,
        model: str = 'mask-rcnn',
        backbone: str = 'resnet50',
        weights_backbone: WeightsEnum | str | None = None,
        in_channels: int = 3,
        num_classes: int = 91,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new MaskedInstanceSegmentation instance.

        Args:
            model: ``mask-rcnn``.
            backbone: A ResNet of torchvision: ``resnet18``, ``resnet50``, ``resnext50_32x4d``, ...
            weights_backbone: Weights of the backbone to start from.
            in_channels: Bands of the images.
            num_classes: Number of classes and the background.
            lr: Learning rate.
            patience: Epochs without a better score until the learning rate drops.
            freeze_backbone: Do not train the backbone.
        """
        # every argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights_backbone=weights_backbone)

    def configure_models(self) -> None:
        """Build the network.

        Raises:
            BadParameter: If model or backbone are not known.
        """
        model, backbone = self.hparams['model'], self.hparams['backbone']
        if model != 'mask-rcnn' or not backbone.startswith(_KINDS):
            raise BadParameter(
                f'model is {model!r} with backbone {backbone!r}.',
                'Choose mask-rcnn and a ResNet of torchvision, such as resnet18 or resnet50.',
            )
        encoder = resnet_fpn_backbone(backbone_name=backbone, weights=self.weights_backbone)
        self.model = MaskRCNN(
            encoder,
            self.hparams['num_classes'],
            rpn_anchor_generator=AnchorGenerator(_ANCHORS, _ASPECTS),
        )
        self.model.transform = GeneralizedRCNNTransformNoOp()
        first = encoder.body.conv1
        bands = self.hparams['in_channels']
        first.weight = nn.Parameter(adapt_input_conv(bands, first.weight))
        first.in_channels = bands
        if self.hparams['freeze_backbone']:
            encoder.requires_grad_(False)
        elif not self.weights_backbone:
            let_learn(encoder.body)
