"""From the name of an encoder of places to vectors of points and of the cells of a grid.

Axes: n places, d numbers of a vector, h and w rows and columns of a window.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from torchvision.models import WeightsEnum, get_model_weights

from torchgeo_ext.errors import BadParameter, MissingWeights
from torchgeo_ext.inference.features import FeatureTable
from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.inference.location import embed_coordinates, embed_grid_rows
from torchgeo_ext.inference.points import WGS84
from torchgeo_ext.models.location import location_encoder
from torchgeo_ext.operations._location_parameters import FORMULAS
from torchgeo_ext.operations._predict import parse_extent
from torchgeo_ext.registry import models

if TYPE_CHECKING:
    from torchgeo_ext.models.location import LocationEncoder

Vectors = NDArray[np.float32]

#: Height and width of the windows in which a grid is encoded: whole blocks of a raster.
WINDOW = 256
#: Cells that components and groups are found from.
_SAMPLE = 20_000


@dataclass(frozen=True)
class PlaceEncoder:
    """An encoder that is ready, and where its numbers come from.

    Args:
        network: The encoder.
        name: What the user chose.
        origin: Whether it is a formula, random or trained, and on what.
        device: Where to compute.
    """

    network: 'LocationEncoder'
    name: str
    origin: str
    device: str = 'auto'

    @classmethod
    def open(
        cls, model: str, weights: Any, *, untrained: bool, seed: int, device: str
    ) -> 'PlaceEncoder':
        """Build an encoder.

        Args:
            model: Its name.
            weights: File of its weights; None to fetch the published ones.
            untrained: Take random numbers instead.
            seed: Of these.
            device: Where to compute.

        Raises:
            BadParameter: If there are weights for an encoder without any, or weights and
                ``untrained``.
            MissingWeights: If published weights are not here and cannot be fetched.
        """
        if model in FORMULAS and (weights is not None or untrained):
            name, value = ('weights', weights) if weights is not None else ('untrained', untrained)
            raise BadParameter(
                f'{name} is {value}, but {model} is a formula without weights.', 'Leave it out.'
            )
        if weights is not None and untrained:
            raise BadParameter(
                f'untrained: weights are given too: {weights}.', 'Leave one of them out.'
            )
        if model in FORMULAS:
            return cls(location_encoder(model), model, 'a formula without weights', device)
        if untrained:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = location_encoder(model)
            return cls(network, model, 'random numbers, not trained', device)
        if weights is not None:
            network = location_encoder(model, Path(weights))
            return cls(network, model, f'weights of {Path(weights).name}', device)
        published = _published_weights(model)
        network = location_encoder(model, published)
        return cls(network, model, f'published weights {published.name}', device)

    @property
    def dimensions(self) -> int:
        """Numbers d of a vector."""
        return self.network.embed_dim

    @property
    def tags(self) -> dict[str, str]:
        """What a file says of where its vectors come from."""
        return {'model': self.name, 'model_source': self.origin}

    def __call__(self, places: NDArray[np.float64]) -> Vectors:
        """Encode longitudes and latitudes (n, 2) as vectors (n, d), NaN where they are NaN."""
        there = np.isfinite(places).all(axis=1)
        vectors = np.full((len(places), self.dimensions), np.nan, np.float32)
        if there.any():
            vectors[there] = embed_coordinates(self.network, places[there], device=self.device)
        return vectors


@dataclass(frozen=True)
class PlaceGrid:
    """The cells of a map, and the place of each.

    Args:
        grid: The cells.
    """

    grid: Grid

    @classmethod
    def over(
        cls, extent: str, resolution: float | None, crs: str | None, maximum_cells: int
    ) -> 'PlaceGrid':
        """Lay cells over an extent, from its upper left corner on.

        Args:
            extent: ``xmin,ymin,xmax,ymax``, its reference system in brackets behind it.
            resolution: Width and height of a cell.
            crs: Reference system of the cells; that of the extent if not given.
            maximum_cells: More cells are refused.

        Raises:
            BadParameter: If no resolution is given or no reference system known, the extent lies
                beyond the poles, or there are too many cells.
        """
        if resolution is None:
            raise BadParameter(
                f'resolution is needed for the area {extent}.',
                'Give the width of a cell in units of its reference system.',
            )
        (left, bottom, right, top), system = _bounds(extent, crs)
        width = max(1, int(np.ceil((right - left) / resolution - 1e-6)))
        height = max(1, int(np.ceil((top - bottom) / resolution - 1e-6)))
        if width * height > maximum_cells:
            raise BadParameter(
                f'resolution: cells of {resolution:g} would be {width} x {height} = '
                f'{width * height:,} in the extent, more than maximum_cells, which is '
                f'{maximum_cells:,}.',
                'Choose larger cells or a smaller extent, or raise maximum_cells.',
            )
        return cls(Grid(system, from_origin(left, top, resolution, resolution), width, height))

    @cached_property
    def _in_degrees(self) -> bool:
        return self.grid.crs == CRS.from_user_input(WGS84)

    @cached_property
    def _to_degrees(self) -> Any:
        return pyproj.Transformer.from_crs(self.grid.crs, WGS84, always_xy=True).transform

    @property
    def number(self) -> int:
        """How many cells there are."""
        return self.grid.width * self.grid.height

    def windows(self) -> Iterator[Window]:
        """Give windows of whole blocks of a raster."""
        return self.grid.windows(WINDOW)

    def places(self, window: Window) -> NDArray[np.float64]:
        """Give longitude and latitude (h, w, 2) of the middle of each cell; NaN where is none."""
        numbers = self.numbers(window)
        return self.places_of(numbers.ravel()).reshape(*numbers.shape, 2)

    def places_of(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give longitude and latitude (n, 2) of cells by their number; NaN where is none."""
        rows, columns = np.divmod(numbers, self.grid.width)
        x, y = transform_points(self.grid.transform, columns + 0.5, rows + 0.5)
        if not self._in_degrees:
            x, y = self._to_degrees(x, y)
        # the last row may reach a little over a pole
        places = np.column_stack([x, np.clip(y, -90, 90)])
        places[~np.isfinite(places).all(axis=1)] = np.nan
        return places

    def numbers(self, window: Window) -> NDArray[np.int64]:
        """Number the cells of a window (h, w) row by row through the whole grid."""
        columns = np.arange(window.width, dtype=np.int64)[None] + window.col_off
        rows = np.arange(window.height, dtype=np.int64)[:, None] + window.row_off
        return rows * self.grid.width + columns

    def rows(self, numbers: NDArray[np.int64]) -> FeatureTable:
        """Make points of the middles of some cells.

        Args:
            numbers: Which, see :meth:`numbers` (k,).
        """
        rows, columns = np.divmod(numbers, self.grid.width)
        shapes = shapely.points(*transform_points(self.grid.transform, columns + 0.5, rows + 0.5))
        table = pa.table({'geom': pa.array(shapely.to_wkb(shapes), pa.binary())})
        assert self.grid.crs is not None
        return FeatureTable(table, 'geom', 'Point', self.grid.crs.to_wkt(version='WKT2_2019'))

    def vectors(self, encoder: PlaceEncoder, window: Window) -> Vectors:
        """Encode a window as (h, w, d), NaN where is no place."""
        places = self.places(window)
        if not self._in_degrees:
            return encoder(places.reshape(-1, 2)).reshape(*places.shape[:2], -1)
        # cells in rows of one latitude have most of their work in common
        vectors = np.empty((*places.shape[:2], encoder.dimensions), np.float32)
        longitudes, latitudes = places[0, :, 0], places[:, 0, 1]
        for rows, block in embed_grid_rows(
            encoder.network, longitudes, latitudes, device=encoder.device
        ):
            vectors[rows] = block
        return vectors

    def sample(self, encoder: PlaceEncoder, seed: int = 0) -> Vectors:
        """Encode cells drawn at random (n, d), without those at no place."""
        drawn = np.random.default_rng(seed).choice(
            self.number, min(self.number, _SAMPLE), replace=False
        )
        vectors = encoder(self.places_of(np.sort(drawn)))
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        if not len(vectors):
            raise BadParameter(
                f'extent: {tuple(self.grid.bounds)} has no place on Earth in {self.grid.crs}.',
                'Check extent and reference system.',
            )
        return vectors


def _published_weights(model: str) -> WeightsEnum:
    """Find the weights that can be fetched for an encoder.

    Raises:
        MissingWeights: If there are none.
    """
    try:
        entries = [entry for entry in get_model_weights(models[model]) if _model(entry) == model]
    except ValueError:  # the builder takes none
        entries = []
    if not entries:
        raise MissingWeights(
            f'model: no lasting address of the weights of {model} is known here.',
            'Fetch them from their authors and give the file as weights.',
        )
    return entries[0]


def _model(weights: WeightsEnum) -> str:
    return str(weights.meta['model'])


def _bounds(extent: str, crs: str | None) -> tuple[tuple[float, ...], CRS]:
    """Give the extent in the reference system of the cells."""
    bounds, own = parse_extent(extent)
    try:
        system = own if crs is None else CRS.from_user_input(crs)
    except CRSError as error:
        raise BadParameter(
            f'crs: {crs!r} is not known.', 'Give an identifier such as EPSG:4326, or WKT.'
        ) from error
    if system is None:
        raise BadParameter(
            f'extent: {extent} has no coordinate reference system.',
            'Put it in brackets behind the extent, as in 5,45,10,50 [EPSG:4326], or give crs.',
        )
    if own is not None and own != system:
        try:
            bounds = transform_bounds(own, system, *bounds)
        except RasterioError as error:
            raise BadParameter(
                f'extent: {extent} has no place in {crs}.', 'Choose another crs or extent.'
            ) from error
    if not np.isfinite(bounds).all():
        raise BadParameter(
            f'extent: {extent} reaches beyond what {crs} can show.',
            'Choose another crs or a smaller extent.',
        )
    if system.is_geographic and (bounds[1] < -90 or bounds[3] > 90 or np.abs(bounds).max() > 360):
        raise BadParameter(
            f'extent: {extent} lies beyond the poles or more than a turn around the globe, but '
            'its coordinate reference system has degrees.',
            'Give xmin,ymin,xmax,ymax, longitude first.',
        )
    return bounds, system
