"""The dual U-Net of HySCDG, for semantic change.

Benidir, Y., Gonthier, N., Mallet, C. (2025). The change you want to detect: semantic change
detection in Earth observation with hybrid data generation. CVPR. https://arxiv.org/abs/2503.15683

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Mapping
from typing import Literal

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from torchgeo_ext.models._pairs import SemanticChange, two_dates
from torchgeo_ext.models._weights import accept_published_names, fetching_imagenet_weights


class HySCDG(nn.Module):
    """Two U-Nets: one segments each date, one finds the change between them.

    The second sees both dates as one image; to its features, at all scales, the difference of the
    first one's features of the dates is added.

    The authors publish checkpoints pre-trained on FSC-180k (20 classes, RGB) at
    https://huggingface.co/Yanis236/FSC-Pretrained; ``load_state_dict`` takes them as they are.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the change output; 2 for unchanged and changed.
        semantic_classes: Land-cover classes.
        backbone: Encoder of both, by its name in segmentation_models_pytorch.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 2,
        semantic_classes: int = 20,
        backbone: str = 'resnet50',
        backbone_weights: Literal['imagenet'] | None = None,
    ) -> None:
        super().__init__()
        with fetching_imagenet_weights(backbone):
            self.change, self.semantic = (
                smp.Unet(
                    backbone, encoder_weights=backbone_weights, in_channels=bands, classes=classes
                )
                for bands, classes in ((2 * in_chans, num_classes), (in_chans, semantic_classes))
            )
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> SemanticChange:
        """Detect change and segment both dates.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits of change and of both dates' land cover.
        """
        height, width = x.shape[-2:]
        stride = self.change.encoder.output_stride
        before, after = two_dates(x, multiple=stride, smallest=2 * stride)
        both = self.change.encoder(torch.cat([before, after], dim=1))
        dates = [self.semantic.encoder(image) for image in (before, after)]
        # the first entry is the image itself
        features = [
            both[0],
            *(c + one - other for c, one, other in list(zip(both, *dates, strict=True))[1:]),
        ]
        logits = (
            _decode(self.change, features),
            *(_decode(self.semantic, features) for features in dates),
        )
        return SemanticChange(*(output[..., :height, :width] for output in logits))


def _decode(unet: smp.Unet, features: list[Tensor]) -> Tensor:
    logits: Tensor = unet.segmentation_head(unet.decoder(features))
    return logits


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring names of the published Lightning module to ours."""
    own = {}
    for key, value in state.items():
        for old, new in (('model.', 'change.'), ('seg_model.', 'semantic.')):
            if key.startswith(old):
                key = new + key.removeprefix(old)
                break
        own[key] = value
    return own


def hyscdg(
    in_chans: int = 3,
    num_classes: int = 2,
    semantic_classes: int = 20,
    backbone: str = 'resnet50',
    backbone_weights: Literal['imagenet'] | None = None,
) -> HySCDG:
    """Build the dual U-Net of HySCDG.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2503.15683

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the change output; 2 for unchanged and changed.
        semantic_classes: Land-cover classes; 20 for FSC-180k.
        backbone: Encoder of both U-Nets, by its name in segmentation_models_pytorch.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return HySCDG(in_chans, num_classes, semantic_classes, backbone, backbone_weights)
