"""PlacedImages: images beside a table of places, or rasters that say where they are."""

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from affine import Affine
from torch.utils.data import DataLoader

from tests.rasters import gradient, write_raster
from torchgeo_ext.datasets import PlacedImages
from torchgeo_ext.errors import BadInput, BadParameter

PLACES = [(15.0, 47.8), (-120.5, 10.0), (179.99, -30.0)]


@pytest.fixture
def folder(tmp_path):
    """Three images of 20 x 24 pixels without georeference."""
    for number in range(3):
        values = gradient(2, 20, 24) + np.uint16(1000 * number)
        write_raster(tmp_path / f'{number}.tif', values, crs=None)
    return tmp_path


def write_table(folder, name='places.csv', **columns):
    frame = pd.DataFrame(PLACES, columns=['Lon', 'Lat'])
    frame = frame.assign(fn=[f'{number}.tif' for number in range(3)], **columns)
    frame.to_csv(folder / name, index=False)
    return str(folder / name)


def test_squares_of_images_and_places_of_a_table(folder):
    dataset = PlacedImages(folder, write_table(folder), size=8)
    assert len(dataset) == 3
    np.testing.assert_allclose(dataset.points, PLACES)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch['point'].dtype == torch.float64
    np.testing.assert_allclose(batch['point'], PLACES)
    middle = gradient(2, 20, 24)[:, 6:14, 8:16].astype('float32')
    torch.testing.assert_close(batch['image'][0], torch.from_numpy(middle))
    torch.testing.assert_close(batch['image'][2], torch.from_numpy(middle + 2000))


def test_crops_bands_and_small_images(folder):
    table = write_table(folder)
    torch.manual_seed(0)
    anywhere = PlacedImages(folder, table, size=8, bands=[2], random_crop=True)
    corners = {anywhere[0]['image'][0, 0, 0].item() for _ in range(30)}
    assert len(corners) > 10
    assert anywhere[0]['image'].shape == (1, 8, 8)
    large = PlacedImages(folder, table, size=64)
    assert large[1]['image'].shape == (2, 64, 64)
    assert 1001 <= large[1]['image'].min() <= large[1]['image'].max() <= 1960


def test_places_of_a_layer_are_brought_to_degrees(folder):
    points = geopandas.GeoSeries(shapely.points(PLACES), crs='EPSG:4326').to_crs('EPSG:3857')
    frame = geopandas.GeoDataFrame({'file': ['0.tif', '1.tif', '2.tif']}, geometry=points)
    frame.to_file(folder / 'places.gpkg')
    dataset = PlacedImages(folder, str(folder / 'places.gpkg'))
    np.testing.assert_allclose(dataset.points, PLACES)


def test_places_of_georeferenced_rasters(tmp_path):
    # 10 x 10 pixels around the central meridian of zone 33, and beyond the antimeridian
    utm = Affine(10, 0, 499_950, 0, -10, 5_300_050)
    write_raster(tmp_path / 'a.tif', gradient(1, 10, 10), transform=utm)
    wide = Affine(0.1, 0, 181.5, 0, -0.1, 10.5)
    write_raster(tmp_path / 'b.tif', gradient(1, 10, 10), crs='EPSG:4326', transform=wide)
    dataset = PlacedImages(tmp_path)
    np.testing.assert_allclose(dataset.points, [(15, 47.853), (-178, 10)], atol=1e-3)


def test_albums(folder):
    dataset = PlacedImages(
        folder,
        write_table(folder, place=['a', 'b', 'b']),
        album_field='place',
        album_size=3,
        size=4,
    )
    assert [len(place.files) for place in dataset.places] == [1, 2]
    one, two = dataset[0]['image'], dataset[1]['image']
    assert one.shape == two.shape == (3, 2, 4, 4)
    assert torch.equal(one[0], one[1])
    # both images come before one comes again
    assert len({image.sum().item() for image in two[:2]}) == 2
    # between longitudes -120.5 and 179.99 the short way
    assert dataset.points[1, 0] < -120.5


def test_pixels_without_value(tmp_path):
    values = np.zeros((2, 4, 4), 'int16')
    values[:, 1, 2] = -1
    write_raster(tmp_path / 'a.tif', values, nodata=-1)
    dataset = PlacedImages(tmp_path, size=4, fill=[7.0, 9.0])
    assert dataset[0]['image'][:, 1, 2].tolist() == [7, 9]
    assert dataset.select([0], fill=(5.0,))[0]['image'][:, 1, 2].tolist() == [5, 5]


def test_figures(folder):
    dataset = PlacedImages(
        folder,
        write_table(folder, place=['a', 'b', 'b']),
        album_field='place',
        album_size=2,
        size=4,
    )
    figure = dataset.plot(dataset[0], suptitle='There')
    assert figure.axes[0].get_title() == '15.0000, 47.8000'
    assert len(figure.axes) == 2


def test_what_cannot_be_used_is_refused(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp('empty')
    table = write_table(folder)
    with pytest.raises(BadInput, match='holds no raster'):
        PlacedImages(empty)
    with pytest.raises(BadInput, match=r'0.tif has no coordinate reference system'):
        PlacedImages(folder)
    with pytest.raises(BadInput, match='3 of the 3 files'):
        PlacedImages(empty, table)
    with pytest.raises(BadInput, match='cannot be read'):
        PlacedImages(folder, str(folder / 'none.csv'))
    with pytest.raises(BadParameter, match=r"longitude_field: .* no column 'x'.*Lon, Lat, fn"):
        PlacedImages(folder, table, longitude_field='x')
    with pytest.raises(BadParameter, match='album_field'):
        PlacedImages(folder, album_field='place')
    with pytest.raises(BadParameter, match='size is 0'):
        PlacedImages(folder, table, size=0)
    pd.DataFrame({'file': [], 'lon': [], 'lat': []}).to_csv(folder / 'no.csv', index=False)
    with pytest.raises(BadInput, match='there are none'):
        PlacedImages(folder, str(folder / 'no.csv'))
    pd.DataFrame({'file': ['0.tif'], 'lon': [10], 'lat': [95]}).to_csv(folder / 'far.csv')
    with pytest.raises(BadInput, match='out of range'):
        PlacedImages(folder, str(folder / 'far.csv'))
    square = geopandas.GeoDataFrame(
        {'file': ['0.tif']}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326
    )
    square.to_file(folder / 'square.gpkg')
    with pytest.raises(BadInput, match='points are needed'):
        PlacedImages(folder, str(folder / 'square.gpkg'))
    point = geopandas.GeoDataFrame({'file': ['0.tif']}, geometry=[shapely.Point(0, 0)])
    with pytest.warns(UserWarning, match='crs'):
        point.to_file(folder / 'p.gpkg')
    with pytest.raises(BadInput, match='no coordinate reference system'):
        PlacedImages(folder, str(folder / 'p.gpkg'))


def test_images_of_other_bands_are_refused(folder):
    write_raster(folder / '1.tif', gradient(1, 20, 24), crs=None)
    dataset = PlacedImages(folder, write_table(folder), size=8)
    with pytest.raises(BadInput, match=r'1.tif has 1 bands, but .*0.tif has 2'):
        dataset[1]
    assert PlacedImages(folder, write_table(folder), size=8, bands=[1])[1]['image'].shape[0] == 1
