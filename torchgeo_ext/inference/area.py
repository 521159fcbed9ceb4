r"""Ground areas of polygons in square metres, whatever the coordinate system.

An outline is mapped to the cylindrical equal-area plane of the ellipsoid, where the area on the
ground is a planar one: :math:`A = \oint q(\varphi)\, d\lambda` with the authalic function

.. math::

   q(\varphi) = \frac{a^2 (1 - e^2)}{2} \left[\frac{\sin\varphi}{1 - e^2 \sin^2\varphi}
       + \frac{\operatorname{artanh}(e \sin\varphi)}{e}\right]

(Snyder, J. P. (1987). Map Projections: A Working Manual, eq. 3-12,
https://doi.org/10.3133/pp1395). The scale of the projection plays no part: areas are as right in
Web Mercator, where planar ones are too large by :math:`1/\cos^2\varphi`, as in UTM.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from torchgeo_ext.inference._outlines import Bools, Ints, Outlines

if TYPE_CHECKING:
    import rasterio

    from torchgeo_ext.inference.grid import Grid

Floats = NDArray[np.float64]

#: Edges are cut into pieces of at most this many metres, as the straight lines of a map are curved
#: on the equal-area plane.
_LONGEST_EDGE = 1000.0
#: Vertices worked on at once.
_CHUNK = 200_000


class GroundArea:
    """Computes areas on the ellipsoid of a coordinate system.

    Args:
        crs: Coordinate system of the raster. Without one, or with a local one that has no
            ellipsoid, areas are planar: in square metres if the axes have a known unit of
            length, otherwise in squares of whatever unit the transform has.
        transform: Pixel to map coordinates.
    """

    def __init__(self, crs: 'rasterio.crs.CRS | None', transform: Affine) -> None:
        full = CRS.from_wkt(crs.to_wkt()) if crs else None
        if full is not None and full.geodetic_crs is not None:
            self._plane: _EqualAreaPlane | None = _EqualAreaPlane.of(full, transform)
        else:
            self._plane = None
            unit = full.axis_info[0].unit_conversion_factor if full is not None else 1.0
            self._pixel_area = abs(transform.determinant) * unit**2

    def __call__(self, outlines: Outlines) -> Floats:
        """Compute the area of each polygon.

        Args:
            outlines: The polygons.

        Returns:
            Square metres (n,); NaN where a vertex has no place on the earth.
        """
        if self._plane is not None:
            return _ellipsoidal(outlines, self._plane)
        return _planar(outlines) * self._pixel_area


def pixel_area(grid: 'Grid') -> float:
    """Compute the ground area of the pixel in the middle of a grid.

    Args:
        grid: The grid.

    Returns:
        Square metres; without a coordinate system squares of the unit of the transform.
    """
    column, row = grid.width // 2, grid.height // 2
    corners = [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]
    square = Outlines(
        values=np.array([1]),
        vertices=np.array([(column + x, row + y) for x, y in corners]),
        rings=np.array([0, len(corners)]),
        polygons=np.array([0, 1]),
    )
    return float(GroundArea(grid.crs, grid.transform)(square)[0])


def shape_areas(shapes: NDArray[Any], crs: 'rasterio.crs.CRS | None') -> Floats:
    """Compute the ground area of polygons in map coordinates.

    Args:
        shapes: Polygons and multipolygons (n,), with their rings in any direction.
        crs: Their coordinate system; what holds without one is said at :class:`GroundArea`. Edges
            between degrees of longitude and latitude are taken for straight on the equal-area
            plane, which is no different for anything of the size of a town.

    Returns:
        Square metres (n,); 0 for what is no polygon, NaN where a vertex has no place on the earth.
    """
    parts, of_shape = shapely.get_parts(shapes, return_index=True)
    rings, of_part = shapely.get_rings(parts, return_index=True)
    vertices, of_ring = shapely.get_coordinates(rings, return_index=True)
    areas = np.zeros(len(shapes))
    if not len(rings):
        return areas
    # ring by ring, as nothing says which way round holes are drawn
    number = np.arange(len(rings) + 1)
    outlines = Outlines(number[:-1], vertices, np.searchsorted(of_ring, number), number)
    ground = GroundArea(crs, Affine.identity())(outlines)
    is_hole = np.diff(of_part, prepend=-1) == 0
    np.add.at(areas, of_shape[of_part], np.where(is_hole, -ground, ground))
    return areas


@dataclass(frozen=True)
class _EqualAreaPlane:
    """Maps pixel coordinates to longitude (radians) and the authalic function of the latitude.

    Args:
        transform: Pixel to map coordinates.
        unproject: Map coordinates to longitude and latitude; None if they are that already.
        angle: Radians in the unit of longitude and latitude.
        semi_major: Of the ellipsoid, in metres.
        eccentricity: Of the ellipsoid.
        piece: Length of edges, in columns and rows, that is short enough.
    """

    transform: Affine
    unproject: Transformer | None
    angle: float
    semi_major: float
    eccentricity: float
    piece: tuple[float, float]

    @classmethod
    def of(cls, crs: CRS, transform: Affine) -> '_EqualAreaPlane':
        geodetic = crs.geodetic_crs
        assert geodetic is not None
        ellipsoid = geodetic.ellipsoid
        assert ellipsoid is not None
        angle = geodetic.axis_info[0].unit_conversion_factor
        ratio = ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre
        if crs.is_geographic:
            unproject, unit = None, angle * ellipsoid.semi_major_metre
        else:
            unproject = Transformer.from_crs(crs, geodetic, always_xy=True)
            unit = crs.axis_info[0].unit_conversion_factor
        piece = (
            _LONGEST_EDGE / (unit * math.hypot(transform.a, transform.d)),
            _LONGEST_EDGE / (unit * math.hypot(transform.b, transform.e)),
        )
        if crs.is_geographic and transform.is_rectilinear:
            # edges follow parallels and meridians, which are straight on the plane
            piece = (math.inf, math.inf)
        return cls(
            transform,
            unproject,
            angle,
            ellipsoid.semi_major_metre,
            math.sqrt(max(0.0, 1 - ratio**2)),
            piece,
        )

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Map columns and rows to longitudes and q (square metres per radian)."""
        t = self.transform
        map_x, map_y = t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f
        if self.unproject is not None:
            map_x, map_y = self.unproject.transform(map_x, map_y)
        # PROJ says infinity where a point is not on the earth
        outside = ~(np.isfinite(map_x) & np.isfinite(map_y))
        longitude = np.where(outside, np.nan, map_x) * self.angle
        sine = np.sin(np.where(outside, np.nan, map_y) * self.angle)
        return longitude, self._q(sine)

    @property
    def pole(self) -> float:
        """The authalic function at the north pole."""
        return float(self._q(np.ones(1))[0])

    def _q(self, sine: Floats) -> Floats:
        e = self.eccentricity
        bulge = np.arctanh(e * sine) / e if e else sine
        return self.semi_major**2 * (1 - e**2) / 2 * (sine / (1 - (e * sine) ** 2) + bulge)

    def turn(self, longitude: Floats) -> Floats:
        """Give the differences of consecutive longitudes."""
        difference = np.diff(longitude)
        if self.unproject is None:
            return difference  # a raster in degrees may well be wider than half the globe
        across = np.abs(difference) > math.pi
        difference[across] -= np.copysign(2 * math.pi, difference[across])
        return difference


def _ellipsoidal(outlines: Outlines, plane: _EqualAreaPlane) -> Floats:
    first = outlines.vertices[outlines.rings[outlines.polygons[:-1]]].astype(float)
    # counted from its own first vertex a small polygon keeps its digits
    _, origin = plane(first[:, 0], first[:, 1])
    area, turned = np.zeros(len(outlines)), np.zeros(len(outlines))
    for chunk in _chunks(outlines):
        x, y, edge, polygon = chunk.densify(plane.piece)
        longitude, q = plane(x, y)
        turn = np.where(edge, plane.turn(longitude), 0.0)
        height = (q[1:] + q[:-1]) / 2 - origin[polygon]
        _add(area, polygon, turn * height)
        _add(turned, polygon, turn)
    # around a pole q counts from the pole
    around = np.where(np.abs(turned) > math.pi, np.copysign(2 * math.pi, turned), 0.0)
    return np.abs(area + around * (origin - np.copysign(plane.pole, origin)))


def _planar(outlines: Outlines) -> Floats:
    """Compute areas in pixels."""
    area = np.zeros(len(outlines))
    for chunk in _chunks(outlines):
        edge, vertices = ~chunk.ends[:-1], chunk.vertices.astype(float)
        height = np.where(edge, np.diff(vertices[:, 1]), 0)
        _add(area, chunk.polygon[:-1], vertices[:-1, 0] * height)
    return np.abs(area)


def _add(sums: Floats, polygon: Ints, terms: Floats) -> None:
    """Add terms to the sums of their polygons, of which ``polygon`` names a sorted range."""
    first, last = int(polygon[0]), int(polygon[-1]) + 1
    sums[first:last] += np.bincount(polygon - first, terms, last - first)


@dataclass(frozen=True)
class _Chunk:
    """Some consecutive vertices.

    Args:
        vertices: Column and row (v, 2).
        ends: Whether a vertex is the last of its ring (v,).
        polygon: Number of the polygon of each vertex (v,).
    """

    vertices: Ints
    ends: Bools
    polygon: Ints

    def densify(self, piece: tuple[float, float]) -> tuple[Floats, Floats, Bools, Ints]:
        """Cut edges into pieces no longer than ``piece`` columns and rows.

        Returns:
            Columns and rows of p points; for each pair of consecutive points whether they are an
            edge and which polygon it belongs to (p - 1,).
        """
        steps = np.diff(self.vertices, axis=0)
        steps[self.ends[:-1]] = 0
        longest = np.maximum(np.abs(steps[:, 0]) / piece[0], np.abs(steps[:, 1]) / piece[1])
        pieces = np.append(np.maximum(np.ceil(longest).astype(np.int64), 1), 1)
        source = np.repeat(np.arange(len(self.vertices)), pieces)
        part = np.arange(len(source)) - (np.cumsum(pieces) - pieces)[source]
        steps = np.append(steps, [[0, 0]], axis=0)
        points = self.vertices[source] + steps[source] * (part / pieces[source])[:, None]
        edge = ~self.ends[source[:-1]]
        return points[:, 0], points[:, 1], edge, self.polygon[source[:-1]]


def _chunks(outlines: Outlines) -> Iterator[_Chunk]:
    """Walk over the vertices; consecutive chunks share one, so that no edge is lost."""
    ends = np.zeros(len(outlines.vertices), bool)
    ends[outlines.rings[1:] - 1] = True
    counts = np.diff(outlines.rings[outlines.polygons])
    polygon = np.repeat(np.arange(len(outlines), dtype=np.int32), counts)
    for start in range(0, len(ends) - 1, _CHUNK):
        part = slice(start, start + _CHUNK + 1)
        yield _Chunk(outlines.vertices[part], ends[part], polygon[part])
