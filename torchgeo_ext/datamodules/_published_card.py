"""What a bundle says of published data: bands with their figures, and classes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from matplotlib.colors import to_hex
from torch import Tensor

from torchgeo_ext.bundles import Band, ModelClass
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datasets._maps import MapImages
from torchgeo_ext.datasets._pair_figure import Color


def published_card(
    dataset: object, mean: Tensor, std: Tensor, centres: Sequence[float | None] | None = None
) -> dict[str, Any]:
    """Describe the bands and the classes of a dataset.

    Args:
        dataset: The data; of other kinds than images with maps nothing is told.
        mean: Mean of each of its bands.
        std: Standard deviation of each.
        centres: Their centres in micrometres, if they are known.
    """
    if not isinstance(dataset, MapImages):
        return {}
    centres = centres or [None] * len(dataset.bands)
    bands = [
        dataclasses.asdict(Band(name, centre, mean=float(mean), std=float(std)))
        for name, centre, mean, std in zip(dataset.bands, centres, mean, std, strict=True)
    ]
    classes = [
        dataclasses.asdict(ModelClass(number, name, _hex(color)))
        for number, (name, color) in enumerate(zip(dataset.classes, dataset.colors, strict=True))
    ]
    return {DATA_CARD: {'bands': bands, 'classes': classes}}


def _hex(color: Color) -> str:
    if isinstance(color, str):
        return to_hex(color)
    red, green, blue = color
    return f'#{red:02x}{green:02x}{blue:02x}'
