"""AgriFM: a video transformer for maps of crops, which halves time together with space.

Li, W. et al. (2026). AgriFM: a multi-source temporal remote sensing foundation model for crop
mapping. Remote Sensing of Environment 334, 115234. https://arxiv.org/abs/2505.21357

Liu, Z. et al. (2022). Video Swin transformer. CVPR. https://arxiv.org/abs/2106.13230 (the blocks)

``load_state_dict`` takes files of the published code; the encoder also takes the released
pre-training as third parties describe it, since the file itself could not be opened for this.

Axes: b batch, t date, c band or channel, h height, w width, k classes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models._vss import enlarge
from torchgeo_ext.models._weights import (
    accept_published_names,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.features import Backbone, Stage
from torchgeo_ext.preprocessing import Preprocessing

#: Dates, rows and columns that attention sees at once.
_WINDOW = (8, 7, 7)
_DROP_PATH = 0.2


class VideoSwinSize(NamedTuple):
    """Size of an encoder.

    Attributes:
        width: Channels of the first stage; each following stage has twice as many.
        depths: Blocks of each stage.
        heads: Heads of their attention.
    """

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]


SIZES = {'base': VideoSwinSize(128, (2, 2, 18, 2), (4, 8, 16, 32))}


class AgriFMSensor(NamedTuple):
    """What is known of the series of a sensor beforehand.

    Attributes:
        in_chans: Its bands.
        dates: How many there are.
        patch: Dates, rows and columns that become one token.
    """

    in_chans: int = 10
    dates: int = 32
    patch: tuple[int, int, int] = (4, 2, 2)


_SENTINEL2 = Preprocessing(
    'digital numbers',
    # the order is not documented; that of the numbers, in groups of one resolution, tells it
    bands=('B2', 'B3', 'B4', 'B8', 'B5', 'B6', 'B7', 'B8A', 'B11', 'B12'),
    mean=(
        4179.192015478227, 4065.9106675194444, 3957.274910960156, 5207.452475253116, 4327.12234687,
        4873.16102239, 5049.1637925, 5111.07806856, 3056.86349163, 2490.9675032,
    ),
    std=(
        4041.5212325268735, 3691.003119315892, 3629.331318356375, 2973.5178530908756, 3569.73343885,
        3085.9151435, 2937.56005119, 2806.04462314, 1808.30013156, 1694.20220774,
    ),
    source='https://github.com/flyakon/AgriFM (configs/cropland_mapping.py)',
)  # fmt: skip


class AgriFM_Weights(WeightsEnum):
    """Published weights of AgriFM's encoder.

    The repository links a file on OneDrive; the address here is the one that others report. The
    file has first layers for Landsat (HLS, 6 bands) and MODIS (7 bands) as well, whose order of
    bands and statistics are not published.
    """

    SENTINEL2 = Weights(
        url='https://glass.hku.hk/casual/AgriFM/AgriFM.pth',
        transforms=_SENTINEL2.transform(),
        meta={
            'model': 'agrifm_encoder_base',
            'dataset': 'more than 25 million samples of Sentinel-2, Landsat and MODIS',
            'in_chans': 10,
            'bands': _SENTINEL2.bands,
            'preprocessing': _SENTINEL2,
            'publication': 'https://arxiv.org/abs/2505.21357',
            'repo': 'https://github.com/flyakon/AgriFM',
            'license': 'Apache-2.0 (that of the code)',
        },
    )


class _Halve(nn.Module):
    """Takes the mean of every two dates and joins every four pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, t, h, w, c) to (b, t/2, h/2, w/2, 2 c); zeros follow where sizes are odd."""
        dates, height, width = x.shape[1:4]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2, 0, dates % 2))
        x = reduce(x, 'b (t 2) h w c -> b t h w c', 'mean')
        x = rearrange(x, 'b t (h i) (w j) c -> b t h w (j i c)', i=2, j=2)
        halved: Tensor = self.reduction(self.norm(x))
        return halved


class _Layer(nn.Module):
    """Blocks of one width, and the step to the next."""

    def __init__(self, width: int, heads: int, rates: Sequence[float], last: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(_block(width, heads, number % 2 == 1, rate) for number, rate in enumerate(rates))
        )
        self.downsample = nn.Identity() if last else _Halve(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, t, h, w, c) to the input of the next layer."""
        halved: Tensor = self.downsample(self.blocks(x))
        return halved


def _block(width: int, heads: int, shifted: bool, drop_path: float) -> SwinTransformerBlock:
    block = SwinTransformerBlock(
        width,
        heads,
        window_size=list(_WINDOW),
        shift_size=[size // 2 if shifted else 0 for size in _WINDOW],
        stochastic_depth_prob=drop_path,
        attn_layer=ShiftedWindowAttention3d,
    )
    attention, index = block.attn, 'relative_position_index'
    # follows from the window: files need not tell it
    attention.register_buffer(index, attention.get_buffer(index), persistent=False)
    return block


class AgriFMEncoder(Backbone):
    """The encoder of a series, or of single images.

    As in the published code, dates that are missing to a whole patch, or to a whole pair, are zeros
    at the end.

    Args:
        size: Its size.
        in_chans: Bands of each date.
        patch: Dates, rows and columns that become one token.
    """

    def __init__(
        self, size: VideoSwinSize, in_chans: int = 10, patch: Sequence[int] = (4, 4, 4)
    ) -> None:
        super().__init__()
        if len(patch) != 3 or min(patch) < 1 or patch[1] != patch[2]:
            raise BadParameter(
                f'patch is {tuple(patch)}; it must be dates, rows and columns, these two alike.'
            )
        dates, side, _ = patch
        self.patch = (dates, side, side)
        self.patch_embed = nn.Conv3d(in_chans, size.width, self.patch, stride=self.patch)
        rates = torch.linspace(0, _DROP_PATH, sum(size.depths)).split(list(size.depths))
        last = len(size.depths) - 1
        self.layers = nn.ModuleList(
            _Layer(size.width << level, size.heads[level], rates[level].tolist(), level == last)
            for level in range(last + 1)
        )
        self.norm = nn.LayerNorm(size.width << last)
        self.feature_info = tuple(
            Stage(size.width << level, side << level) for level in range(last + 1)
        )
        self.apply(_start)
        accept_published_names(self, _encoder_names)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Encode series.

        Args:
            x: Images (b, t, c, h, w), normalised.

        Returns:
            Tokens (b, t', h', w', c) after the embedding and after each layer; all layers but the
            last one have halved the size already. The last ones are not normalised.
        """
        steps = (x.shape[-1], x.shape[-2], x.shape[1])
        missing = (-size % step for size, step in zip(steps, reversed(self.patch), strict=True))
        padding = [side for number in missing for side in (0, number)]
        tokens = self.patch_embed(F.pad(rearrange(x, 'b t c h w -> b c t h w'), padding))
        maps = [rearrange(tokens, 'b c t h w -> b t h w c')]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return maps

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give the embedding and three of the maps, the mean of their dates, the last normalised.

        Args:
            x: Images (b, c, h, w), or series (b, t, c, h, w), normalised.
        """
        *early, _, last = self.maps(x if x.ndim == 5 else x[:, None])
        return [reduce(each, 'b t h w c -> b c h w', 'mean') for each in (*early, self.norm(last))]

    def forward(self, x: Tensor) -> Tensor:
        """Give one vector (b, c) for each of the images or series, see :meth:`feature_maps`."""
        return self.embed(x)


def _start(layer: nn.Module) -> None:
    """Draw weights as the published code does."""
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _mix(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
    )


class _Neck(nn.Module):
    """Joins the sensors, and hands what is coarse down to finer maps.

    Args:
        widths: Channels of the maps of each sensor, fine to coarse.
    """

    def __init__(self, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        *finer, coarsest = [sum(level) for level in zip(*widths, strict=True)]
        width = widths[0][-1]
        self.in_conv = _mix(coarsest, width) if len(widths) > 1 else nn.Identity()
        self.fusion_list = nn.ModuleList(_mix(width + level, width) for level in reversed(finer))
        self.out_conv = _mix(width, width)
        self.width = width

    def forward(self, maps: Sequence[Tensor], like: Tensor) -> Tensor:
        """Give one map of the size of an image from maps (b, c, h, w), fine to coarse."""
        *finer, coarsest = maps
        x = self.in_conv(coarsest)
        for fuse, level in zip(self.fusion_list, reversed(finer), strict=True):
            x = fuse(torch.cat([enlarge(x, level), level], dim=1))
        return enlarge(self.out_conv(x), like)


class AgriFM(nn.Module):
    """The encoder of each sensor, a neck that joins them, and a head for crops.

    Dates become channels of what the neck sees, so that their number is part of the network.

    Args:
        sensors: What is known of the series of each sensor, by its name. Their patches are to have
            as many rows.
        size: Size of the encoders.
        num_classes: Channels of the output.

    Raises:
        BadParameter: If there is no sensor, or patches differ in rows.
    """

    def __init__(
        self, sensors: Mapping[str, AgriFMSensor], size: VideoSwinSize, num_classes: int = 2
    ) -> None:
        super().__init__()
        sides = {sensor.patch[1] for sensor in sensors.values()}
        if len(sides) != 1:
            raise BadParameter(
                f'sensors is {dict(sensors)}; there must be one or more, and their patches must '
                'have as many rows.'
            )
        self.sensors = dict(sensors)
        self._multiple = sides.pop() << (len(size.depths) - 1)
        self.encoders = nn.ModuleDict(
            {
                name: AgriFMEncoder(size, sensor.in_chans, sensor.patch)
                for name, sensor in sensors.items()
            }
        )
        self.neck = _Neck([_widths(size, sensor) for sensor in sensors.values()])
        self.head = nn.Sequential(
            nn.Conv2d(self.neck.width, self.neck.width // 2, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(self.neck.width // 2, num_classes, 1),
        )
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Map crops.

        Args:
            x: Series (b, t, c, h, w) of any height and width, normalised; by the names of the
                sensors if there are several, all on one grid. Where there is one date, images
                (b, c, h, w) will do.

        Returns:
            Logits (b, k, h, w).

        Raises:
            BadInput: If a series is missing, has other dates or bands, or another grid.
        """
        series = self._series(x)
        height, width = next(iter(series.values())).shape[-2:]
        encoded = []
        for name, each in series.items():
            encoder: Any = self.encoders[name]
            *early, _, last = encoder.maps(self._padded(each))
            encoded.append([*early, encoder.norm(last)])
        maps = [_dates_as_channels(level) for level in zip(*encoded, strict=True)]
        logits: Tensor = self.head(self.neck(maps, self._padded(each)))
        return logits[..., :height, :width]

    def _series(self, x: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        if isinstance(x, Tensor):
            x = {next(iter(self.sensors)): x}
        if missing := self.sensors.keys() - x.keys():
            raise BadInput(
                f'There is no series of {", ".join(sorted(missing))}.',
                f'Give series by their names: {", ".join(self.sensors)}.',
            )
        series = {name: x[name] for name in self.sensors}
        for name, each in series.items():
            if each.ndim == 4:
                series[name] = each = each[:, None]
            sensor = self.sensors[name]
            if each.ndim != 5 or each.shape[1:3] != (sensor.dates, sensor.in_chans):
                raise BadInput(
                    f'The series of {name} has the shape {tuple(each.shape)}, not (batch, '
                    f'{sensor.dates}, {sensor.in_chans}, height, width).',
                    'Give as many dates and bands as the model was built for.',
                )
        if len({each.shape[-2:] for each in series.values()}) != 1:
            sizes = {name: tuple(each.shape[-2:]) for name, each in series.items()}
            raise BadInput(
                f'The series have different heights and widths: {sizes}.',
                'Bring them onto one grid.',
            )
        return series

    def _padded(self, series: Tensor) -> Tensor:
        """Repeat the edge pixels below and to the right up to a pixel of the coarsest map."""
        bottom, right = (-size % self._multiple for size in series.shape[-2:])
        return F.pad(series, (0, right, 0, bottom, 0, 0), 'replicate')


def _widths(size: VideoSwinSize, sensor: AgriFMSensor) -> list[int]:
    """Channels of the maps of a sensor when its dates are channels too, fine to coarse."""
    dates = -(-sensor.dates // sensor.patch[0])
    widths = []
    for level in range(len(size.depths)):
        widths.append((size.width << level) * dates)
        dates = -(-dates // 2)
    return widths


def _dates_as_channels(maps: Sequence[Tensor]) -> Tensor:
    return torch.cat([rearrange(each, 'b t h w c -> b (c t) h w') for each in maps], dim=1)


#: Names of the published code and ours.
_RENAMED = {
    r'^encoders\.encoders\.': 'encoders.',
    r'\bpatch_emd\.proj\.': 'patch_embed.',
    r'\bbackbone\.': '',
    r'\.mlp\.fc1\.': '.mlp.0.',
    r'\.mlp\.fc2\.': '.mlp.3.',
    r'^heads\.head\.': 'head.',
}
#: The released pre-training, whose encoder has a first layer for each sensor.
_RELEASED = {r'^encoder\.': '', r'^S2_patch_emd\.weights?$': 'patch_embed.weight'}
_RELEASED |= {r'^S2_patch_emd\.bias$': 'patch_embed.bias'}
_OTHER_SENSORS = ('HLSL30_patch_emd', 'Modis_patch_emd')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return _renamed(state, _RENAMED)


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        for old, new in names.items():
            key = re.sub(old, new, key)
        if not key.endswith('relative_position_index'):
            own[key] = value
    return own


def _encoder_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the encoder alone, out of the released file too."""
    if any(key.startswith('encoder.') for key in state):
        state = {key: value for key, value in state.items() if key.startswith('encoder.')}
    own = _own_names(_renamed(state, _RELEASED))
    return {key: value for key, value in own.items() if not key.startswith(_OTHER_SENSORS)}


def _load(encoder: AgriFMEncoder, weights: AgriFM_Weights) -> None:
    state = _encoder_names(weights_of_checkpoint(read_state(weights)))
    state['patch_embed.weight'] = _fit_kernel(state['patch_embed.weight'], encoder.patch)
    load_fitting(encoder, state, ['patch_embed.weight'])


def _fit_kernel(filters: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Make filters (c, bands, t, h, w) for another patch, so that what they give keeps its size."""
    if filters.shape[2:] == patch:
        return filters
    resized = F.interpolate(filters, patch, mode='area')
    return resized * (filters[0, 0].numel() / resized[0, 0].numel())


def agrifm_base(
    weights: AgriFM_Weights | None = None,
    in_chans: int = 10,
    num_classes: int = 2,
    dates: int = 32,
    further_sensors: Mapping[str, AgriFMSensor] | None = None,
) -> AgriFM:
    """Build AgriFM for maps of crops, with patches of 4 dates and 2 x 2 pixels.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2505.21357

    Args:
        weights: Published weights of the encoder, for each of the sensors; the rest starts at
            random. Their first layer is fitted to other bands and to the patch, which was of 4 x 4
            pixels in the pre-training.
        in_chans: Bands of each date of the first sensor, which is called S2.
        num_classes: Channels of the output.
        dates: Dates of its series.
        further_sensors: What is known of series of further sensors, by their names: bands, dates
            and patch.

    Returns:
        The model.

    Raises:
        BadParameter: If patches differ in rows.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    sensors = {'S2': AgriFMSensor(in_chans, dates)}
    for name, sensor in (further_sensors or {}).items():
        sensors[name] = AgriFMSensor(*sensor)
    model = AgriFM(sensors, SIZES['base'], num_classes)
    if weights:
        for encoder in model.encoders.values():
            assert isinstance(encoder, AgriFMEncoder)
            _load(encoder, weights)
    return model


def agrifm_encoder_base(weights: AgriFM_Weights | None = None, in_chans: int = 10) -> AgriFMEncoder:
    """Build the encoder of AgriFM, with patches of 4 dates and 4 x 4 pixels.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2505.21357

    Args:
        weights: Published weights; the first layer is fitted to other bands.
        in_chans: Bands of each date.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    encoder = AgriFMEncoder(SIZES['base'], in_chans)
    if weights:
        _load(encoder, weights)
    return encoder
