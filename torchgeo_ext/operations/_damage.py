"""The damage to buildings: of pixels, of each building, and of all together."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rasterio.crs import CRS

from torchgeo_ext.bundles import BundleCard
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference import Grid, RasterClass
from torchgeo_ext.inference.area import shape_areas
from torchgeo_ext.inference.features import FeatureTable, distinct
from torchgeo_ext.inference.outputs import Scores
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.vectors import polygonize
from torchgeo_ext.inference.zonal import Zones, are_polygons
from torchgeo_ext.operations._operation import ClassEntry, StrPath, Style
from torchgeo_ext.operations._polygons import UNKNOWN, read_polygons
from torchgeo_ext.operations._tables import Table, hectares, write_table
from torchgeo_ext.progress import Progress

log = logging.getLogger(__name__)

Vote = Literal['majority', 'weighted']

NO_BUILDING: ClassEntry = {'value': 0, 'name': 'no building', 'color': '#f0f0f0'}

#: How much a pixel of each level of xBD counts in the vote of a building, as in the published code
#: of ChangeOS: levels that are rare, and easily outvoted, count more.
#: Zheng, Z., Zhong, Y., Wang, J., Ma, A., Zhang, L. (2021). Building damage assessment for rapid
#: disaster response with a deep object-based semantic change detection framework. Remote Sensing
#: of Environment 265. https://doi.org/10.1016/j.rse.2021.112636
_WEIGHTS = (8, 38, 25, 11)


def damage_levels(card: BundleCard) -> list[ClassEntry]:
    """List the levels of damage a model tells, with values from 1 on."""
    return [
        {'value': value, 'name': entry.name, 'color': entry.color}
        for value, entry in enumerate(card.classes, 1)
    ]


def vote_weights(vote: Vote, levels: int) -> NDArray[np.int64]:
    """Say how much a pixel of each level counts.

    Raises:
        BadParameter: If weights are wanted of other levels than xBD's.
    """
    if vote == 'majority':
        return np.ones(levels, np.int64)
    if levels != len(_WEIGHTS):
        raise BadParameter(
            f'vote is weighted, but weights are known for the {len(_WEIGHTS)} levels of xBD only; '
            f'this model tells {levels}.',
            'Choose majority.',
        )
    return np.array(_WEIGHTS)


def decide_damage(card: BundleCard, threshold: float) -> Callable[[Scores], NDArray[np.uint8]]:
    """Make what tells the level of damage of each pixel, from 1; 0 is no building.

    Args:
        card: A model of damage.
        threshold: Score from which on there is a building.
    """
    maps = card.maps

    def decide(scores: Scores) -> NDArray[np.uint8]:
        level = (1 + scores.part(maps['damage']).best).astype(np.uint8)
        return np.where(scores.reached(maps['building'].start, threshold), level, np.uint8(0))

    return decide


@dataclass(frozen=True)
class Buildings:
    """Buildings on the pixels of the images.

    Args:
        features: The buildings.
        zones: Their pixels.
    """

    features: FeatureTable
    zones: Zones

    @classmethod
    def read(cls, path: StrPath, grid: Grid) -> 'Buildings':
        """Read the footprints a user has.

        Args:
            path: A layer of polygons.
            grid: The pixels of the images.

        Raises:
            BadInput: If the layer holds no polygon, or none where the images are.
        """
        return cls(*read_polygons(path, grid, 'footprints', 'both images'))

    @classmethod
    def outline(
        cls, raster: StrPath, levels: int, minimum_area: float, grid: Grid, progress: Progress
    ) -> 'Buildings':
        """Outline the buildings in a raster of damage.

        Args:
            raster: The raster.
            levels: How many levels of damage there are.
            minimum_area: Leave out smaller buildings, in square metres.
            grid: The pixels of the raster.
            progress: Told how far the work is.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder) / 'buildings.gpkg'
            polygonize(
                raster, path, classes=[RasterClass(1, 'building', UNKNOWN['color'])],
                values=range(1, levels + 1), joined=1, minimum_area=minimum_area,
                progress=progress,
            )  # fmt: skip
            features = FeatureTable.read(str(path), 'buildings', columns=[])
        return cls(features, Zones(features.shapes, features.crs, grid))

    def assess(
        self, raster: StrPath, levels: Sequence[ClassEntry], weights: NDArray[np.int64],
        progress: Progress,
    ) -> 'Damage':  # fmt: skip
        """Tell the damage to each building from a raster of damage.

        Args:
            raster: The raster.
            levels: The levels of damage.
            weights: How much a pixel of each level counts.
            progress: Told how far the work is.
        """
        counted = self.zones.count(raster, [level['value'] for level in levels], progress)
        pixels, seen = counted.values, counted.values.sum(axis=1)
        # of equal ones the first, which is the lesser damage
        level = np.where(seen > 0, 1 + (weights * pixels).argmax(axis=1), 0)
        shapes, crs = self.features.shapes, self.features.crs
        area = shape_areas(shapes, CRS.from_user_input(crs) if crs else None)
        area[~are_polygons(shapes)] = np.nan
        with np.errstate(invalid='ignore'):
            shares = pixels / seen[:, None]
            known = self.zones.covered * seen / counted.pixels
        return Damage(levels, level, shares, np.nan_to_num(known), area)


@dataclass(frozen=True)
class Damage:
    """The damage to n buildings.

    Args:
        levels: The k levels of damage.
        level: Value of the level of each (n,); 0 is unknown.
        shares: Share of each level in the pixels seen of each (n, k); NaN if there are none.
        seen: Share of each that was seen at both dates (n,).
        area: Square metres (n,); NaN if not known.
    """

    levels: Sequence[ClassEntry]
    level: NDArray[np.int64]
    shares: NDArray[np.float64]
    seen: NDArray[np.float64]
    area: NDArray[np.float64]

    def count(self, *values: int) -> int:
        """Count the buildings of some levels."""
        return int(np.isin(self.level, values).sum())

    def covered(self, *values: int) -> float:
        """Give the square metres of the buildings of some levels."""
        return float(np.nansum(self.area[np.isin(self.level, values)]))

    @property
    def entries(self) -> list[ClassEntry]:
        """What a building can be."""
        return [*self.levels, UNKNOWN]

    def columns(self) -> dict[str, pa.Array]:
        """Give what is said of each building, by name of the column."""
        names = np.array([UNKNOWN['name'], *(level['name'] for level in self.levels)], object)
        columns = {
            'damage': pa.array(self.level.astype(np.int32), mask=self.level == 0),
            'damage_name': pa.array(names[self.level], pa.string()),
        }
        shares = distinct([f'share_{level["name"].replace(" ", "_")}' for level in self.levels])
        for name, share in zip(shares, self.shares.T, strict=True):
            columns[name] = pa.array(share, from_pandas=True)
        columns['seen'] = pa.array(self.seen)
        columns['area_m2'] = pa.array(self.area, from_pandas=True)
        return columns

    def write(self, path: StrPath, features: FeatureTable) -> Style:
        """Write the buildings with their damage and give their style."""
        called = features.write(path, self.columns(), 'buildings')
        style: Style = {'type': 'classes', 'field': called['damage_name'], 'classes': self.entries}
        write_style(path, style)
        for name, other in called.items():
            if name != other:
                log.warning('footprints have a field %r already; ours is called %r.', name, other)
        return style

    def write_summary(self, path: StrPath) -> None:
        """Write buildings, hectares and share of the buildings seen by level, as CSV or HTML."""
        known = len(self.level) - self.count(0)
        rows = [
            [
                entry['name'],
                str(self.count(entry['value'])),
                hectares(self.covered(entry['value'])),
                f'{self.count(entry["value"]) / known:.4f}' if entry['value'] and known else '',
            ]
            for entry in self.entries
        ]
        everything = [0, *(level['value'] for level in self.levels)]
        rows.append(['all', str(len(self.level)), hectares(self.covered(*everything)), ''])
        table = Table(
            title='Damage to buildings',
            header=['damage', 'buildings', 'hectares', 'share of known'],
            rows=rows,
            row_colors=[*(entry['color'] for entry in self.entries), None],
        )
        write_table(path, table, 'summary')
