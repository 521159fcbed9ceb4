"""VMamba, an image backbone of state space models that scan in four directions.

Liu, Y., Tian, Y., Zhao, Y., Yu, H., Xie, L., Wang, Y., Ye, Q., Jiao, J., Liu, Y. (2024). VMamba:
visual state space model. NeurIPS. https://arxiv.org/abs/2401.10166

Axes: b batch, h height, w width, c channels.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torchvision.transforms.v2 as T
from einops import rearrange
from einops.layers.torch import Rearrange, Reduce
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.layers import VSSBlock
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.features import Backbone, Stage

#: For values from 0 to 255, in the order red, green, blue.
IMAGENET = T.Normalize(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

#: Makes a block of its channels and its probability of being left out during training.
MakeBlock = Callable[[int, float], nn.Module]

#: Convolution that sees the bands.
FIRST_LAYER = 'patch_embed.0.weight'


class VMambaSize(NamedTuple):
    """What the published sizes differ in.

    Attributes:
        width: Channels of the first stage; each following stage has twice as many.
        depths: Blocks of each stage.
        drop_path: Probability of leaving out the last block during training.
    """

    width: int
    depths: tuple[int, ...]
    drop_path: float

    @property
    def dims(self) -> list[int]:
        """Channels of all stages, fine to coarse."""
        return [self.width * 2**stage for stage in range(len(self.depths))]


SIZES = {
    'tiny': VMambaSize(96, (2, 2, 4, 2), 0.2),
    'small': VMambaSize(96, (2, 2, 15, 2), 0.3),
    'base': VMambaSize(128, (2, 2, 15, 2), 0.6),
}


def _imagenet(size: str, url: str, **meta: str) -> Weights:
    return Weights(
        url=url,
        transforms=IMAGENET,
        meta={
            'model': f'vmamba_{size}',
            'dataset': 'ImageNet-1k',
            'in_chans': 3,
            'bands': ('R', 'G', 'B'),
            'publication': 'https://arxiv.org/abs/2401.10166',
            'repo': 'https://github.com/MzeroMiko/VMamba',
            'license': 'MIT (that of the code)',
            **meta,
        },
    )


_ZENODO = 'https://zenodo.org/records/15479555/files'
_RELEASE = 'https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls'


class VMamba_Weights(WeightsEnum):
    """Published weights of the backbone, trained on ImageNet-1k."""

    IMAGENET_TINY = _imagenet(
        'tiny',
        f'{_ZENODO}/vssm_tiny_0230_ckpt_epoch_262.pth',
        md5='d64653bba8f6e5c0d6f4ac6275e1be61',
    )
    IMAGENET_SMALL = _imagenet('small', f'{_RELEASE}/vssm_small_0229_ckpt_epoch_222.pth')
    IMAGENET_BASE = _imagenet(
        'base',
        f'{_ZENODO}/vssm_base_0229_ckpt_epoch_237.pth',
        md5='3e4110259f482f552dc70abcf3381e71',
    )


class _Stage(nn.Module):
    """Blocks of one width, and the step to the next."""

    def __init__(self, width: int, drop_paths: list[float], last: bool, block: MakeBlock) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(block(width, rate) for rate in drop_paths))
        self.downsample = nn.Sequential(
            *([] if last else [Rearrange('b h w c -> b c h w'), *_halve(width, 2 * width)])
        )

    def mix(self, x: Tensor, *text: Tensor) -> Tensor:
        """Let all blocks see an image (b, h, w, c), and a text (b, f) if they are made for one."""
        for block in self.blocks:
            x = block(x, *text)
        return x


class _Stages(nn.Module):
    """The stages, by the names of the published code."""

    def __init__(self, size: VMambaSize, in_chans: int, block: MakeBlock = VSSBlock) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(
            nn.Conv2d(in_chans, size.width // 2, 3, stride=2, padding=1),
            Rearrange('b c h w -> b h w c'),
            nn.LayerNorm(size.width // 2),
            Rearrange('b h w c -> b c h w'),
            nn.GELU(),
            *_halve(size.width // 2, size.width),
        )
        rates = iter(np.linspace(0, size.drop_path, sum(size.depths)).tolist())
        self.layers = nn.ModuleList(
            _Stage(width, [next(rates) for _ in range(depth)], width == size.dims[-1], block)
            for width, depth in zip(size.dims, size.depths, strict=True)
        )
        accept_published_names(self, own_names)

    def stages(self, x: Tensor, *text: Tensor) -> Iterator[Tensor]:
        """Give what each stage makes of images (b, c, h, w): (b, h/4, w/4, c) and coarser."""
        x = self.patch_embed(x)
        for stage in self.layers:
            assert isinstance(stage, _Stage)
            x = stage.mix(x, *text)
            yield x
            x = stage.get_submodule('downsample')(x)


def _halve(channels: int, following: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, following, 3, stride=2, padding=1),
        Rearrange('b c h w -> b h w c'),
        nn.LayerNorm(following),
    ]


class VMamba(_Stages, Backbone):
    """VMamba as a backbone.

    Args:
        size: Width and depth.
        in_chans: Bands of the images.
        block: Makes a block of its channels and its probability of being left out.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, block: MakeBlock = VSSBlock) -> None:
        super().__init__(size, in_chans, block)
        self.feature_info = tuple(Stage(width, 4 << n) for n, width in enumerate(size.dims))
        for number, width in enumerate(size.dims):
            self.add_module(f'outnorm{number}', nn.LayerNorm(width))

    def forward(self, x: Tensor, *text: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            x: Images (b, c, h, w), normalised.
            *text: Features of a text for each image (b, f), if the backbone is made for them.

        Returns:
            Features of each stage, (b, c, h/4, w/4) to (b, 8 c, h/32, w/32), rounded up.
        """
        return self.feature_maps(x, *text)

    def feature_maps(self, x: Tensor, *text: Tensor) -> list[Tensor]:
        """See :class:`~torchgeo_ext.models.features.Backbone`."""
        return [
            rearrange(self.get_submodule(f'outnorm{number}')(features), 'b h w c -> b c h w')
            for number, features in enumerate(self.stages(x, *text))
        ]


class VMambaClassifier(_Stages):
    """VMamba with the head it was trained with on ImageNet.

    Args:
        size: Width and depth.
        in_chans: Bands of the images.
        num_classes: Channels of the output.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, num_classes: int = 1000) -> None:
        super().__init__(size, in_chans)
        self.classifier = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(size.dims[-1]),
                pool=Reduce('b h w c -> b c', 'mean'),
                head=nn.Linear(size.dims[-1], num_classes),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Classify images (b, c, h, w): logits (b, k)."""
        *_, last = self.stages(x)
        return self.classifier(last)


#: Names of older versions of the published code and today's.
_RENAMED = {
    r'^patch_embed\.proj\.': 'patch_embed.0.',
    r'^patch_embed\.norm\.': 'patch_embed.2.',
    r'\.ln_1\.': '.norm.',
    r'\.self_attention\.': '.op.',
    r'^norm\.': 'classifier.norm.',
    r'^head\.': 'classifier.head.',
}
_LINEAR = re.compile(r'\.(in_proj|out_proj|fc1|fc2|head)\.weight$')


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename what older versions named otherwise, and make 1 x 1 convolutions linear layers."""
    own = {}
    for key, value in state.items():
        for old, new in _RENAMED.items():
            key = re.sub(old, new, key)
        own[key] = value.flatten(1) if _LINEAR.search(key) else value
    return own


def load_backbone(model: VMamba, size: str, weights: VMamba_Weights) -> None:
    """Load weights trained on ImageNet; what these lack, norms of features and texts, stays.

    Args:
        model: The backbone.
        size: Its size.
        weights: Weights of that size.

    Raises:
        BadParameter: If the weights are those of another size.
        MissingWeights: If they are not here and cannot be downloaded.
    """
    check_model(weights, f'vmamba_{size}')
    state = own_names(weights_of_checkpoint(read_state(weights)))
    encoder = {key: value for key, value in state.items() if not key.startswith('classifier.')}
    lacking = {
        key: value
        for key, value in model.state_dict().items()
        if key.startswith('outnorm') or '.op.text_' in key
    }
    load_fitting(model, lacking | encoder, bands=[FIRST_LAYER])


def vmamba_tiny(weights: VMamba_Weights | None = None, in_chans: int = 3) -> VMamba:
    """Build VMamba-Tiny, a backbone of 28 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2401.10166

    Args:
        weights: Published weights. Filters of the three colours are repeated and scaled for other
            numbers of bands.
        in_chans: Bands of the images.

    Returns:
        The model.

    Raises:
        BadParameter: If the weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('tiny', weights, in_chans)


def vmamba_small(weights: VMamba_Weights | None = None, in_chans: int = 3) -> VMamba:
    """Build VMamba-Small, 49 million parameters; see :func:`vmamba_tiny`."""
    return _build('small', weights, in_chans)


def vmamba_base(weights: VMamba_Weights | None = None, in_chans: int = 3) -> VMamba:
    """Build VMamba-Base, 88 million parameters; see :func:`vmamba_tiny`."""
    return _build('base', weights, in_chans)


def _build(size: str, weights: VMamba_Weights | None, in_chans: int) -> VMamba:
    model = VMamba(SIZES[size], in_chans)
    if weights:
        load_backbone(model, size, weights)
    return model
