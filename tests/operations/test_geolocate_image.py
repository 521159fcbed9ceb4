"""geolocate_image: where images were taken, on real files."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch

from tests.bundles.makers import checkpoint
from tests.rasters import write_raster
from tests.tasks.places import small_backbone
from torchgeo_ext.bundles import Band, BundleCard, read_bundle, write_bundle
from torchgeo_ext.cells import CellHierarchy
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import classify_tiles, create_bundle, describe_model, geolocate_image
from torchgeo_ext.tasks import Geolocation, geolocation

#: Bright places are in the east, and dark ones in the west; those at 15 east have UTM zone 33.
POINTS = [(-60, -30), (-62, -31), (15, 47.85), (140, 35), (142, 36)]
CELLS = CellHierarchy.build(POINTS, [2, 1])
LEVELS = [100, 120, 200, 300, 320]
SIZE = 16


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(geolocation, 'backbone_features', small_backbone)


@pytest.fixture(scope='module')
def task():
    """Has learned the place of each brightness."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geolocation, 'backbone_features', small_backbone)
        torch.manual_seed(0)
        made = Geolocation('small', in_channels=2, cells=CELLS.as_dict())
    images = (torch.tensor(LEVELS)[:, None, None, None].expand(-1, 2, SIZE, SIZE) - 200) / 80
    points = torch.tensor(POINTS, dtype=torch.float64)
    optimizer = torch.optim.Adam(made.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        made._loss(made(images), points).backward()
        optimizer.step()
    return made.eval()


@pytest.fixture(scope='module')
def bundle(task, tmp_path_factory):
    card = BundleCard(
        name='places', description='', task='geolocation', classes=(),
        bands=(Band('red', mean=200.0, std=80.0), Band('nir', mean=200.0, std=80.0)),
        tile_size=SIZE, halo=0, output_activation='softmax',
        architecture={
            'class': 'Geolocation',
            'arguments': {'model': 'small', 'in_channels': 2, 'cells': CELLS.as_dict()},
        },
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geolocation, 'backbone_features', small_backbone)
        return write_bundle(tmp_path_factory.mktemp('trained') / 'bundle', card, task)


def image(path, level, shape=(SIZE, SIZE), **options):
    values = np.full((2, *shape), level, 'uint16')
    return write_raster(path, values, names=['red', 'nir'], **options)


def read(path):
    return geopandas.read_file(path, layer=path.stem)


def test_cells_and_places_of_an_image_without_georeference(bundle, tmp_path):
    picture = image(tmp_path / 'a.tif', 300, crs=None)
    result = geolocate_image(
        picture, bundle, tmp_path / 'c.gpkg', places=tmp_path / 'p.gpkg', top=3
    )
    assert (result.longitude, result.latitude) == pytest.approx((140, 35), abs=1e-4)
    assert result.error_km is None
    assert result.tile_count == 1
    cells = read(tmp_path / 'c.gpkg')
    assert cells.crs == 'EPSG:4326'
    assert cells['rank'].tolist() == [1, 2, 3, 4, 5]
    assert cells['probability'].is_monotonic_decreasing
    assert cells['probability'].sum() == pytest.approx(1, abs=1e-6)
    assert set(cells['cell']) == set(CELLS.finest.tokens)
    first = cells.iloc[0]
    assert first['probability'] == pytest.approx(result.probability)
    assert first.geometry.contains(shapely.Point(140, 35))
    assert first['likelihood'] == '50 % and more'
    places = read(tmp_path / 'p.gpkg')
    assert len(places) == 3
    assert set(places.geom_type) == {'Point'}
    assert places.iloc[0].geometry.x == pytest.approx(result.longitude)
    assert places['radius_km'].iloc[0] == pytest.approx(result.radius_km)
    assert places['error_km'].isna().all()
    assert result.styles['output']['field'] == 'likelihood'


def test_where_images_say_they_are_is_compared(bundle, tmp_path):
    there = image(tmp_path / 'a.tif', 200)  # at 15 east, 47.8 north
    result = geolocate_image(there, bundle, tmp_path / 'c.gpkg', places=tmp_path / 'p.parquet')
    assert result.error_km == pytest.approx(0, abs=20)
    places = geopandas.read_parquet(tmp_path / 'p.parquet')
    assert places['error_km'].iloc[0] == pytest.approx(result.error_km)
    assert places['error_km'].iloc[1:].min() > 5000
    far = image(tmp_path / 'b.tif', 100)
    assert geolocate_image(far, bundle, tmp_path / 'c.gpkg').error_km > 9000


def test_coarse_cells_weigh_in_or_not(bundle, tmp_path):
    picture = image(tmp_path / 'a.tif', 250, crs=None)
    with torch.inference_mode():
        scores = read_bundle(bundle).build()(torch.full((1, 2, SIZE, SIZE), 250.0)).numpy()
    alone = scores[:, -len(CELLS.finest) :]
    both = CELLS.combine(scores.astype(float))
    for hierarchical, expected in ((True, both), (False, alone)):
        geolocate_image(picture, bundle, tmp_path / 'c.gpkg', hierarchical=hierarchical)
        found = read(tmp_path / 'c.gpkg').set_index('cell')['probability']
        np.testing.assert_allclose(found[CELLS.finest.tokens], expected[0], atol=1e-6)
    assert np.abs(both - alone).max() > 1e-3


def test_several_images_of_a_place_and_tiles_of_a_large_one(bundle, tmp_path, caplog):
    dark, bright = image(tmp_path / 'a.tif', 100), image(tmp_path / 'b.tif', 300)
    together = geolocate_image([dark, bright], bundle, tmp_path / 'c.gpkg', hierarchical=False)
    assert together.tile_count == 2
    found = read(tmp_path / 'c.gpkg').set_index('cell')['probability']
    alone = []
    for one in (dark, bright):
        geolocate_image(one, bundle, tmp_path / 'd.gpkg', hierarchical=False)
        alone.append(read(tmp_path / 'd.gpkg').set_index('cell')['probability'])
    np.testing.assert_allclose(found, (sum(alone) / 2)[found.index], atol=1e-5)
    large = image(tmp_path / 'e.tif', 300, shape=(70, 70))
    assert geolocate_image(large, bundle, tmp_path / 'c.gpkg').tile_count == 9
    assert geolocate_image(large, bundle, tmp_path / 'c.gpkg', tiles=30).tile_count == 25
    assert not [record for record in caplog.records if record.levelname == 'WARNING']
    with rasterio.open(bright, 'r+') as dataset:
        dataset.transform = dataset.transform.translation(600_000, 5_300_000)
    geolocate_image([dark, bright], bundle, tmp_path / 'c.gpkg')
    assert 'should show one place' in caplog.text


def test_few_cells_and_parts_without_data(bundle, tmp_path, caplog):
    picture = image(tmp_path / 'a.tif', 300)
    geolocate_image(picture, bundle, tmp_path / 'c.gpkg', minimum_probability=1.0)
    assert len(read(tmp_path / 'c.gpkg')) == 1
    values = np.full((2, SIZE, 4 * SIZE), 300, 'uint16')
    values[:, :, : 2 * SIZE + 1] = 0
    half = write_raster(tmp_path / 'h.tif', values, nodata=0)
    assert geolocate_image(half, bundle, tmp_path / 'c.gpkg').tile_count == 2
    empty = write_raster(tmp_path / 'e.tif', values * 0, nodata=0)
    with pytest.raises(BadInput, match='no tile of 16 x 16 pixels has data'):
        geolocate_image(empty, bundle, tmp_path / 'c.gpkg')
    small = image(tmp_path / 's.tif', 300, shape=(5, 9))
    assert geolocate_image(small, bundle, tmp_path / 'c.gpkg').longitude == pytest.approx(140)
    assert 'its middle is enlarged' in caplog.text


def test_bands_are_chosen_and_checked(bundle, tmp_path):
    one = write_raster(tmp_path / 'a.tif', np.full((1, SIZE, SIZE), 300, 'uint16'))
    with pytest.raises(BadInput, match='images'):
        geolocate_image(one, bundle, tmp_path / 'c.gpkg')
    assert not (tmp_path / 'c.gpkg').exists()
    twice = geolocate_image(
        write_raster(tmp_path / 'b.tif', np.full((3, SIZE, SIZE), 300, 'uint16')),
        bundle, tmp_path / 'c.gpkg', bands=[3, 1],
    )  # fmt: skip
    assert twice.longitude == pytest.approx(140)
    with pytest.raises(BadInput, match='does geolocation'):
        classify_tiles(one, bundle, tmp_path / 'c.gpkg')


def test_a_checkpoint_becomes_a_bundle(task, tmp_path):
    path = checkpoint(tmp_path / 'x.ckpt', task)
    picture = image(tmp_path / 'a.tif', 300)
    create_bundle(path, tmp_path / 'bundle', mean='200', std='80', tile_size=SIZE)
    described = describe_model(bundle=tmp_path / 'bundle')
    assert (described.task, described.class_count) == ('geolocation', 0)
    found = geolocate_image(picture, tmp_path / 'bundle', tmp_path / 'c.gpkg')
    assert found.longitude == pytest.approx(140)


def test_a_model_that_looks_at_one_image_after_the_other(tmp_path):
    torch.manual_seed(0)
    options = {
        'model': 'small', 'in_channels': 2, 'cells': CELLS.as_dict(), 'album': 'lstm', 'memory': 8,
    }  # fmt: skip
    task = Geolocation(**options).eval()
    path = checkpoint(tmp_path / 'x.ckpt', task)
    create_bundle(path, tmp_path / 'bundle', mean='200', std='80', tile_size=SIZE)
    dark, bright = image(tmp_path / 'a.tif', 100), image(tmp_path / 'b.tif', 300)
    geolocate_image([dark, bright], tmp_path / 'bundle', tmp_path / 'c.gpkg', hierarchical=False)
    levels = torch.tensor([100.0, 300.0])[None, :, None, None, None].expand(-1, -1, 2, SIZE, SIZE)
    with torch.inference_mode():
        expected = task((levels - 200) / 80).exp()[0, -len(CELLS.finest) :]
    found = read(tmp_path / 'c.gpkg').set_index('cell')['probability']
    np.testing.assert_allclose(found[CELLS.finest.tokens], expected, atol=1e-5)
