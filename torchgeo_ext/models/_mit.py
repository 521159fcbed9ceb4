"""The mix transformer (MiT) encoders of SegFormer, from segmentation_models_pytorch.

Xie, E. et al. (2021). SegFormer: simple and efficient design for semantic segmentation with
transformers. NeurIPS. https://arxiv.org/abs/2105.15203
"""

from typing import Literal

from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

from torchgeo_ext.models._weights import fetching_imagenet_weights

#: Channels of the four stages, at 1/4 to 1/32 of the resolution; the same for all encoders but b0.
MIT_WIDTHS = (64, 128, 320, 512)

MitSize = Literal['b1', 'b2', 'b3', 'b4', 'b5']


def mix_transformer(size: MitSize, in_chans: int = 3, imagenet: bool = False) -> nn.Module:
    """Build an encoder; :func:`stages` runs it.

    Args:
        size: From ``b1`` to ``b5``.
        in_chans: Bands of the image.
        imagenet: Whether to start from NVIDIA's ImageNet weights (for non-commercial use).

    Raises:
        MissingWeights: If these are not here and cannot be downloaded.
    """
    name = f'mit_{size}'
    with fetching_imagenet_weights(name):
        encoder: nn.Module = get_encoder(
            name, in_channels=in_chans, weights='imagenet' if imagenet else None
        )
    return encoder


def stages(encoder: nn.Module, image: Tensor) -> list[Tensor]:
    """Give the features (b, c, h/4, w/4) to (b, c, h/32, w/32) of an image (b, c, h, w)."""
    # the library puts the image and an empty map at 1/2 in front
    features: list[Tensor] = encoder(image)
    return features[2:]
