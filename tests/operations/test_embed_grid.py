"""embed_grid: vectors as bands of a raster."""

import numpy as np
import pyproj
import pytest
import rasterio
import torch

from tests.points import read_layer, write_points
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.location import location_encoder
from torchgeo_ext.operations import embed_grid, embed_points

FORMULA = {'model': 'location_wrap'}


def expected(longitudes, latitudes, model='location_wrap'):
    with torch.inference_mode():
        places = torch.tensor(np.column_stack([longitudes, latitudes]))
        return location_encoder(model)(places).float().numpy()


def test_cells_have_the_vectors_of_their_middles(tmp_path):
    result = embed_grid('-180,-90,180,90 [EPSG:4326]', 0.5, tmp_path / 'o.tif', **FORMULA)
    assert (result.dimensions, result.width, result.height) == (4, 720, 360)
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        assert dataset.crs == 'EPSG:4326'
        assert dataset.bounds == (-180, -90, 180, 90)
        assert dataset.dtypes == ('float32',) * 4
        assert dataset.descriptions[0] == 'location_wrap 1'
        assert dataset.tags()['model_source'] == 'a formula without weights'
        rows, columns = np.array([0, 100, 300, 359]), np.array([0, 300, 700, 719])
        found = dataset.read()[:, rows, columns].T
        x, y = rasterio.transform.xy(dataset.transform, rows, columns)
    np.testing.assert_allclose(found, expected(x, y), atol=1e-6)


def test_other_reference_systems(tmp_path):
    """Metres in Lambert azimuthal equal area, of which the corners are beyond the globe."""
    half = '+proj=laea +lat_0=90 +lon_0=0 +datum=WGS84 +units=m'
    embed_grid(f'-1.3e7,-1.3e7,1.3e7,1.3e7 [{half}]', 2e5, tmp_path / 'o.tif', **FORMULA)
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        values = dataset.read()
        x, y = rasterio.transform.xy(dataset.transform, [80], [30])
        to_degrees = pyproj.Transformer.from_crs(dataset.crs, 'EPSG:4326', always_xy=True)
    np.testing.assert_allclose(
        values[:, 80, 30], expected(*to_degrees.transform(x, y))[0], atol=1e-6
    )
    assert np.isnan(values[:, 0, 0]).all()
    assert np.isfinite(values[:, 65, 65]).all()


def test_the_extent_of_another_reference_system(tmp_path):
    result = embed_grid(
        '10,50,11,51 [EPSG:4326]', 10_000, tmp_path / 'o.tif', crs='EPSG:32632', **FORMULA
    )
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        assert dataset.crs == 'EPSG:32632'
        assert dataset.res == (10_000, 10_000)
        left, bottom, right, top = rasterio.warp.transform_bounds(
            dataset.crs, 'EPSG:4326', *dataset.bounds
        )
    assert (left <= 10, bottom <= 50, right >= 11, top >= 51) == (True,) * 4
    assert result.width in (7, 8)


def test_components_and_picture(tmp_path):
    result = embed_grid(
        '-20,30,40,70', 0.5, tmp_path / 'o.tif', crs='EPSG:4326', model='location_harmonics',
        components=5, picture=tmp_path / 'p.tif',
    )  # fmt: skip
    assert result.dimensions == 5
    assert 0.8 < result.explained_variance < 1
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        assert dataset.count == 5
        variances = dataset.read().var(axis=(1, 2))
    assert (np.diff(variances) < 0).all()
    with rasterio.open(tmp_path / 'p.tif') as dataset:
        assert (dataset.count, dataset.dtypes[0], dataset.nodata) == (3, 'uint8', 0)
        shown = dataset.read()
    assert shown.min() >= 1
    assert (shown.std(axis=(1, 2)) > 40).all()


def test_a_picture_alone_leaves_the_vectors_as_they_are(tmp_path):
    extent = '0,0,10,10 [EPSG:4326]'
    embed_grid(extent, 1, tmp_path / 'a.tif', **FORMULA)
    result = embed_grid(extent, 1, tmp_path / 'b.tif', picture=tmp_path / 'p.tif', **FORMULA)
    assert result.explained_variance is None
    with rasterio.open(tmp_path / 'a.tif') as a, rasterio.open(tmp_path / 'b.tif') as b:
        np.testing.assert_allclose(a.read(), b.read(), atol=1e-6)


@pytest.mark.parametrize(
    ('extent', 'options', 'message'),
    [
        ('-180,-90,180,90 [EPSG:4326]', {'resolution': 0.1}, r'3600 x 1800 = 6,480,000 in the'),
        ('0,0,10,10', {}, 'has no coordinate reference system'),
        ('0,0,10,10 [EPSG:4326]', {'crs': 'EPSG:0'}, "crs: 'EPSG:0' is not known"),
        ('48,100,49,120 [EPSG:4326]', {}, 'lies beyond the poles'),
        ('400000,5000000,500000,5100000 [EPSG:4326]', {'resolution': 1e4}, 'beyond the poles'),
        ('0,0,1,1 [EPSG:4326]', {'maximum_cells': 99, 'resolution': 0.1}, 'which is 99'),
    ],
)
def test_areas_that_are_refused(tmp_path, extent, options, message):
    given = {'resolution': 1.0, **FORMULA, **options}
    with pytest.raises(BadParameter, match=message):
        embed_grid(extent, given.pop('resolution'), tmp_path / 'o.tif', **given)
    assert not list(tmp_path.iterdir())


def test_more_cells_if_they_are_wanted(tmp_path):
    extent = '0,0,1,1 [EPSG:4326]'
    result = embed_grid(extent, 0.1, tmp_path / 'o.tif', maximum_cells=100, **FORMULA)
    assert result.width * result.height == 100


def test_longitudes_beyond_the_antimeridian(tmp_path):
    embed_grid('170,0,190,10 [EPSG:4326]', 1, tmp_path / 'o.tif', **FORMULA)
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        found = dataset.read()[:, 5, 15]
    np.testing.assert_allclose(found, expected([-174.5], [4.5])[0], atol=1e-6)


def test_a_network_gives_cells_what_it_gives_points(tmp_path):
    """Rows of cells are computed in another way than points."""
    network = {'model': 'satclip_resnet18_l10', 'untrained': True, 'seed': 3}
    embed_grid('-180,60,180,90 [EPSG:4326]', 15, tmp_path / 'o.tif', **network)
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        rows, columns = np.mgrid[: dataset.height, : dataset.width].reshape(2, -1)
        x, y = rasterio.transform.xy(dataset.transform, rows, columns)
        found = dataset.read().reshape(256, -1)
    points = write_points(tmp_path / 'in.gpkg', zip(x, y, strict=True))
    embed_points(points, tmp_path / 'o.parquet', form='array', **network)
    wanted = np.stack(read_layer(tmp_path / 'o.parquet')['embedding'])
    np.testing.assert_allclose(found.T, wanted, atol=1e-5)
    assert wanted.std(axis=0).max() > 0.01
