"""What is known of a trained model, apart from its weights.

Nothing here needs torch, so that a model can be described without loading it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from torchgeo_ext.errors import BadParameter

if TYPE_CHECKING:
    from torchgeo_ext.cells import CellHierarchy

Task = Literal[
    'segmentation',
    'classification',
    'detection',
    'instance_segmentation',
    'change',
    'regression',
    'semantic_change',
    'building_damage',
    'map_update',
    'geolocation',
]
Activation = Literal['softmax', 'sigmoid', 'none']

#: The maps of models that give several. The first has one score, that of a yes; the others have
#: one per class.
SEVERAL_MAPS: Mapping[str, tuple[str, ...]] = {
    'semantic_change': ('change', 'before', 'after'),
    'building_damage': ('building', 'damage'),
    'map_update': ('change', 'after'),
}

#: Tasks whose models tell what objects there are.
DETECTING: tuple[Task, ...] = ('detection', 'instance_segmentation')

#: Names of the last bands of models that read where a tile lies too: of its middle, in degrees.
PLACE = ('longitude', 'latitude')

_COLOR = re.compile(r'#[0-9a-fA-F]{6}')


@dataclass(frozen=True)
class Band:
    """One band a model reads.

    Statistics are of the physical value, which is the stored value times ``scale`` plus
    ``offset``. The network sees (physical value - ``mean``) / ``std``, after the physical value was
    clipped and cut into steps where that was done in training.

    Args:
        name: Name as the sensor's users know it, for instance ``B04`` or ``red``.
        center_wavelength: In micrometres, if known.
        full_width_half_max: Width of the band in micrometres, if known.
        scale: Factor from stored to physical value.
        offset: Added after scaling.
        nodata: Stored value that stands for a missing pixel; may be NaN.
        mean: Mean of the physical value.
        std: Standard deviation of the physical value.
        minimum: Smallest physical value seen in training, if known.
        maximum: Largest physical value seen in training, if known.
        clip: Lowest and highest physical value; what lies beyond becomes these. None for none; all
            bands of a model have one, or none has.
        levels: Steps that ``clip`` was cut into, for instance 256 where training images were 8 bit;
            values are rounded down to them. 0 for none. The same for all bands.

    Raises:
        BadParameter: If a number cannot be used, such as a ``std`` of 0.
    """

    name: str
    center_wavelength: float | None = None
    full_width_half_max: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    mean: float = 0.0
    std: float = 1.0
    minimum: float | None = None
    maximum: float | None = None
    clip: tuple[float, float] | None = None
    levels: int = 0

    def __post_init__(self) -> None:
        _require(bool(self.name), 'name', self.name, 'a name')
        for key in ('scale', 'offset', 'mean', 'std', 'minimum', 'maximum'):
            value = getattr(self, key)
            _require(value is None or math.isfinite(value), key, value, 'a finite number')
        _require(self.scale != 0, 'scale', self.scale, 'other than 0')
        _require(
            self.std > 0, 'std', self.std, f'larger than 0 (does band {self.name} ever change?)'
        )
        for key in ('center_wavelength', 'full_width_half_max'):
            value = getattr(self, key)
            _require(
                value is None or 0 < value < 1e6, key, value, 'a positive number of micrometres'
            )
        low, high = self.clip or (0.0, 1.0)
        finite = math.isfinite(low) and math.isfinite(high)
        _require(finite and low < high, 'clip', self.clip, 'a low value and a higher one')
        stepped = self.levels == 0 or (self.levels > 1 and self.clip is not None)
        _require(stepped, 'levels', self.levels, '0, or at least 2 steps of clip')


@dataclass(frozen=True)
class ModelClass:
    """One class of a map.

    Args:
        value: Pixel value in the map.
        name: Name for people.
        color: Colour as ``#rrggbb``.

    Raises:
        BadParameter: If the colour is written in another way.
    """

    value: int
    name: str
    color: str

    def __post_init__(self) -> None:
        _require(bool(self.name), 'name', self.name, 'a name')
        _require(
            bool(_COLOR.fullmatch(self.color)), 'color', self.color, 'a colour such as #1f78b4'
        )


@dataclass(frozen=True)
class BundleCard:
    """Everything needed to use a trained model rightly, and to know where it came from.

    Args:
        name: Name for people.
        description: What it was made for.
        task: What it does. ``classification`` gives scores of whole tiles, ``detection`` boxes
            around objects, ``instance_segmentation`` also their masks, ``geolocation`` scores of
            cells of the Earth, see ``cells``, the others scores of each pixel. ``semantic_change``
            gives change and the land cover of both dates, ``building_damage`` buildings and the
            level of damage to them, ``map_update`` reads a map of the earlier date too and gives
            change and the land cover after; see ``maps``.
        bands: What it reads, in the order of the network's channels; of one date.
        classes: What it tells apart, in the order of the network's outputs. A network with a
            single output has two: what a score near 0 means and what a score near 1 means.
            Empty for regression and geolocation. For models of several maps the land cover or the
            levels of damage alone, without a class for none; a ``map_update`` reads the map as
            their numbers from 1. For a ``detection`` or ``instance_segmentation`` without the
            background, which has the label 0.
        dates: How many images of one place it reads at once: 1, or 2 (before, after).
        tile_size: Width and height of its input in pixels; for a ``classification`` or a
            ``geolocation`` those of the scenes it learned from.
        halo: Width of the margin of a tile, in pixels, where its scores are less reliable.
        resolution_minimum: Finest ground resolution it was trained with, in metres.
        resolution_maximum: Coarsest ground resolution it was trained with, in metres.
        license: SPDX identifier or a sentence; of the weights.
        citation: How to cite it.
        architecture: ``{'class': name, 'arguments': {...}}`` where the name is one of
            :func:`torchgeo_ext.bundles.known_architectures`. That of a ``geolocation`` has an
            argument ``cells``, as :meth:`~torchgeo_ext.cells.CellHierarchy.as_dict` gives them.
        output_activation: Turns the network's outputs into scores. A ``map_update`` with
            ``sigmoid`` tells where something changed but not into what.
        training: Free facts such as data set, metrics, versions; anything JSON can hold.
        multilabel: Whether each class has a score of its own, so that several can hold at once.
        variables: What a regression predicts, in the order of the network's outputs.
        extent: West, south, east, north in degrees of the training data, if known.
        bands_after: What it reads of the later date, if that differs from ``bands``: another
            sensor, or another normalisation.

    Raises:
        BadParameter: If the values contradict each other.
    """

    name: str
    description: str
    task: Task
    bands: tuple[Band, ...]
    classes: tuple[ModelClass, ...]
    architecture: Mapping[str, Any]
    output_activation: Activation
    dates: Literal[1, 2] = 1
    tile_size: int = 256
    halo: int = 32
    resolution_minimum: float | None = None
    resolution_maximum: float | None = None
    license: str = ''
    citation: str = ''
    training: Mapping[str, Any] = field(default_factory=dict)
    multilabel: bool = False
    variables: tuple[str, ...] = ()
    extent: tuple[float, float, float, float] | None = None
    bands_after: tuple[Band, ...] = ()

    def __post_init__(self) -> None:
        _require(bool(self.name.strip()), 'name', self.name, 'a name')
        _require(self.task in get_args(Task), 'task', self.task, _words(get_args(Task)))
        _require(
            self.output_activation in get_args(Activation),
            'output_activation',
            self.output_activation,
            _words(get_args(Activation)),
        )
        single = self.task in ('classification', 'geolocation', *DETECTING)
        dates = {2} if self.task in SEVERAL_MAPS else {1} if single else {1, 2}
        _require(self.dates in dates, 'dates', self.dates, ' or '.join(map(str, dates)))
        _require(len(self.bands) > 0, 'bands', self.bands, 'at least one band')
        if self.bands_after:
            fitting = self.dates == 2 and len(self.bands_after) == len(self.bands)
            expected = f'{len(self.bands)} bands of the second of two dates'
            _require(fitting, 'bands_after', self.bands_after, expected)
        steps = {(band.clip is None, band.levels) for band in (*self.bands, *self.bands_after)}
        _require(len(steps) == 1, 'bands', self.bands, 'all clipped into as many levels, or none')
        architecture = self.architecture
        _require(
            isinstance(architecture.get('class'), str)
            and isinstance(architecture.get('arguments'), Mapping),
            'architecture',
            architecture,
            "like {'class': 'SemanticSegmentation', 'arguments': {...}}",
        )
        self._check_sizes()
        self._check_classes()

    def _check_sizes(self) -> None:
        _require(self.tile_size > 0, 'tile_size', self.tile_size, 'at least 1 pixel')
        _require(
            0 <= 2 * self.halo < self.tile_size,
            'halo',
            self.halo,
            f'at least 0 and less than half of tile_size, which is {self.tile_size}',
        )
        finest, coarsest = self.resolution_minimum, self.resolution_maximum
        for key, value in (('resolution_minimum', finest), ('resolution_maximum', coarsest)):
            _require(value is None or value > 0, key, value, 'a positive number of metres')
        if finest is not None and coarsest is not None:
            expected = f'at most resolution_maximum, which is {coarsest}'
            _require(finest <= coarsest, 'resolution_minimum', finest, expected)

    def _check_classes(self) -> None:
        values = [entry.value for entry in self.classes]
        _require(len(set(values)) == len(values), 'classes', values, 'of different values')
        if self.task == 'geolocation':
            _require(not values, 'classes', values, 'empty for a geolocation')
            _require(self.cells is not None, 'architecture', self.architecture, 'one with cells')
            return
        if self.task == 'regression':
            _require(not values, 'classes', values, 'empty for a regression')
            return
        _require(not self.variables, 'variables', self.variables, 'empty unless for regression')
        fewest = 1 if self.multilabel or self.task in DETECTING else 2
        _require(len(values) >= fewest, 'classes', values, f'at least {fewest}')
        if self.task in SEVERAL_MAPS:
            return
        if self.output_activation == 'sigmoid' and not self.multilabel:
            _require(
                len(values) == 2,
                'classes',
                values,
                'two, as sigmoid means one score (or multilabel)',
            )

    @property
    def located(self) -> bool:
        """Whether it reads where a tile lies, as its last bands; no image has to have those."""
        return tuple(band.name for band in self.bands[-len(PLACE) :]) == PLACE

    @property
    def image_bands(self) -> tuple[Band, ...]:
        """What is read of an image."""
        return self.bands[: -len(PLACE)] if self.located else self.bands

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Dates (if there are several), bands, height and width of what the model takes.

        A ``map_update`` takes the bands of both dates and the map as bands of one image.
        """
        size = self.tile_size, self.tile_size
        if self.task == 'map_update':
            return self.dates * len(self.bands) + 1, *size
        dates = (self.dates,) if self.dates > 1 else ()
        return *dates, len(self.bands), *size

    @property
    def outputs(self) -> int:
        """How many scores the model gives, of each pixel or of a whole tile."""
        if self.task == 'regression':
            return max(1, len(self.variables))
        if self.cells is not None:
            return sum(self.cells.sizes)
        if self.task in SEVERAL_MAPS:
            return max(bands.stop for bands in self.maps.values())
        if self.output_activation == 'sigmoid' and not self.multilabel:
            return 1
        return len(self.classes)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Scores, height and width of what the model gives; scores alone of whole tiles.

        Empty for a detector, which gives as many boxes as there are objects.
        """
        if self.task in DETECTING:
            return ()
        whole = self.task in ('classification', 'geolocation')
        return (self.outputs,) if whole else (self.outputs, self.tile_size, self.tile_size)

    @cached_property
    def cells(self) -> 'CellHierarchy | None':
        """What a ``geolocation`` tells apart: its scores are those of the coarsest first."""
        content = self.architecture['arguments'].get('cells')
        if self.task != 'geolocation' or content is None:
            return None
        from torchgeo_ext.cells import CellHierarchy

        return CellHierarchy.from_dict(content, 'architecture')

    @property
    def maps(self) -> dict[str, slice]:
        """Names of the maps of a model that gives several, and which of the scores are theirs."""
        names = SEVERAL_MAPS.get(self.task, ())
        if self.task == 'map_update' and self.output_activation == 'sigmoid':
            names = names[:1]
        count = len(self.classes)
        return {
            name: slice(1 + (number - 1) * count, 1 + number * count) if number else slice(0, 1)
            for number, name in enumerate(names)
        }

    def bands_of(self, date: int) -> tuple[Band, ...]:
        """Tell what is read of a date, 0 being the first."""
        return self.bands_after if date and self.bands_after else self.bands


def _require(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise BadParameter(f'{name} is {value!r}, but must be {expected}.')


def _words(words: Sequence[str]) -> str:
    return ', '.join(words[:-1]) + ' or ' + words[-1]
