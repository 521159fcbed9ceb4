import json

import geopandas
import numpy as np
import pytest
import rasterio
import torch

from tests.datasets.makers import class_map, grid_transform, image_of
from tests.rasters import write_raster
from torchgeo_ext.datasets import RasterSeries, TiledRaster
from torchgeo_ext.errors import BadInput, BadParameter


@pytest.fixture
def folder(tmp_path):
    """Two neighbouring rasters, one of them in a folder below, and other things."""
    place = tmp_path / 'scenes'
    (place / 'more').mkdir(parents=True)
    write_raster(place / 'b_20200101.tif', image_of(class_map()))
    write_raster(
        place / 'more' / 'a_20200101.tif',
        image_of(class_map()),
        transform=grid_transform(column=80),
    )
    (place / 'notes.txt').write_text('nothing')
    return place


class TestFolders:
    def test_all_rasters_in_a_folder(self, folder):
        dataset = TiledRaster(folder)
        assert [path.rpartition('/')[2] for path in dataset.paths] == [
            'b_20200101.tif',
            'a_20200101.tif',
        ]

    def test_patterns(self, folder):
        assert len(TiledRaster(f'{folder}/*.tif')) == 1
        assert len(TiledRaster([f'{folder}/**/a_*.tif', folder / 'b_20200101.tif'])) == 2

    def test_a_vrt_is_a_raster(self, folder, tmp_path):
        vrt = tmp_path / 'all.vrt'
        source = folder / 'b_20200101.tif'
        vrt.write_text(
            '<VRTDataset rasterXSize="80" rasterYSize="64"><SRS>EPSG:32633</SRS>'
            '<GeoTransform>500000,10,0,5300000,0,-10</GeoTransform>'
            '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
            f'<SourceFilename>{source}</SourceFilename><SourceBand>2</SourceBand>'
            '</SimpleSource></VRTRasterBand></VRTDataset>'
        )
        dataset = TiledRaster(vrt)
        np.testing.assert_array_equal(dataset[dataset.bounds]['image'][0], image_of(class_map())[1])

    @pytest.mark.parametrize('what', ['empty', 'scenes/*.jp2', 'missing.tif'])
    def test_nothing_there(self, folder, tmp_path, what):
        (tmp_path / 'empty').mkdir()
        with pytest.raises(BadInput, match='image: '):
            TiledRaster(tmp_path / what)


class TestBands:
    def test_by_name_and_role(self, tmp_path):
        image = image_of(class_map(), bands=3)
        path = write_raster(tmp_path / 'i.tif', image, names=('B02', 'B03', 'B04'))
        sample = (dataset := TiledRaster(path, bands=['B04', 'b2']))[dataset.bounds]
        np.testing.assert_array_equal(sample['image'], image[[2, 0]])
        assert dataset.bands == ('B04', 'B02')
        with pytest.raises(BadParameter, match='B09'):
            TiledRaster(path, bands=['B09'])
        with pytest.raises(BadParameter, match='bands 1 to 3, but not 4'):
            TiledRaster(path, bands=[4])

    def test_common_bands_of_mixed_files(self, tmp_path):
        first = write_raster(
            tmp_path / 'a.tif', image_of(class_map(), bands=2), names=('B03', 'B04')
        )
        second = write_raster(
            tmp_path / 'b.tif', image_of(class_map(), bands=3), names=('B02', 'B03', 'B04'),
            transform=grid_transform(column=80),
        )  # fmt: skip
        with pytest.raises(BadInput, match=r'has 3 bands, but .* has 2'):
            TiledRaster([first, second])
        dataset = TiledRaster([first, second], bands=['B04'])
        pixels = dataset.pixels(1, dataset.grids[1].window)
        np.testing.assert_array_equal(pixels.image[0, 0], image_of(class_map(), bands=3)[2])

    def test_mixed_types(self, tmp_path):
        first = write_raster(tmp_path / 'a.tif', image_of(class_map()))
        second = write_raster(tmp_path / 'b.tif', image_of(class_map(), dtype='float32'))
        with pytest.raises(BadInput, match=r'holds float32, but .* holds uint16'):
            TiledRaster([first, second])

    def test_wavelengths_come_along(self, tmp_path):
        path = write_raster(tmp_path / 'i.tif', image_of(class_map(), bands=3))
        with rasterio.open(path, 'r+') as dataset:
            dataset.update_tags(1, wavelength='490', wavelength_units='nanometers')
            dataset.update_tags(3, wavelength='0.665', wavelength_units='micrometers')
        sample = (dataset := TiledRaster(path))[dataset.bounds]
        np.testing.assert_allclose(sample['wavelengths'], [0.49, np.nan, 0.665], rtol=1e-6)
        assert sample['wavelengths'].dtype == torch.float32
        for bands in ([0.665], ['red'], ['band 3']):
            assert (
                TiledRaster(path, bands=bands)[dataset.bounds]['image'][0, 0, 0]
                == sample['image'][2, 0, 0]
            )
        with pytest.raises(BadParameter, match='nir'):
            TiledRaster(path, bands=['nir'])

    def test_nodata_band_by_band(self, tmp_path):
        image = image_of(class_map()).astype('float32')
        image[0, 0, 0], image[1, 5, 5], image[1, 6, 6] = -1, -1, np.nan
        path = write_raster(tmp_path / 'i.tif', image)
        valid = (dataset := TiledRaster(path, nodata=-1))[dataset.bounds]['mask_valid']
        assert np.argwhere(~valid.numpy()).tolist() == [[0, 0], [5, 5], [6, 6]]


class TestCache:
    def test_it_is_a_geoparquet_file(self, folder, tmp_path):
        cache = tmp_path / 'index.parquet'
        first = TiledRaster(folder, index_cache=cache)
        frame = geopandas.read_parquet(cache)
        assert len(frame) == 2
        assert frame.crs == 'EPSG:4326'
        assert abs(frame.geometry.iloc[0].centroid.x - 15) < 0.1
        second = TiledRaster(folder, index_cache=cache)
        assert second.grids == first.grids
        assert second.bands == first.bands
        assert torch.equal(first[first.bounds]['image'], second[second.bounds]['image'])

    def test_files_that_changed_are_looked_at_again(self, folder, tmp_path):
        cache = tmp_path / 'index.parquet'
        TiledRaster(folder, index_cache=cache)
        path = folder / 'b_20200101.tif'
        write_raster(path, image_of(class_map(70, 30)), transform=grid_transform(column=-30))
        write_raster(folder / 'c_20200101.tif', image_of(class_map(10, 10)))
        grids = TiledRaster(folder, index_cache=cache).grids
        assert [grid.shape for grid in grids] == [(70, 30), (10, 10), (64, 80)]
        assert len(geopandas.read_parquet(cache)) == 3

    def test_something_else_under_that_name(self, folder, tmp_path):
        cache = tmp_path / 'index.parquet'
        cache.write_text('no parquet')
        with pytest.raises(BadInput, match='index_cache'):
            TiledRaster(folder, index_cache=cache)


class TestDamage:
    def test_a_broken_header(self, folder, caplog):
        (folder / 'broken.tif').write_bytes(b'II*\0' + bytes(60))
        with pytest.raises(BadInput, match=r'broken\.tif'):
            TiledRaster(folder)
        assert len(TiledRaster(folder, on_error='skip')) == 2
        assert 'broken.tif is left out' in caplog.text

    def test_broken_pixels(self, folder, caplog):
        path = folder / 'b_20200101.tif'
        path.write_bytes(path.read_bytes()[:-9000])
        dataset = TiledRaster(path)
        with pytest.raises(BadInput, match='cannot be read'):
            dataset[dataset.bounds]
        skipping = TiledRaster(folder, on_error='skip')
        for _ in range(2):
            sample = skipping[TiledRaster(path).bounds]
            assert not sample['mask_valid'].any()
            assert (sample['image'] == 0).all()
        assert caplog.text.count('are left out') == 1

    def test_nothing_left(self, tmp_path):
        (tmp_path / 'broken.tif').write_bytes(bytes(64))
        with pytest.raises(BadInput, match='none of 1 files'):
            TiledRaster(tmp_path, on_error='skip')


class TestItems:
    @pytest.fixture
    def collection(self, tmp_path):
        """Two items of two days, their 10 m and 20 m bands in files of their own."""
        items = []
        for day in (1, 2):
            image = image_of(class_map(), bands=2, seed=day)
            write_raster(tmp_path / f'red{day}.tif', image[0])
            write_raster(tmp_path / f'swir{day}.tif', image[1][::2, ::2], resolution=20.0)
            write_raster(tmp_path / f'scl{day}.tif', class_map())
            red = {'eo:bands': [{'name': 'B04', 'center_wavelength': 0.665}]}
            red |= {'raster:bands': [{'scale': 1e-4, 'offset': -0.1, 'nodata': 0}]}
            swir = {'bands': [{'name': 'B11', 'eo:center_wavelength': 1.61}]}
            items.append({
                'type': 'Feature', 'id': f'item{day}', 'links': [],
                'properties': {'datetime': f'2020-05-0{day}T10:30:21Z'},
                'assets': {
                    'red': {'href': f'./red{day}.tif', 'roles': ['data']} | red,
                    'swir16': {'href': f'swir{day}.tif', 'roles': ['data']} | swir,
                    'scl': {'href': str(tmp_path / f'scl{day}.tif'), 'roles': ['cloud']},
                    'thumbnail': {'href': 'preview.png', 'roles': ['thumbnail']},
                },
            })  # fmt: skip
        path = tmp_path / 'items.json'
        path.write_text(json.dumps({'type': 'FeatureCollection', 'features': items}))
        return path

    def test_assets_with_data_are_the_bands(self, collection):
        dataset = TiledRaster(collection)
        sample = dataset[dataset.bounds]
        assert len(dataset) == 2
        assert dataset.bands == ('B04', 'B11')
        np.testing.assert_allclose(sample['wavelengths'], [0.665, 1.61], rtol=1e-6)
        image = image_of(class_map(), bands=2, seed=1)
        np.testing.assert_allclose(sample['image'][0], image[0] * 1e-4 - 0.1, rtol=1e-4, atol=1e-6)
        assert sample['image'].shape == (2, 64, 80)
        assert dataset.index.index[0].left.isoformat() == '2020-05-01T10:30:21'

    def test_assets_by_key_or_role(self, collection):
        assert TiledRaster(collection, assets=['swir16', 'red']).bands == ('B11', 'B04')
        assert TiledRaster(collection, assets=['cloud']).bands == ('scl',)
        with pytest.raises(BadParameter, match='item1 has none with key or role nir'):
            TiledRaster(collection, assets=['nir'])

    def test_they_make_a_series(self, collection):
        dataset = RasterSeries(collection, assets=['red'])
        assert dataset[dataset.bounds]['doy'].tolist() == [122, 123]

    def test_assets_without_items(self, folder):
        with pytest.raises(BadParameter, match='names no STAC items'):
            TiledRaster(folder, assets=['red'])

    @pytest.mark.parametrize('text', ['{}', '[1]', 'nothing', '{"features": []}'])
    def test_other_files(self, tmp_path, text):
        (tmp_path / 'x.json').write_text(text)
        with pytest.raises(BadInput, match=r'x\.json'):
            TiledRaster(tmp_path / 'x.json')
