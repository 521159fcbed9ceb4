"""What operations that find objects share: from an image and a bundle to a layer of objects."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations._operation import (
    ADVANCED,
    ClassEntry,
    Fraction,
    StrPath,
    Styles,
    within,
)
from torchgeo_ext.progress import Progress, portion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from torchgeo_ext.inference import Grid
    from torchgeo_ext.inference.detect import Objects

# the parameters that operations have in common
Iou = Annotated[Fraction, ADVANCED]
MinimumSize = Annotated[float, within(0, None, 'metres')]
MaximumSize = Annotated[float, within(0, None, 'metres')]


class Found(NamedTuple):
    """What came of a search.

    Attributes:
        objects: Number of objects.
        counts: Number of objects by class, as JSON.
        tiles: Tiles that went through the model.
        styles: How the layer wants to be drawn.
    """

    objects: int
    counts: str
    tiles: int
    styles: Styles


@dataclass(frozen=True)
class ObjectSearch:
    """Where, with what and how to look for objects; the arguments as the user gave them."""

    image: StrPath
    bundle: StrPath
    bands: list[int] | None
    extent: Any
    mask: StrPath | None
    threshold: float
    iou: float
    minimum_size: float
    maximum_size: float
    tile_size: int
    overlap: int
    device: str
    batch_size: int

    def run(
        self,
        output: StrPath,
        task: Literal['detection', 'instance_segmentation'],
        progress: Progress,
    ) -> Found:
        """Find objects and write them.

        Args:
            output: The GeoPackage.
            task: What the model has to do.
            progress: Told how far the work is.

        Raises:
            BadInput: If sizes in metres are wanted of an image without a reference system, or the
                model does something else.
        """
        from torchgeo_ext.inference import MaskSource
        from torchgeo_ext.inference.detect import find_objects
        from torchgeo_ext.inference.style import write_style
        from torchgeo_ext.operations._models import build_model, open_model
        from torchgeo_ext.operations._predict import (
            Image,
            Plan,
            check_resolution,
            choose_grid,
            class_table,
        )
        from torchgeo_ext.operations._sensors import adapt
        from torchgeo_ext.operations._values import warn_of_values

        grid = choose_grid(self.image, self.extent)
        self._check_metres(grid)
        opened = open_model(self.bundle, None, task=task, dates=1)
        check_resolution(opened.card, grid)
        trained, [source] = adapt(opened, [Image(self.image, self.bands)])
        card = trained.card
        warn_of_values(source, grid, card.bands, card.training.get('units'))
        progress(0.0, 'Loading the model')
        detector: Any = build_model(trained)
        size, shared = Plan(self.tile_size, self.overlap).tiling(card)
        found = find_objects(
            detector,
            source,
            grid,
            tile_size=size,
            overlap=shared,
            threshold=self.threshold,
            iou=self.iou,
            batch_size=self.batch_size,
            device=self.device,
            mask=None if self.mask is None else MaskSource(str(self.mask)),
            progress=portion(progress, 0.0, 0.95),
        )
        classes = class_table(card.classes)
        counts = self._write(output, found, grid, classes, task == 'instance_segmentation')
        styles: Styles = {'output': {'type': 'classes', 'field': 'class', 'classes': classes}}
        write_style(output, styles['output'])
        return Found(sum(counts.values()), json.dumps(counts), found.tiles, styles)

    def _check_metres(self, grid: 'Grid') -> None:
        if grid.crs is None and (self.minimum_size or self.maximum_size):
            raise BadInput(
                f'image: {self.image} has no coordinate reference system, so objects have no size '
                'in metres.',
                'Assign one, or leave minimum_size and maximum_size out.',
            )

    def _write(
        self,
        output: StrPath,
        found: 'Objects',
        grid: 'Grid',
        classes: list[ClassEntry],
        masks: bool,
    ) -> dict[str, int]:
        """Write the objects of the right size, and count them by class."""
        import numpy as np
        import pyarrow as pa
        import shapely

        from torchgeo_ext.inference.area import shape_areas
        from torchgeo_ext.inference.detect import on_ground
        from torchgeo_ext.inference.features import FeatureTable

        boxes = shapely.oriented_envelope(found.outlines) if masks else found.outlines
        sides = _sides(on_ground(boxes, grid.transform), grid)
        keep = ~(sides[:, 0] < self.minimum_size)
        if self.maximum_size:
            keep &= sides[:, 0] <= self.maximum_size
        sides, found = sides[keep], found.select(keep)
        shapes = on_ground(found.outlines, grid.transform)
        # labels of a detector count from 1, the background being 0
        chosen = [classes[number - 1] for number in found.labels.tolist()]
        names = [entry['name'] for entry in chosen]
        columns = {
            'value': pa.array([entry['value'] for entry in chosen], pa.int32()),
            'class': pa.array(names, pa.string()),
            'score': pa.array(found.scores.astype(np.float64)),
            'length_m': pa.array(sides[:, 0], from_pandas=True),
            'width_m': pa.array(sides[:, 1], from_pandas=True),
            'area_m2': pa.array(shape_areas(shapes, grid.crs), from_pandas=True),
        }
        kind = 'MultiPolygon' if masks else 'Polygon'
        if masks:
            shapes = np.array([shapely.multipolygons(shapely.get_parts(s)) for s in shapes], object)
        table = pa.table({'geom': pa.array(shapely.to_wkb(shapes).tolist(), pa.binary())})
        crs = None if grid.crs is None else grid.crs.to_wkt()
        FeatureTable(table, 'geom', kind, crs).write(output, columns, 'output')
        return {entry['name']: names.count(entry['name']) for entry in classes}


def _sides(shapes: 'NDArray[Any]', grid: 'Grid') -> 'NDArray[np.float64]':
    import numpy as np

    from torchgeo_ext.inference.detect import side_lengths

    if grid.crs is None:
        return np.full((len(shapes), 2), np.nan)
    return side_lengths(shapes, grid.crs)
