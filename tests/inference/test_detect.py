"""Objects in rasters larger than a tile."""

import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, OutOfMemory
from torchgeo_ext.inference import Grid, MaskSource, RasterSource, open_raster
from torchgeo_ext.inference.detect import find_objects, on_ground, side_lengths
from torchgeo_ext.layers.rotated_boxes import boxes_around, outline_iou


def blobs(batch):
    """Find what is brighter than 100: class 2 if brighter than 200; brighter ones score higher."""
    answers = []
    for image in batch.numpy()[:, 0]:
        numbers, _ = ndimage.label(image > 100)
        places = ndimage.find_objects(numbers)
        boxes = [[x.start, y.start, x.stop, y.stop] for y, x in places]
        peaks = [image[place].max() for place in places]
        answers.append(
            {
                'boxes': torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                'scores': torch.tensor(peaks, dtype=torch.float32) / 255,
                'labels': torch.tensor([1 + (peak > 200) for peak in peaks], dtype=torch.int64),
            }
        )
    return answers


@pytest.fixture
def scene():
    """Twenty-five squares of 5 to 9 pixels, some of them at the rim of tiles and of the raster."""
    random = np.random.default_rng(0)
    values = np.full((150, 170), 50, 'uint8')
    boxes = []
    for row in range(5):
        for column in range(5):
            y, x = 28 * row + random.integers(0, 18), 33 * column + random.integers(0, 24)
            size = random.integers(5, 10)
            values[y : y + size, x : x + size] = 120 if random.random() < 0.5 else 240
            boxes.append([x, y, min(x + size, 170), min(y + size, 150)])
    return values, sorted(boxes)


def find(path, **options):
    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    options = {'tile_size': 64, 'overlap': 20, 'threshold': 0.1, 'device': 'cpu'} | options
    return find_objects(options.pop('detector', blobs), RasterSource(str(path)), grid, **options)


@pytest.mark.parametrize('tile_size', [40, 64, 256])
def test_each_object_once_whatever_the_tiles(scene, tmp_path, tile_size):
    values, boxes = scene
    found = find(write_raster(tmp_path / 'i.tif', values), tile_size=tile_size)
    assert sorted(found.boxes.astype(int).tolist()) == boxes
    bright = [values[y, x] > 200 for x, y, _, _ in found.boxes.astype(int)]
    assert ((found.labels == 2) == bright).all()


def test_an_object_larger_than_the_overlap_is_found_where_it_is_cut(tmp_path):
    values = np.full((60, 200), 50, 'uint8')
    values[20:30, 10:190] = 240
    found = find(write_raster(tmp_path / 'i.tif', values))
    assert found.boxes.tolist() == [[10, 20, 190, 30]]


def turned(batch):
    """Find the bars of :func:`bars`, as rotated boxes."""
    answers = blobs(batch)
    for image, answer in zip(batch.numpy()[:, 0], answers, strict=True):
        numbers, count = ndimage.label(image > 100)
        found = [boxes_around(np.array([outline_of(numbers == n)])) for n in range(1, count + 1)]
        answer['boxes'] = torch.cat(found) if found else torch.zeros(0, 5)
    return answers


def masked(batch):
    """Find what is bright with its pixels."""
    answers = blobs(batch)
    for image, answer in zip(batch.numpy()[:, 0], answers, strict=True):
        numbers, count = ndimage.label(image > 100)
        masks = (
            np.stack([numbers == n for n in range(1, count + 1)]) if count else numbers[None][:0]
        )
        answer['masks'] = torch.from_numpy(masks[:, None].astype('float32'))
    return answers


def outline_of(mask):
    rows, columns = np.nonzero(mask)
    pixels = shapely.box(columns, rows, columns + 1, rows + 1)
    return shapely.convex_hull(shapely.union_all(pixels))


@pytest.fixture
def bars():
    """Two bars that lie aslant, the second one longer than the overlap of tiles."""
    shapes = [
        shapely.LineString([(58, 20), (72, 34)]).buffer(2.5, cap_style='flat'),
        shapely.LineString([(20, 90), (150, 130)]).buffer(4, cap_style='flat'),
    ]
    return rasterize([(shape, 240) for shape in shapes], (150, 170), fill=50, dtype='uint8'), shapes


@pytest.mark.parametrize('tile_size', [64, 256])
@pytest.mark.parametrize('detector', [turned, masked])
def test_objects_that_lie_aslant_are_whole_whatever_the_tiles(bars, tmp_path, detector, tile_size):
    values, shapes = bars
    path = write_raster(tmp_path / 'i.tif', values)
    found = find(path, detector=detector, tile_size=tile_size)
    assert len(found.outlines) == 2
    ious = outline_iou(found.outlines, np.array(shapes)).max(0)
    assert (ious > 0.75).all()
    if detector is masked:
        numbers, _ = ndimage.label(values > 100)
        areas = sorted(shapely.area(found.outlines))
        assert areas == sorted(np.bincount(numbers.ravel())[1:])


def test_neighbours_that_the_rim_cuts_are_not_joined(tmp_path):
    values = np.full((64, 110), 50, 'uint8')
    values[5:25, 20:100] = values[30:50, 20:100] = 240
    for detector in (blobs, masked):
        found = find(write_raster(tmp_path / 'i.tif', values), detector=detector)
        assert sorted(found.boxes.tolist()) == [[20, 5, 100, 25], [20, 30, 100, 50]]


def test_weak_ones_and_those_outside_the_mask_are_left_out(scene, tmp_path):
    values, boxes = scene
    path = write_raster(tmp_path / 'i.tif', values)
    assert set(find(path, threshold=0.9).labels) == {2}
    left = np.zeros(values.shape, 'uint8')
    left[:, :85] = 1
    found = find(path, mask=MaskSource(str(write_raster(tmp_path / 'm.tif', left))))
    assert len(found.boxes) == sum((x + x2) / 2 < 85 for x, _, x2, _ in boxes)


def test_nothing_valid_and_nothing_there(tmp_path):
    with pytest.raises(BadInput, match='no valid pixel'):
        find(write_raster(tmp_path / 'n.tif', np.zeros((80, 80), 'uint8'), nodata=0))
    found = find(write_raster(tmp_path / 'e.tif', np.full((80, 80), 5, 'uint8')))
    assert found.boxes.shape == (0, 4)


def test_memory_that_holds_one_tile_but_not_two(scene, tmp_path):
    def small(batch):
        if len(batch) > 1:
            raise torch.OutOfMemoryError('out of memory')
        return blobs(batch)

    values, boxes = scene
    path = write_raster(tmp_path / 'i.tif', values)
    assert len(find(path, detector=small, batch_size=4).boxes) == len(boxes)

    def none(batch):
        raise torch.OutOfMemoryError('out of memory')

    with pytest.raises(OutOfMemory, match='Not even one tile'):
        find(path, detector=none)


def test_sides_in_metres_wherever_and_in_whatever_system():
    boxes = np.array([shapely.box(0, 0, 20, 10)])
    utm = on_ground(boxes, Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000))
    np.testing.assert_allclose(side_lengths(utm, CRS.from_epsg(32633)), [[10, 5]], rtol=1e-3)
    degrees = on_ground(boxes, Affine(1e-5, 0, 15, 0, -1e-5, 60))
    east = Geod(ellps='WGS84').inv(15, 60, 15 + 20e-5, 60)[2]
    south = Geod(ellps='WGS84').inv(15, 60, 15, 60 - 10e-5)[2]
    expected = [sorted([east, south], reverse=True)]
    np.testing.assert_allclose(side_lengths(degrees, CRS.from_epsg(4326)), expected, rtol=1e-4)
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
    expected = [[20 * 0.3048, 10 * 0.3048]]
    np.testing.assert_allclose(side_lengths(boxes, site), expected)
