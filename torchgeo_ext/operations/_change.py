"""What finding change takes beyond running a model: a common grid, the offset, the area."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._operation import ClassEntry, Style, Styles
from torchgeo_ext.operations._predict import Image, Plan, choose_grid, class_table, predict_classes
from torchgeo_ext.operations._sensors import adapt
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    from torchgeo_ext.bundles import Bundle
    from torchgeo_ext.inference import Grid, RasterSource
    from torchgeo_ext.inference.change import Method
    from torchgeo_ext.inference.shift import Shift

log = logging.getLogger(__name__)

#: Offsets above this many pixels make edges look like change.
_WORRYING = 0.5
#: Rows of pixels taken to be of one size.
_ROWS = 64


class Detected(NamedTuple):
    """What came of looking for change.

    Args:
        classes: Values, names and colours in the output.
        changed: Those of the values that mean change.
        counts: Pixels of each value.
        threshold: Score from which on a pixel counts as changed; None if classes compete.
        iterations: Iterations that were needed.
        styles: How the rasters want to be drawn.
    """

    classes: Sequence[ClassEntry]
    changed: Sequence[int]
    counts: Mapping[int, int]
    threshold: float | None
    iterations: int
    styles: Styles

    @property
    def changed_fraction(self) -> float:
        """Share of the valid pixels that changed."""
        valid = sum(self.counts.values())
        return sum(self.counts.get(value, 0) for value in self.changed) / valid if valid else 0.0


def two_dates(
    before: Any, before_bands: Sequence[int] | None, after: Any, after_bands: Sequence[int] | None
) -> tuple[Image, Image]:
    """Join the arguments of operations that compare two images."""
    return (
        Image(before, before_bands, 'before', 'before_bands'),
        Image(after, after_bands, 'after', 'after_bands'),
    )


def common_grid(before: Image, after: Image, extent: Any) -> 'Grid':
    """Give the part of the grid of ``before`` that ``after`` covers too.

    Args:
        before: The earlier date, whose pixels are kept.
        after: The later date.
        extent: None, or the part that is wanted.

    Raises:
        BadInput: If nothing is left.
    """
    from torchgeo_ext.inference import Grid, open_raster

    grid = choose_grid(before.path, extent, before.argument)
    with open_raster(str(after.path), after.argument) as dataset:
        other = Grid.of(dataset, after.argument)
    if not grid.overlaps(other):
        raise BadInput(
            f'{after.argument}: {after.path} covers {_corners(other)}, but the part of '
            f'{before.argument} that is wanted covers {_corners(grid)}.',
            'Choose an extent where both images are, or leave it out.',
        )
    common = grid.crop(other.bounds, other.crs, after.argument)
    log.info(
        'The dates share %d x %d pixels, %.0f %% of those of %s',
        common.width,
        common.height,
        100 * common.width * common.height / (grid.width * grid.height),
        before.argument,
    )
    return common


def _corners(grid: 'Grid') -> str:
    return f'{", ".join(f"{value:.8g}" for value in grid.bounds)} ({grid.crs})'


def plain_source(image: Image, resampling: str) -> 'RasterSource':
    """Read the bands the user chose, or all, as they are."""
    from torchgeo_ext.inference import RasterSource

    return RasterSource(
        str(image.path),
        bands=tuple(image.bands) if image.bands else None,
        resampling=resampling,
        argument=image.argument,
    )


def report_shift(
    sources: 'Sequence[RasterSource]', grid: 'Grid', progress: Progress
) -> 'Shift | None':
    """Estimate how well two dates lie on each other, and say so."""
    from torchgeo_ext.inference.shift import estimate_shift

    before, after = sources
    shift = estimate_shift(before, after, grid, progress)
    if shift is None:
        log.info('The offset between the dates is not known: they have too little in common')
        return None
    worrying = max(abs(shift.x), abs(shift.y)) > _WORRYING
    log.log(
        logging.WARNING if worrying else logging.INFO,
        'after lies %.2f pixels to the right of before and %.2f below it (median of %d windows, '
        'spread %.2f). Nothing was moved%s',
        shift.x,
        shift.y,
        shift.windows,
        shift.spread,
        ', so edges may look like change.' if worrying else '.',
    )
    return shift


class WithoutTraining:
    """Finds change with IR-MAD or CVA.

    Args:
        method: How.
        images: The two dates.
        plan: Mask, tile size and resampling count.
    """

    def __init__(self, method: 'Method', images: Sequence[Image], plan: Plan) -> None:
        self._method, self._plan = method, plan
        self.sources = [plain_source(image, plan.resampling) for image in images]

    def detect(self, grid: 'Grid', wanted: Mapping[str, Any], progress: Progress) -> Detected:
        """Find change and write rasters.

        Args:
            grid: Pixels to write.
            wanted: Path, or None, of each of ``output``, ``magnitude`` and ``probabilities``.
            progress: Told how far the work is.
        """
        from torchgeo_ext.inference import MaskSource
        from torchgeo_ext.inference.change import CHANGED, UNCHANGED, find_change

        before, after = self.sources
        found = find_change(
            self._method,
            before,
            after,
            grid,
            {name: path for name, path in wanted.items() if path is not None},
            mask=None if self._plan.mask is None else MaskSource(str(self._plan.mask)),
            tile_size=self._plan.tile_size,
            progress=progress,
        )
        classes = class_table((UNCHANGED, CHANGED))
        styles: Styles = {
            'output': {'type': 'classes', 'classes': classes},
            'magnitude': _range(max(found.strongest, found.threshold)),
            'probabilities': _range(1.0),
        }
        return Detected(
            classes=classes,
            changed=[CHANGED.value],
            counts=found.counts,
            threshold=found.threshold,
            iterations=found.iterations,
            styles=_write_styles(wanted, styles),
        )


class WithBundle:
    """Finds change with a trained model; its first class is no change.

    Args:
        bundle: The model.
        threshold: Probability from which on a pixel is changed; None for one half.
        images: The two dates.
        plan: How to run the model.

    Raises:
        BadParameter: If a model of several kinds of change is given a threshold.
    """

    def __init__(
        self, bundle: 'Bundle', threshold: float | None, images: Sequence[Image], plan: Plan
    ) -> None:
        card = bundle.card
        if threshold is not None and card.outputs > 1:
            raise BadParameter(
                f'threshold is {threshold:g}, but {card.name} tells {len(card.classes)} classes '
                'apart by their highest probability.',
                'Leave threshold out.',
            )
        self._plan = plan
        self._threshold = 0.5 if threshold is None else threshold
        self._bundle, self.sources = adapt(bundle, images, plan.resampling)

    def detect(self, grid: 'Grid', wanted: Mapping[str, Any], progress: Progress) -> Detected:
        """Find change and write rasters.

        Args:
            grid: Pixels to write.
            wanted: Path, or None, of each of ``output``, ``magnitude`` and ``probabilities``.
            progress: Told how far the work is.

        Raises:
            BadParameter: If ``magnitude`` is wanted.
        """
        if wanted['magnitude'] is not None:
            raise BadParameter(
                'magnitude: a trained model gives none.', 'Ask for probabilities instead.'
            )
        card = self._bundle.card
        rasters = {name: wanted[name] for name in ('output', 'probabilities')}
        done = predict_classes(
            self._bundle,
            self.sources,
            grid,
            rasters,
            self._plan,
            threshold=self._threshold,
            progress=progress,
        )
        if card.outputs == 1:
            done.styles.update(_write_styles(wanted, {'probabilities': _range(1.0)}))
        return Detected(
            classes=class_table(card.classes),
            changed=[entry.value for entry in card.classes[1:]],
            counts=done.pixels,
            threshold=self._threshold if card.outputs == 1 else None,
            iterations=0,
            styles=done.styles,
        )


def _range(maximum: float) -> Style:
    return {'type': 'range', 'minimum': 0.0, 'maximum': maximum, 'unit': '', 'ramp': 'magma'}


def _write_styles(wanted: Mapping[str, Any], styles: Styles) -> Styles:
    from torchgeo_ext.inference.style import write_style

    used = {name: style for name, style in styles.items() if wanted.get(name) is not None}
    for name, style in used.items():
        write_style(wanted[name], style)
    return used


def show_classes(raster: Any, classes: Sequence[ClassEntry]) -> Style:
    """Have a class raster drawn with some classes alone, and give that style."""
    from torchgeo_ext.inference.style import write_style

    style: Style = {'type': 'classes', 'classes': [*classes]}
    write_style(raster, style)
    return style


def outline_change(
    raster: Any, polygons: Any, detected: Detected, minimum_area: float, progress: Progress
) -> Style:
    """Write polygons of what changed and give their style."""
    shown = [entry for entry in detected.classes if entry['value'] in detected.changed]
    return outline_values(raster, polygons, shown, minimum_area, progress)


def outline_values(
    raster: Any,
    polygons: Any,
    classes: Sequence[ClassEntry],
    minimum_area: float,
    progress: Progress,
) -> Style:
    """Write polygons of some values of a class raster and give their style."""
    from torchgeo_ext.inference import RasterClass
    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.inference.vectors import polygonize

    polygonize(
        raster,
        polygons,
        classes=[RasterClass(**entry) for entry in classes],
        values=[entry['value'] for entry in classes],
        minimum_area=minimum_area,
        progress=progress,
    )
    style: Style = {'type': 'classes', 'field': 'class', 'classes': [*classes]}
    write_style(polygons, style)
    return style


def area_of(raster: Any, values: Collection[int]) -> float:
    """Measure the ground that pixels of some values cover.

    Args:
        raster: A class raster.
        values: The values.

    Returns:
        Square metres; without a coordinate system squares of the unit of the raster.
    """
    ground = ground_by_value(raster)
    return sum(ground[value][1] for value in values if value in ground)


def ground_by_value(raster: Any) -> dict[int, tuple[int, float]]:
    """Count the pixels of each value of a class raster, and measure the ground they cover.

    Args:
        raster: A class raster, whose pixels without data do not count.

    Returns:
        Pixels and square metres by value; without a coordinate system squares of the unit of the
        raster.
    """
    import numpy as np
    from rasterio.windows import Window

    from torchgeo_ext.inference import Grid, open_raster
    from torchgeo_ext.inference.area import pixel_area

    ground: dict[int, tuple[int, float]] = {}
    with open_raster(str(raster), 'output') as dataset:
        grid = Grid.of(dataset)
        step = max(_ROWS, grid.height // 256)
        # in strips of rows, as the size of pixels changes with the latitude
        for row in range(0, grid.height, step):
            window = Window(0, row, grid.width, min(step, grid.height - row))
            size = pixel_area(grid.part(window))
            found = np.unique(dataset.read(1, window=window), return_counts=True)
            for value, count in zip(*(part.tolist() for part in found), strict=True):
                pixels, area = ground.get(value, (0, 0.0))
                ground[value] = pixels + count, area + count * size
        ground.pop(dataset.nodata, None)
    return ground
