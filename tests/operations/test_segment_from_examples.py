"""segment_from_examples: a map from a few examples of each class."""

import json

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import segment_from_examples

HEIGHT, WIDTH = 60, 90
#: What the three vertical stripes of the scene are.
KINDS = ('water', 'field', 'forest')


@pytest.fixture
def image(tmp_path):
    """Three stripes that differ in two noisy bands; the top row has no data."""
    random = np.random.default_rng(0)
    levels = np.repeat([[20, 200], [120, 60], [220, 180]], WIDTH // 3, axis=0).T
    values = levels[:, None, :] + random.normal(0, 8, (2, HEIGHT, WIDTH))
    values = values.clip(1, 255).astype('uint8')
    values[:, 0] = 0
    return write_raster(tmp_path / 'image.tif', values, nodata=0)


def at(image, column, row):
    with rasterio.open(image) as dataset:
        return dataset.transform @ (column, row)


def layer(path, image, shapes, kinds, crs=None):
    with rasterio.open(image) as dataset:
        frame = geopandas.GeoDataFrame({'kind': kinds}, geometry=shapes, crs=dataset.crs)
    frame = frame if crs is None else frame.to_crs(crs)
    frame.to_file(path, layer='examples', engine='pyogrio')
    return path


def points(path, image, each=10, **more):
    random = np.random.default_rng(1)
    shapes, kinds = [], []
    for number, kind in enumerate(KINDS):
        for _ in range(each):
            column = random.integers(30 * number, 30 * number + 30) + 0.5
            shapes.append(shapely.Point(at(image, column, random.integers(1, HEIGHT) + 0.5)))
            kinds.append(kind)
    return layer(path, image, shapes, kinds, **more)


def share_right(path):
    """Share of the stripes' pixels that have their class; classes are numbered by name."""
    with rasterio.open(path) as dataset:
        found, nodata = dataset.read(1), dataset.nodata
    assert (found[0] == nodata).all()
    expected = np.repeat([3, 1, 2], WIDTH // 3)  # field, forest, water
    return (found[1:] == expected).mean()


@pytest.mark.parametrize('method', ['linear', 'prototypes', 'neighbours'])
def test_ten_points_of_each_class_in_another_reference_system(image, tmp_path, method):
    examples = points(tmp_path / 'e.gpkg', image, crs='EPSG:4326')
    result = segment_from_examples(
        image, examples, 'kind', tmp_path / 'o.tif', method=method,
        confidence=tmp_path / 'c.tif', polygons=tmp_path / 'p.gpkg', minimum_area=5000,
    )  # fmt: skip
    assert share_right(tmp_path / 'o.tif') > 0.99
    assert result.held_out_accuracy > 0.95
    assert result.example_pixels == 30
    names = {c['value']: c['name'] for c in json.loads(result.classes)}
    assert names == {1: 'field', 2: 'forest', 3: 'water'}
    areas = json.loads(result.class_areas)
    assert areas['water'] == pytest.approx(30 * 59 * 100, rel=0.02)
    with rasterio.open(tmp_path / 'c.tif') as dataset:
        confidence = dataset.read(1)
    assert np.isnan(confidence[0]).all()
    assert confidence[1:].min() >= 1 / 3 - 1e-6
    frame = pyogrio.read_dataframe(tmp_path / 'p.gpkg', layer='p')
    assert sorted(frame['class']) == sorted(KINDS)
    assert result.styles.keys() == {'output', 'confidence', 'polygons'}


def test_points_lines_and_polygons_together(image, tmp_path):
    shapes = [
        shapely.Point(at(image, 10.5, 30.5)),
        shapely.LineString([at(image, 32, 5), at(image, 58, 50)]),
        shapely.box(*at(image, 65, 50), *at(image, 80, 40)),
    ]
    examples = layer(tmp_path / 'e.gpkg', image, shapes, KINDS)
    result = segment_from_examples(image, examples, 'kind', tmp_path / 'o.tif', method='prototypes')
    assert share_right(tmp_path / 'o.tif') > 0.98
    assert result.example_pixels > 150


def test_a_polygon_smaller_than_a_pixel_counts(image, tmp_path):
    shapes = [shapely.Point(at(image, c, 30.2)).buffer(0.5) for c in (10.1, 40.1, 70.1)]
    examples = layer(tmp_path / 'e.gpkg', image, shapes, KINDS)
    result = segment_from_examples(image, examples, 'kind', tmp_path / 'o.tif', method='prototypes')
    assert result.example_pixels >= 3
    assert result.held_out_accuracy is not None or result.example_pixels == 3


def test_pixels_claimed_twice_are_left_out(image, tmp_path, caplog):
    shapes = [
        shapely.box(*at(image, 2, 40), *at(image, 12, 30)),
        shapely.box(*at(image, 8, 40), *at(image, 40, 30)),
        shapely.box(*at(image, 65, 50), *at(image, 80, 40)),
    ]
    examples = layer(tmp_path / 'e.gpkg', image, shapes, KINDS)
    result = segment_from_examples(image, examples, 'kind', tmp_path / 'o.tif')
    assert 'examples: 40 pixels lie in examples of several classes' in caplog.text
    assert result.example_pixels == 60 + 280 + 150


def test_examples_outside_of_the_image_are_said(image, tmp_path, caplog):
    places = [(10.5, 30.5), (40.5, 30.5), (-900, 30)]
    shapes = [shapely.Point(at(image, *place)) for place in places]
    examples = layer(tmp_path / 'e.gpkg', image, shapes, KINDS)
    result = segment_from_examples(image, examples, 'kind', tmp_path / 'o.tif', method='prototypes')
    assert result.example_pixels == 2
    assert 'examples: 1 of 3 features' in caplog.text


def test_the_map_may_have_the_pixels_of_another_raster(image, tmp_path):
    with rasterio.open(image) as dataset:
        coarse = dataset.read()[:, ::3, ::3]
    embedding = write_raster(tmp_path / 'embedding.tif', coarse, nodata=0, resolution=30.0)
    segment_from_examples(
        embedding, points(tmp_path / 'e.gpkg', image), 'kind', tmp_path / 'o.tif', pixels_of=image
    )
    with rasterio.open(tmp_path / 'o.tif') as made, rasterio.open(image) as expected:
        assert made.shape == expected.shape
        assert made.transform == expected.transform
        found = made.read(1)
    assert (found[5:55, 5:25] == 3).mean() > 0.99


def test_only_a_part_with_examples_from_elsewhere(image, tmp_path):
    left, top = at(image, 0, 10)
    right, bottom = at(image, 30, 40)
    segment_from_examples(
        image, points(tmp_path / 'e.gpkg', image), 'kind', tmp_path / 'o.tif',
        extent=(left, bottom, right, top),
    )  # fmt: skip
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        found = dataset.read(1)
    assert found.shape == (30, 30)
    assert (found == 3).mean() > 0.98


def test_bad_examples(image, tmp_path):
    def run(name, shapes, kinds, field='kind'):
        examples = layer(tmp_path / f'{name}.gpkg', image, shapes, kinds)
        segment_from_examples(image, examples, field, tmp_path / 'o.tif')

    here, far = shapely.Point(at(image, 10.5, 30.5)), shapely.Point(at(image, 5000, 30))
    other = shapely.Point(at(image, 50.5, 30.5))
    with pytest.raises(BadInput, match=r'examples: none of the 2 features'):
        run('far', [far, far], ['a', 'b'])
    with pytest.raises(BadInput, match=r'single class on the image, a'):
        run('one', [here, other], ['a', 'a'])
    with pytest.raises(BadInput, match=r'examples: b of .* has no pixel with data'):
        run('nodata', [here, other, shapely.Point(at(image, 4.5, 0.5))], ['a', 'c', 'b'])
    with pytest.raises(BadParameter, match=r"class_field: .* has no field 'sort'"):
        run('field', [here, other], ['a', 'b'], field='sort')
    assert not (tmp_path / 'o.tif').exists()
