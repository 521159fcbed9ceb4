"""Cells of S2, and partitions of the Earth made of them."""

import json

import numpy as np
import pytest
import shapely
from s2cell import s2cell

from torchgeo_ext.cells import (
    CellHierarchy,
    CellPartition,
    cells_around,
    cells_at,
    check_places,
    degrees_of,
    outline,
    unit_vectors,
)
from torchgeo_ext.errors import BadInput, BadParameter

#: Longitude, latitude, level, token and corners, computed with the Python package s2geometry
#: 0.14.0, the published C++ library (S2CellId.parent, S2Cell.GetVertex).
PUBLISHED = [
    (11.58, 48.14, 0, '5', [(45, 35.26439), (135, 35.26439), (-135, 35.26439), (-45, 35.26439)]),
    (
        -179.9, -16.8, 3, '71c',
        [(180, -10.619655), (180, -22.619865), (-169.380345, -22.270575),
         (-169.380345, -10.441798)],
    ),
    (
        179.95, 66.1, 7, '59fe4',
        [(178.609128, 66.611495), (178.658351, 65.850201), (180, 65.856065), (180, 66.617646)],
    ),
    (
        -70.6, -33.4, 12, '9662cf5',
        [(-70.621679, -33.398051), (-70.621679, -33.419629), (-70.597885, -33.415779),
         (-70.597885, -33.394203)],
    ),
    (
        151.2, -33.9, 20, '6b12b1c598b',
        [(151.199954, -33.899978), (151.199954, -33.900058), (151.200045, -33.900081),
         (151.200045, -33.900002)],
    ),
    (20, 89.5, 5, '4554', [(45, 86.522584), (90, 87.539585), (0, 90), (0, 87.539585)]),
    (-100, -89, 1, 'a4', [(-135, -35.26439), (180, -45), (0, -90), (-90, -45)]),
]  # fmt: skip
WORLD = 360 * 180


def points(number=3000, seed=0):
    """Places all over the Earth, half of them around one place."""
    random = np.random.default_rng(seed)
    spread = degrees_of(random.normal(size=(number // 2, 3)))
    return np.concatenate([spread, random.normal((20, 10), size=(number // 2, 2))])


@pytest.mark.parametrize(('longitude', 'latitude', 'level', 'token', 'corners'), PUBLISHED)
def test_cells_and_corners_are_those_of_the_published_library(
    longitude, latitude, level, token, corners
):
    (cell,) = cells_around(cells_at(np.array([[longitude, latitude]])), level).tolist()
    assert s2cell.cell_id_to_token(cell) == token
    found = unit_vectors(np.array(corners, float))
    every = outline(cell).vertices
    parts = len(every) // 4
    shifts = [np.roll(every[::parts], shift, axis=0) for shift in range(4)]
    assert min(np.abs(shift - found).max() for shift in shifts) < 1e-7


@pytest.mark.parametrize('level', [0, 1, 3])
def test_outlines_of_a_level_cover_the_map_once(level):
    """Poles and the antimeridian included."""
    faces = [np.uint64((2 * face + 1) << 60) for face in range(6)]
    step = 1 << 2 * (30 - level)
    cells = [
        int(face) - (1 << 60) + step * (2 * number + 1)
        for face in faces
        for number in range(4**level)
    ]
    shapes = [outline(cell).shape for cell in cells]
    assert all(shape.is_valid for shape in shapes)
    assert sum(shape.area for shape in shapes) == pytest.approx(WORLD)
    assert shapely.union_all(shapes).area == pytest.approx(WORLD)
    assert shapely.total_bounds(shapes).tolist() == [-180, -90, 180, 90]


def test_cells_have_no_more_points_than_allowed_and_hold_their_points():
    partition = CellPartition.build(points(), maximum=100, minimum=5)
    assert partition.counts.max() <= 100
    assert partition.counts.min() >= 5
    assert min(partition.levels) < 4 < max(partition.levels)  # large and small ones
    numbers = partition.find(points())
    assert np.array_equal(np.bincount(numbers[numbers >= 0]), partition.counts)
    shapes = np.array(partition.outlines())
    inside = shapely.contains_xy(shapes[numbers], *points().T)[numbers >= 0]
    assert inside.mean() > 0.99  # edges on the map are bent only so often
    middles = partition.find(partition.places)
    assert (middles == np.arange(len(partition))).mean() > 0.95


def test_holes_and_the_deepest_level():
    partition = CellPartition.build(points(), maximum=50, minimum=20, deepest=3)
    assert max(partition.levels) == 3
    assert partition.counts.max() > 50
    assert (partition.find(points()) < 0).any()
    whole = CellPartition.build(points(), maximum=50)
    assert (whole.find(points()) >= 0).all()


def test_radius_reaches_the_farthest_corner():
    partition = CellPartition.build([(-135, 80), (135, 80), (0, 0)], maximum=2)
    assert partition.tokens == ['1', '5']
    # from the pole, near which the first two lie in the middle, to latitude 35.26
    assert partition.places[1] == pytest.approx((180, 82.893), abs=1e-3)
    assert partition.radii()[1] > 6371 * np.radians(90 - 35.26439)
    # from the middle of a face to its corner
    assert partition.radii()[0] == pytest.approx(6371.0088 * np.radians(54.735610), rel=1e-6)


def test_hierarchy():
    hierarchy = CellHierarchy.build(points(), [1000, 200, 50], minimum=3)
    coarse, middle, fine = hierarchy.sizes
    assert coarse < middle < fine
    found = hierarchy.find(points())
    known = found[:, -1] >= 0
    for around, numbers in zip(hierarchy.around, found.T, strict=False):
        assert np.array_equal(around[found[known, -1]], numbers[known])


def test_coarse_cells_decide_among_fine_ones():
    hierarchy = CellHierarchy.build([(10, 10), (12, 10), (-120, 40)], [2, 1])
    assert hierarchy.sizes == [2, 3]
    scores = np.array([[0.1, 0.9, 0.4, 0.3, 0.3]])
    joint = hierarchy.combine(scores)
    expected = scores[:, 2:] * scores[:, hierarchy.around[0]]
    assert joint == pytest.approx(expected / expected.sum())
    assert joint.argmax() == 2
    sure = np.zeros((1, 5))
    sure[0, [0, 4]] = 1  # of a coarse cell, and of a fine one elsewhere
    assert np.isfinite(hierarchy.combine(sure)).all()
    alone = CellHierarchy(hierarchy.partitions[1:])
    assert alone.combine(scores[:, 2:]) == pytest.approx(scores[:, 2:])


def test_files(tmp_path):
    hierarchy = CellHierarchy.build(points(), [500, 100])
    hierarchy.save(tmp_path / 'cells.json')
    again = CellHierarchy.load(tmp_path / 'cells.json')
    for one, other in zip(hierarchy.partitions, again.partitions, strict=True):
        assert np.array_equal(one.cells, other.cells)
        assert np.array_equal(one.counts, other.counts)
        assert np.array_equal(one.places, other.places)
    assert again.as_dict() == hierarchy.as_dict()


def damaged(**changes):
    content = CellHierarchy.build(points(100), [50, 10]).as_dict()
    return json.loads(json.dumps(content)) | changes


def of_swapped_order():
    content = damaged()
    return content | {'partitions': content['partitions'][::-1]}


def of_overlapping_cells():
    content = {'tokens': ['1', '04'], 'counts': [1, 1], 'places': [[0, 0], [0, 0]]}
    return damaged(partitions=[content])


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ({}, "'format' is missing"),
        (damaged(format=2), 'format 2'),
        (damaged(partitions=[]), 'there is none'),
        (damaged(partitions=[{'tokens': ['zz'], 'counts': [1], 'places': [[0, 0]]}]), 'zz'),
        (damaged(partitions=[{'tokens': ['1'], 'counts': [], 'places': [[0, 0]]}]), '0 counts'),
        (damaged(partitions=[{'tokens': ['1'], 'counts': [1], 'places': [[0, 99]]}]), 'range'),
        (of_swapped_order(), 'in none of partition 1'),
        (of_overlapping_cells(), 'overlap'),
    ],
)
def test_what_is_no_partition_is_refused(content, reason, tmp_path):
    path = tmp_path / 'cells.json'
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=reason):
        CellHierarchy.load(path)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(BadInput, match='cannot be read'):
        CellHierarchy.load(tmp_path / 'none.json')
    with pytest.raises(BadInput, match='there are none'):
        CellPartition.build([], maximum=5)
    with pytest.raises(BadInput, match='there are 3, of which no cell has 4'):
        CellPartition.build(points(4)[:3], maximum=5, minimum=4)
    with pytest.raises(BadInput, match=r'1 of 2 places .* longitude 200, latitude 0'):
        check_places([(0, 0), (200, 0)])
    with pytest.raises(BadInput, match='seem to be swapped'):
        check_places([(50, 170), (10, -120)])
    with pytest.raises(BadInput, match='latitude nan'):
        check_places([(50, np.nan)])
    with pytest.raises(BadParameter, match='minimum is 6 and maximum 5'):
        CellPartition.build(points(), maximum=5, minimum=6)
    with pytest.raises(BadParameter, match='deepest is 31'):
        CellPartition.build(points(), maximum=5, deepest=31)
    with pytest.raises(BadParameter, match='descending'):
        CellHierarchy.build(points(), [5, 10])
