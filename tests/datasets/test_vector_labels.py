import geopandas
import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from rasterio.features import rasterize
from torchgeo.samplers import GriddedPatchSampler

from tests.datasets.makers import CORNER, boxes, class_map, grid_transform, image_of, write_polygons
from tests.rasters import UTM, write_raster
from torchgeo_ext.datasets import TiledRaster, VectorLabels, intersect
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import TiledSampler

X, Y = CORNER


@pytest.fixture
def image(tmp_path):
    return str(write_raster(tmp_path / 'image.tif', image_of(class_map())))


def whole(dataset):
    return dataset.pixels(0, dataset.grids[0].window)


def test_by_itself_it_gives_masks(tmp_path):
    path = write_polygons(
        tmp_path / 'l.gpkg', boxes([(0, 0, 8, 8), (8, 8, 20, 16)]), kind=['b', 'A']
    )
    labels = VectorLabels(path, class_field='kind', res=10)
    sample = labels[labels.bounds]
    assert sample['mask'].dtype == torch.int64
    assert (sample['mask'][:8, :8] == 1).all()
    assert (sample['mask'][8:, 8:] == 0).all()
    assert (sample['mask'][:8, 8:] == -1).all()
    assert [c.name for c in labels.classes] == ['A', 'b']
    assert sample['transform'].tolist() == list(grid_transform())
    for patch in GriddedPatchSampler(labels, size=8):
        assert labels[patch]['mask'].shape == (8, 8)
    with pytest.raises(IndexError):
        labels[0:10, 0:10]


def test_ground_of_two_classes_is_said(tmp_path, image, caplog):
    # the second lies on the first, the third beside it but for a sliver, the fourth is of its class
    shapes = boxes([(0, 0, 20, 20), (10, 10, 30, 30), (20, 0, 40, 9), (0, 0, 5, 5)])
    shapes[2] = shapes[2].buffer(0.1)
    path = write_polygons(tmp_path / 'l.gpkg', shapes, kind=['a', 'b', 'b', 'a'])
    TiledRaster(image, path, class_field='kind')
    assert 'labels: 1 pairs of features' in caplog.text
    assert 'the later one in the file counts there' in caplog.text


def test_resolution_of_a_slice_counts(tmp_path):
    labels = VectorLabels(write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 8, 8)])), res=10)
    assert labels[X : X + 80 : 5, Y - 80 : Y : 5]['mask'].shape == (16, 16)


def test_without_a_field_it_is_yes_or_no(image, tmp_path):
    path = write_polygons(tmp_path / 'l.gpkg', boxes([(5, 5, 20, 10)]))
    mask = whole(TiledRaster(image, VectorLabels(path))).mask
    assert (mask[5:10, 5:20] == 1).all()
    assert mask.sum() == 75
    assert mask.min() == 0


@pytest.mark.parametrize('crs', [UTM, 'EPSG:4326', 'EPSG:3857'])
@pytest.mark.parametrize('kind', ['line', 'point'])
def test_lines_and_points_are_widened_by_metres(image, tmp_path, crs, kind):
    shape = shapely.Point(X + 400, Y - 300)
    if kind == 'line':
        shape = shapely.LineString([(X + 103, Y - 107), (X + 511, Y - 391)])
    there = geopandas.GeoSeries([shape], crs=UTM).to_crs(crs)
    path = write_polygons(tmp_path / 'l.gpkg', there, crs)
    mask = whole(TiledRaster(image, VectorLabels(path, buffer=55))).mask
    expected = rasterize([shape.buffer(55)], (64, 80), transform=grid_transform())
    # metres of a Mercator map would be half as many more here
    assert (mask != expected).sum() <= 3
    assert expected.sum() > 80


def test_all_touched(image, tmp_path):
    path = write_polygons(
        tmp_path / 'l.gpkg', [shapely.box(X + 1, Y - 29, X + 29, Y - 1).buffer(-5)]
    )
    centres = whole(TiledRaster(image, VectorLabels(path))).mask.sum()
    touched = whole(TiledRaster(image, VectorLabels(path, all_touched=True))).mask.sum()
    assert centres == 1
    assert touched == 9


def test_ignored_and_background_classes(image, tmp_path):
    cells = [(0, 0, 5, 5), (10, 0, 15, 5), (20, 0, 25, 5)]
    path = write_polygons(tmp_path / 'l.gpkg', boxes(cells), kind=[10, 40, 99])
    labels = VectorLabels(path, class_field='kind', ignore_value=99, background=0)
    assert [c.value for c in labels.classes] == [0, 10, 40]
    mask = whole(TiledRaster(image, labels)).mask
    assert (mask[0, 0], mask[0, 10], mask[0, 20], mask[50, 50]) == (1, 2, -1, 0)


def test_ignored_text(image, tmp_path):
    path = write_polygons(
        tmp_path / 'l.gpkg', boxes([(0, 0, 5, 5), (9, 0, 12, 5)]), kind=['a', 'cloud']
    )
    labels = VectorLabels(path, class_field='kind', ignore_value='cloud')
    assert [c.name for c in labels.classes] == ['a']


def test_the_later_feature_counts(image, tmp_path):
    path = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 9, 9), (3, 3, 6, 6)]), kind=[7, 3])
    mask = whole(TiledRaster(image, VectorLabels(path, class_field='kind'))).mask
    assert (mask[0, 0], mask[4, 4]) == (1, 0)


def test_combined_by_and(image, tmp_path):
    path = write_polygons(
        tmp_path / 'l.gpkg', boxes([(8, 8, 40, 24), (12, 10, 20, 20)]), kind=[1, 2]
    )
    labels = VectorLabels(path, class_field='kind')
    images = TiledRaster(image)
    for dataset in (images & labels, labels & images, intersect(images, labels)):
        assert [grid.shape for grid in dataset.grids] == [(16, 32)]
        sample = dataset[dataset.bounds]
        np.testing.assert_array_equal(sample['image'], image_of(class_map())[:, 8:24, 8:40])
        assert (sample['mask'][2:12, 4:12] == 1).all()
        assert (sample['mask'] == 1).sum() == 80
        assert sample['transform'].tolist() == list(grid_transform(column=8, row=8))
        for patch in TiledSampler(dataset, size=16):
            assert dataset[patch]['mask'].shape == (16, 16)
    assert not images.labelled


def test_places_are_found_across_the_antimeridian(tmp_path):
    step = 0.001
    image = write_raster(
        tmp_path / 'i.tif', image_of(class_map()), crs='EPSG:4326',
        transform=Affine(step, 0, 179.96, 0, -step, 10),
    )  # fmt: skip
    west = shapely.box(-180, 9.95, -179.98, 9.97)
    path = write_polygons(tmp_path / 'l.gpkg', [west], 'EPSG:4326')
    mask = whole(TiledRaster(image, VectorLabels(path))).mask
    assert (mask[30:50, 40:60] == 1).all()
    assert mask.sum() == 400


class TestBadInput:
    def test_points_without_buffer(self, tmp_path):
        path = write_polygons(tmp_path / 'l.gpkg', [shapely.Point(X, Y)])
        with pytest.raises(BadInput, match='holds Point') as caught:
            VectorLabels(path)
        assert 'buffer' in caught.value.hint

    def test_negative_buffer(self, tmp_path):
        path = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 1, 1)]))
        with pytest.raises(BadParameter, match='buffer: -3'):
            VectorLabels(path, buffer=-3)

    def test_no_features(self, tmp_path):
        with pytest.raises(BadInput, match='has no features'):
            VectorLabels(write_polygons(tmp_path / 'l.gpkg', []))

    def test_null_classes(self, tmp_path):
        path = write_polygons(
            tmp_path / 'l.gpkg', boxes([(0, 0, 1, 1), (1, 0, 2, 1)]), kind=['a', None]
        )
        with pytest.raises(BadInput, match='1 of 2 features'):
            VectorLabels(path, class_field='kind')

    def test_all_ignored(self, tmp_path):
        path = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 1, 1)]), kind=[5])
        with pytest.raises(BadInput, match='ignore_value 5'):
            VectorLabels(path, class_field='kind', ignore_value=5)

    def test_two_label_layers(self, tmp_path):
        labels = VectorLabels(write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 1, 1)])))
        with pytest.raises(BadParameter, match='Both datasets are labels'):
            labels & labels
        with pytest.raises(BadParameter, match='cannot be united'):
            labels | labels
