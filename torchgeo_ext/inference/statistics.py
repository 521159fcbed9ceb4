"""Statistics of the bands of rasters of any size, and the file they are kept in.

The file is JSON::

    {
      "format": "torchgeo_ext-statistics",
      "version": 1,
      "rasters": ["june.tif"],              names of the files, in order
      "bands": [
        {
          "name": "B04",                    description of the band, or "band 3"
          "wavelength": 0.665,              micrometres; null if unknown
          "valid": 10100, "missing": 0,     pixels looked at
          "mean": 0.1, "std": 0.05,         of valid stored values, of the population; null if none
          "minimum": 0.0, "maximum": 1.0,
          "quantiles": {"0.02": 0.01, ...},
          "quantiles_exact": true           if false, each has a relative error of 0.1 % at most
        }, ...
      ],
      "classes": [{"value": 1, "name": "forest", "pixels": 812}, ...]     where labels were given
    }
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.histogram import ValueHistogram
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.progress import Progress, silent

if TYPE_CHECKING:
    from torchgeo_ext.bundles import Band
    from torchgeo_ext.datasets._labels import Labels

#: Quantiles that are told unless others are asked for.
QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)

#: Values of all bands that are held at once.
_WINDOW_VALUES = 2**22

_FORMAT = 'torchgeo_ext-statistics'
_VERSION = 1


class Moments:
    """Mean, standard deviation, minimum and maximum of each band, exact in one pass.

    Chunks are combined as in Chan, Golub & LeVeque (1983), Algorithms for computing the sample
    variance, https://doi.org/10.1080/00031305.1983.10483115, all in float64.

    Args:
        bands: Number of bands.
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean = np.zeros(bands)
        self._squares = np.zeros(bands)
        self.minimum = np.full(bands, np.inf)
        self.maximum = np.full(bands, -np.inf)

    def add(self, values: NDArray[Any]) -> None:
        """Take in pixels, (c, n)."""
        number = values.shape[1]
        if number == 0:
            return
        exact = values.astype(np.float64)
        mean = exact.mean(1)
        squares = ((exact - mean[:, None]) ** 2).sum(1)
        total = self.count + number
        difference = mean - self.mean
        self._squares += squares + difference**2 * self.count * number / total
        self.mean = self.mean + difference * number / total
        self.count = total
        self.minimum = np.minimum(self.minimum, exact.min(1))
        self.maximum = np.maximum(self.maximum, exact.max(1))

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of the population."""
        return np.sqrt(self._squares / max(self.count, 1))

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation to divide by: 1 for a constant band, which then becomes 0."""
        deviation = self.deviation
        return np.where(deviation > 0, deviation, 1.0)


@dataclass(frozen=True)
class BandSummary:
    """Statistics of the stored values of one band.

    Args:
        name: Its description, or ``band 3``.
        valid: How many pixels have a value.
        missing: How many of the pixels looked at have none.
        mean: Mean; NaN, like all below, if there is no value.
        std: Standard deviation of the population.
        minimum: Smallest value.
        maximum: Largest value.
        quantiles: Value for each share, 0 to 1.
        quantiles_exact: Whether quantiles are exact; else their relative error is at most 0.1 %.
        wavelength: Centre in micrometres, if known.
    """

    name: str
    valid: int
    missing: int
    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: Mapping[float, float] = field(default_factory=dict)
    quantiles_exact: bool = True
    wavelength: float | None = None


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs.

    Args:
        value: Value of the class in the labels.
        name: Name for people.
        pixels: Number of pixels.
    """

    value: int
    name: str
    pixels: int


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of rasters.

    Args:
        bands: One summary for each band.
        classes: How often each class of the labels occurs, if there were labels.
        rasters: Names of the files.
    """

    bands: tuple[BandSummary, ...]
    classes: tuple[ClassCount, ...] = ()
    rasters: tuple[str, ...] = ()

    @property
    def mean(self) -> tuple[float, ...]:
        """What to subtract from each band."""
        return tuple(band.mean for band in self.bands)

    @property
    def std(self) -> tuple[float, ...]:
        """What to divide each band by: its standard deviation, 1 for a constant band."""
        return tuple(band.std if band.std > 0 else 1.0 for band in self.bands)

    def as_bands(self) -> 'tuple[Band, ...]':
        """Describe the bands as a model's card does.

        Raises:
            BadInput: If a band has no valid pixel.
        """
        from torchgeo_ext.bundles import Band

        empty = [band.name for band in self.bands if band.valid == 0]
        if empty:
            raise BadInput(
                f'statistics: {", ".join(empty)} of {", ".join(self.rasters)} has no valid pixel.',
                'Leave such bands out with bands.',
            )
        return tuple(
            Band(
                band.name,
                band.wavelength,
                mean=band.mean,
                std=std,
                minimum=band.minimum,
                maximum=band.maximum,
            )
            for band, std in zip(self.bands, self.std, strict=True)
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON file described at the head of this module, whole or not at all."""
        from torchgeo_ext.staging import staged

        written = {
            'format': _FORMAT,
            'version': _VERSION,
            'rasters': list(self.rasters),
            'bands': [_band_entry(band) for band in self.bands],
        }
        if self.classes:
            written['classes'] = [vars(entry) for entry in self.classes]
        with staged(path) as part:
            part.write_text(json.dumps(written, indent=2, allow_nan=False), encoding='utf-8')
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read such a file.

        Raises:
            BadInput: If it is none, or of a later version.
        """
        try:
            entry = json.loads(Path(path).read_text(encoding='utf-8'))
            known = entry['format'] == _FORMAT
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _no_statistics(path, f'{type(error).__name__}: {error}') from error
        if not known or entry.get('version') != _VERSION:
            found = f'{entry["format"]} {entry.get("version")}'
            raise _no_statistics(path, f'it is {found}, not {_FORMAT} {_VERSION}')
        try:
            return cls(
                bands=tuple(_band_summary(band) for band in entry['bands']),
                classes=tuple(ClassCount(**found) for found in entry.get('classes', ())),
                rasters=tuple(entry['rasters']),
            )
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise _no_statistics(path, f'{type(error).__name__}: {error}') from error


def _no_statistics(path: str | os.PathLike[str], reason: str) -> BadInput:
    return BadInput(
        f'{path} is no file of statistics ({reason}).', 'Make one with compute_statistics.'
    )


def _band_entry(band: BandSummary) -> dict[str, Any]:
    entry = {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in vars(band).items()
    }
    return {**entry, 'quantiles': {f'{q:g}': value for q, value in band.quantiles.items()}}


def _band_summary(entry: Mapping[str, Any]) -> BandSummary:
    numbers = ('mean', 'std', 'minimum', 'maximum')
    filled = {key: math.nan if entry[key] is None else float(entry[key]) for key in numbers}
    quantiles = {float(share): float(value) for share, value in entry['quantiles'].items()}
    return BandSummary(**{**entry, **filled, 'quantiles': quantiles})


def band_statistics(
    sources: Sequence[RasterSource],
    *,
    grids: Sequence[Grid] | None = None,
    mask: MaskSource | None = None,
    where: Callable[[Grid, Window], NDArray[np.bool_]] | None = None,
    labels: 'Labels | None' = None,
    quantiles: Sequence[float] = QUANTILES,
    progress: Progress = silent,
) -> BandStatistics:
    """Compute statistics of the stored values of all bands, window by window.

    A pixel counts for each band in which it is valid. Memory does not depend on the size of the
    rasters.

    Args:
        sources: The rasters, with the same bands.
        grids: The part of each that counts, made of its own pixels; all of it if not given.
        mask: Pixels that count.
        where: Told a grid and a window, gives the pixels (h, w) that count, for instance
            ``lambda grid, window: split.roles(grid, window) == TRAINING``.
        labels: Labels to count the classes of, where any band is valid.
        quantiles: Shares, 0 to 1.
        progress: Told how far it is.

    Raises:
        BadInput: If bands do not fit together, or nothing is valid.
        BadParameter: If a quantile is not between 0 and 1.
    """
    if not all(0 <= share <= 1 for share in quantiles):
        raise BadParameter(f'quantiles is {tuple(quantiles)}, but must be between 0 and 1.')
    described = [_look(source, number, grids) for number, source in enumerate(sources)]
    _check_bands(sources, described)
    types = [np.result_type(*kinds) for kinds in zip(*(d[2] for d in described), strict=True)]
    builder = StatisticsBuilder(described[0][1], types)
    counts = np.zeros(len(labels.classes) if labels else 0, np.int64)
    total = sum(grid.height * grid.width for grid, _, _ in described)
    done = 0
    for source, (grid, _, _) in zip(sources, described, strict=True):
        with ExitStack() as stack:
            reader = stack.enter_context(source.open(grid))
            masked = stack.enter_context(mask.open(grid)) if mask else None
            read_codes = labels.on(grid) if labels else None
            for window in grid.windows(_side(len(reader.bands))):
                progress(done / total, 'computing statistics')
                inside = np.ones((window.height, window.width), bool)
                if masked is not None:
                    inside &= masked.read(window)
                if where is not None:
                    inside &= where(grid, window)
                values, valid = reader.read_each(window)
                valid &= inside
                builder.add(values, valid, int(inside.sum()))
                if read_codes is not None:
                    codes = read_codes(window)[valid.any(0)]
                    counts += np.bincount(codes[codes >= 0], minlength=len(counts))
                done += window.height * window.width
    progress(1.0)
    found = zip(labels.classes if labels else (), counts.tolist(), strict=True)
    return builder.build(
        [Path(source.path).name for source in sources],
        quantiles,
        [ClassCount(entry.value, entry.name, number) for entry, number in found],
        argument=sources[0].argument,
    )


def _look(
    source: RasterSource, number: int, grids: Sequence[Grid] | None
) -> tuple[Grid, tuple[tuple[str, float | None], ...], tuple[np.dtype[Any], ...]]:
    """Read the grid to use, and name, wavelength and type of each band."""
    from torchgeo_ext.sensors import identify_bands, read_bands

    with source.open() as reader:
        dataset = reader.dataset
        found, known = read_bands(dataset), identify_bands(dataset)
        described = []
        for index in reader.bands:
            band, own = found[index - 1], known[index - 1]
            name = band.name or (own.name if own else f'band {index}')
            described.append((name, band.wavelength or (own.wavelength if own else None)))
        types = tuple(np.dtype(dataset.dtypes[index - 1]) for index in reader.bands)
        return grids[number] if grids else reader.grid, tuple(described), types


def _check_bands(sources: Sequence[RasterSource], described: Sequence[Any]) -> None:
    first = described[0][1]
    for source, (_, bands, _) in zip(sources, described, strict=True):
        if len(bands) != len(first):
            raise BadInput(
                f'{source.argument}: {sources[0].path} has {len(first)} bands, but {source.path} '
                f'has {len(bands)}.',
                'Give rasters with the same bands, or say which ones with bands.',
            )


def _side(bands: int) -> int:
    side = math.isqrt(_WINDOW_VALUES // bands)
    # whole blocks of tiled files are read once
    return max(64, side // 256 * 256 or side // 64 * 64)


class StatisticsBuilder:
    """Gathers statistics of bands part by part.

    Args:
        bands: Name, and centre wavelength in micrometres if known, of each band.
        types: Data type of each band.
    """

    def __init__(
        self, bands: Sequence[tuple[str, float | None]], types: Sequence[np.dtype[Any]]
    ) -> None:
        self._bands = bands
        self._moments = [Moments(1) for _ in bands]
        self._histograms = [ValueHistogram(kind) for kind in types]
        self._pixels = 0

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_], pixels: int) -> None:
        """Take in a part.

        Args:
            values: (c, ...).
            valid: Which of them are, of the same shape.
            pixels: How many pixels were looked at.
        """
        for part, there, moments, histogram in zip(
            values, valid, self._moments, self._histograms, strict=True
        ):
            chosen = part[there]
            moments.add(chosen[None])
            histogram.add(chosen)
        self._pixels += pixels

    def build(
        self,
        rasters: Sequence[str],
        quantiles: Sequence[float] = QUANTILES,
        classes: Sequence[ClassCount] = (),
        *,
        argument: str = 'image',
    ) -> BandStatistics:
        """Sum up.

        Args:
            rasters: What was looked at.
            quantiles: Shares, 0 to 1.
            classes: Pixels of each class.
            argument: The argument the rasters came from, for messages.

        Raises:
            BadInput: If no value is valid.
        """
        if not any(moments.count for moments in self._moments):
            raise BadInput(
                f'{argument}: no pixel of {", ".join(rasters)} is valid and inside of extent and '
                'mask.',
                'Check nodata values, extent and mask.',
            )
        return BandStatistics(tuple(self._summaries(quantiles)), tuple(classes), tuple(rasters))

    def _summaries(self, quantiles: Sequence[float]) -> Iterator[BandSummary]:
        for (name, wavelength), moments, histogram in zip(
            self._bands, self._moments, self._histograms, strict=True
        ):
            some = moments.count > 0
            low, high = float(moments.minimum[0]), float(moments.maximum[0])
            yield BandSummary(
                name=name,
                valid=moments.count,
                missing=self._pixels - moments.count,
                mean=float(moments.mean[0]) if some else math.nan,
                std=float(moments.deviation[0]) if some else math.nan,
                minimum=low if some else math.nan,
                maximum=high if some else math.nan,
                # a bucket may reach beyond the values in it
                quantiles={q: min(max(histogram.quantile(q), low), high) for q in quantiles}
                if some
                else {},
                quantiles_exact=histogram.exact,
                wavelength=wavelength,
            )
