import pickle
from concurrent.futures import ThreadPoolExecutor

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
import torch
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.warp import calculate_default_transform, reproject
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples
from torchgeo.samplers import GriddedPatchSampler, RandomPatchSampler

from tests.datasets.makers import (
    boxes,
    class_map,
    grid_transform,
    image_of,
    write_pair_of_layers,
    write_polygons,
)
from tests.rasters import UTM, write_raster
from torchgeo_ext.datasets import TiledRaster, _handles, collate_samples, unbind_samples
from torchgeo_ext.errors import BadInput, BadParameter, TorchgeoExtError
from torchgeo_ext.samplers import SeededRandomSampler, TiledSampler


def whole(dataset, scene=0):
    return dataset.pixels(scene, dataset.grids[scene].window)


def test_sample_is_what_the_files_hold(tmp_path):
    classes = class_map()
    image, labels = write_pair_of_layers(tmp_path, classes)
    dataset = TiledRaster(image, labels)
    sample = dataset[dataset.bounds]
    assert sample['image'].dtype == torch.float32
    assert sample['mask'].dtype == torch.int64
    np.testing.assert_array_equal(sample['image'], image_of(classes))
    np.testing.assert_array_equal(sample['mask'], classes - 1)
    assert [entry.value for entry in dataset.classes] == [1, 2, 3]
    assert dataset.bands == ('B02', 'B03')
    assert len(dataset) == 1


def test_bands_are_chosen_in_the_order_given(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    sample = (dataset := TiledRaster(image, labels, bands=[2, 1]))[dataset.bounds]
    np.testing.assert_array_equal(sample['image'], image_of(class_map())[::-1])
    assert dataset.bands == ('B03', 'B02')


def test_scale_and_offset_of_each_file_make_physical_values(tmp_path):
    classes = class_map()
    paths = []
    for number, (scale, offset) in enumerate([(1e-4, 0.0), (1e-4, -0.1)]):
        stored = image_of(classes) + (1000 if offset else 0)
        path = write_raster(tmp_path / f'{number}.tif', stored.astype('uint16'))
        with rasterio.open(path, 'r+') as dataset:
            dataset.scales, dataset.offsets = (scale, scale), (offset, offset)
        paths.append(path)
    labels = write_raster(tmp_path / 'labels.tif', classes)
    dataset = TiledRaster(paths, labels)
    np.testing.assert_allclose(whole(dataset, 0).image, whole(dataset, 1).image, atol=1e-6)
    np.testing.assert_allclose(whole(dataset, 0).image[0], image_of(classes) * 1e-4, rtol=1e-6)


def test_invalid_pixels_have_no_label_and_are_filled(tmp_path):
    classes = class_map()
    values = image_of(classes)
    values[1, 3, 5] = 7
    image = write_raster(tmp_path / 'image.tif', values, nodata=7)
    labels = write_raster(tmp_path / 'labels.tif', classes)
    dataset = TiledRaster(str(image), str(labels))
    dataset.fill = np.array([11, 22], 'float32')
    sample = dataset[dataset.bounds]
    assert sample['mask'][3, 5] == -1
    assert sample['image'][:, 3, 5].tolist() == [11, 22]
    assert (sample['mask'] >= 0).sum() == classes.size - 1


def test_bands_may_have_nodata_values_of_their_own(tmp_path):
    values = image_of(class_map(), bands=3)
    for band in range(3):
        values[band, band * 10 : band * 10 + 10] = 60_000 + band
    path = str(write_raster(tmp_path / 'image.tif', values, nodata=60_001))
    valid = whole(TiledRaster(path, nodata=[60_000, None, 60_002])).measured[0]
    assert not valid[:30].any()
    assert valid[30:].all()
    # of the bands that are used, in their order
    valid = whole(TiledRaster(path, bands=[3, 1], nodata=[60_002, 60_000])).measured[0]
    assert valid.mean(1).tolist() == [0] * 10 + [1] * 10 + [0] * 10 + [1] * 34
    with pytest.raises(BadParameter, match=r'2 values, but of .* 3 bands'):
        TiledRaster(path, nodata=[1, 2])


def test_labels_without_value_are_left_out(tmp_path):
    classes = class_map(classes=4)
    image = write_raster(tmp_path / 'image.tif', image_of(classes))
    labels = write_raster(tmp_path / 'labels.tif', classes, nodata=4)
    dataset = TiledRaster(str(image), str(labels), ignore_value=2)
    assert [entry.value for entry in dataset.classes] == [1, 3]
    mask = whole(dataset).mask
    np.testing.assert_array_equal(mask, np.select([classes == 1, classes == 3], [0, 1], -1))


def test_labels_on_another_grid_are_brought_over_by_nearest_neighbour(tmp_path):
    image, _ = write_pair_of_layers(tmp_path)
    fine = class_map(70, 90, side=3, seed=5)
    labels = write_raster(
        tmp_path / 'fine.tif', fine, transform=grid_transform(7.0, column=3, row=2)
    )
    mask = whole(TiledRaster(image, str(labels))).mask
    expected = np.zeros((64, 80), 'uint8')
    reproject(
        fine, expected, src_transform=grid_transform(7.0, column=3, row=2), src_crs=UTM,
        dst_transform=grid_transform(), dst_crs=UTM, resampling=Resampling.nearest,
    )  # fmt: skip
    np.testing.assert_array_equal(mask, expected.astype(int) - 1)


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:32632', 'EPSG:3857'])
def test_labels_follow_images_into_their_reference_systems(tmp_path, crs):
    classes = class_map(200, 200, side=50)
    first = write_raster(tmp_path / 'a.tif', image_of(classes))
    labels = write_raster(tmp_path / 'labels.tif', classes)
    transform, width, height = calculate_default_transform(
        UTM, crs, 200, 200, *rasterio.open(first).bounds
    )
    there = np.zeros((2, height, width), 'uint16')
    reproject(
        image_of(classes), there, src_transform=grid_transform(), src_crs=UTM,
        dst_transform=transform, dst_crs=crs, resampling=Resampling.nearest,
    )  # fmt: skip
    second = write_raster(tmp_path / 'b.tif', there, crs=crs, transform=transform, nodata=0)
    dataset = TiledRaster([first, second], labels)
    pixels = whole(dataset, 1)
    assert pixels.valid.mean() > 0.5
    shown = np.rint(pixels.image[0, 0] / 1000 - 0.05).astype(int) - 1
    agree = (shown == pixels.mask)[pixels.mask >= 0]
    # the two were rounded to pixels by different ways
    assert agree.mean() > 0.98
    sample = dataset[dataset.bounds]
    assert sample['image'].shape[0] == 2


def test_polygons_read_by_window_equal_those_burnt_at_once(tmp_path):
    image, _ = write_pair_of_layers(tmp_path)
    random = np.random.default_rng(3)
    centres = random.uniform(0, 800, (40, 2)) * [1, -0.8] + [500_000, 5_300_000]
    shapes = shapely.buffer(shapely.points(centres), random.uniform(5, 120, 40))
    codes = random.integers(3, 6, 40)
    labels = write_polygons(tmp_path / 'labels.gpkg', shapes, kind=codes)
    dataset = TiledRaster(image, labels, class_field='kind')
    expected = rasterize(
        zip(shapes, codes - 3, strict=True), (64, 80), -1, transform=grid_transform(), dtype='int32'
    )
    for window in (Window(0, 0, 80, 64), Window(13, 7, 20, 31), Window(79, 63, 1, 1)):
        rows, columns = window.toslices()
        np.testing.assert_array_equal(dataset.pixels(0, window).mask, expected[rows, columns])
    assert (expected == -1).any()


def test_text_classes_are_numbered_in_alphabetical_order(tmp_path):
    image, _ = write_pair_of_layers(tmp_path)
    labels = write_polygons(
        tmp_path / 'labels.gpkg', boxes([(0, 0, 9, 9), (10, 10, 20, 20), (30, 30, 40, 40)]),
        layer='land cover', cover=['water', 'Forest', 'water'],
    )  # fmt: skip
    dataset = TiledRaster(f'{image}', f'{labels}|layername=land cover', class_field='cover')
    assert [(entry.value, entry.name) for entry in dataset.classes] == [(1, 'Forest'), (2, 'water')]
    mask = whole(dataset).mask
    assert (mask[0, 0], mask[10, 10], mask[35, 35], mask[9, 9]) == (1, 0, 1, -1)


def test_polygons_in_another_reference_system(tmp_path):
    image, _ = write_pair_of_layers(tmp_path)
    shapes = geopandas.GeoSeries(boxes([(0, 0, 40, 64), (40, 0, 80, 64)]), crs=UTM)
    labels = write_polygons(
        tmp_path / 'l.gpkg', shapes.to_crs('EPSG:4326'), 'EPSG:4326', kind=[1, 2]
    )
    mask = whole(TiledRaster(image, labels, class_field='kind')).mask
    assert (mask[:, :39] == 0).all()
    assert (mask[:, 41:] == 1).all()


def test_the_vector_file_is_read_once(tmp_path):
    image, _ = write_pair_of_layers(tmp_path)
    path = tmp_path / 'labels.gpkg'
    labels = write_polygons(path, boxes([(0, 0, 40, 64), (40, 0, 80, 64)]), kind=[1, 2])
    dataset = TiledRaster(image, labels, class_field='kind')
    path.unlink()
    assert set(np.unique(whole(dataset).mask)) == {0, 1}


def test_names_and_colours_come_with_the_label_raster(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    with rasterio.open(labels, 'r+') as dataset:
        dataset.write_colormap(1, {1: (0, 0, 255, 255), 2: (0, 128, 0, 255)})
    (tmp_path / 'labels_image.tif.aux.xml').write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category>water</Category>'
        '<Category>forest</Category></CategoryNames></PAMRasterBand></PAMDataset>'
    )
    classes = TiledRaster(image, labels).classes
    assert classes[:2] == ((1, 'water', '#0000ff'), (2, 'forest', '#008000'))
    assert classes[2].name == 'class 3'


_ATTRIBUTES = """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>
<FieldDefn index="0"><Name>Number</Name><Usage>5</Usage></FieldDefn>
<FieldDefn index="1"><Name>Cover</Name><Usage>2</Usage></FieldDefn>
<FieldDefn index="2"><Name>R</Name><Usage>6</Usage></FieldDefn>
<FieldDefn index="3"><Name>G</Name><Usage>7</Usage></FieldDefn>
<FieldDefn index="4"><Name>B</Name><Usage>8</Usage></FieldDefn>
<Row index="0"><F>1</F><F>water</F><F>0</F><F>0</F><F>255</F></Row>
<Row index="1"><F>2</F><F>forest</F><F>0</F><F>128</F><F>0</F></Row>
</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""
_STYLE = """<qgis><pipe><rasterrenderer type="paletted"><colorPalette>
<paletteEntry value="1" label="water" color="#0000ff" alpha="255"/>
<paletteEntry value="2" label="forest" color="#008000" alpha="255"/>
<paletteEntry value="3" label="3" color="#ffffff"/>
</colorPalette></rasterrenderer></pipe></qgis>"""


@pytest.mark.parametrize(
    ('name', 'text'), [('labels.tif.aux.xml', _ATTRIBUTES), ('labels.qml', _STYLE)]
)
def test_names_and_colours_lie_beside_the_label_raster(tmp_path, name, text):
    classes = class_map(classes=2)
    image = write_raster(tmp_path / 'image.tif', image_of(classes))
    labels = write_raster(tmp_path / 'labels.tif', classes)
    (tmp_path / name).write_text(text, encoding='utf-8')
    told = TiledRaster(str(image), str(labels)).classes
    assert told == ((1, 'water', '#0000ff'), (2, 'forest', '#008000'))


def test_names_of_the_attribute_table_of_arcgis(tmp_path):
    classes = class_map(classes=2)
    image = write_raster(tmp_path / 'image.tif', image_of(classes))
    labels = write_raster(tmp_path / 'labels.tif', classes)
    table = pd.DataFrame({'VALUE': [1, 2], 'COUNT': [5, 6], 'CLASS_NAME': ['water', 'forest']})
    pyogrio.write_dataframe(table, tmp_path / 'table.dbf', driver='ESRI Shapefile')
    (tmp_path / 'table.dbf').rename(tmp_path / 'labels.tif.vat.dbf')
    told = TiledRaster(str(image), str(labels)).classes
    assert [(c.value, c.name) for c in told] == [(1, 'water'), (2, 'forest')]


def test_broken_tables_of_classes_are_told_and_left(tmp_path, caplog):
    image, labels = write_pair_of_layers(tmp_path, class_map(classes=2))
    sidecar = tmp_path / 'labels_image.tif.aux.xml'
    sidecar.write_text(_ATTRIBUTES.replace('<F>1</F>', ''), encoding='utf-8')
    assert TiledRaster(image, labels).classes[0].name == 'class 1'
    assert 'labels_image.tif.aux.xml cannot be read' in caplog.text


def test_polygons_of_several_files(tmp_path):
    image = write_raster(tmp_path / 'image.tif', image_of(class_map()))
    west = write_polygons(tmp_path / 'w.gpkg', boxes([(0, 0, 40, 64)]), name=['rye'])
    frame = geopandas.GeoDataFrame({'name': ['oats']}, geometry=boxes([(30, 0, 80, 64)]), crs=UTM)
    frame.to_crs(4326).to_file(tmp_path / 'e.geojson')
    dataset = TiledRaster(str(image), [west, str(tmp_path / 'e.geojson')], class_field='name')
    mask = dataset[next(iter(TiledSampler(dataset, size=80)))]['mask']
    assert [entry.name for entry in dataset.classes] == ['oats', 'rye']
    assert (mask[:64, :29] == 1).all()
    assert (mask[:64, 31:] == 0).all()


def test_a_date_is_found_and_chosen(tmp_path):
    classes = class_map()
    for day in ('20200501', '20210501'):
        write_raster(tmp_path / f's_{day}.tif', image_of(classes, seed=int(day)))
    labels = write_raster(tmp_path / 'labels.tif', classes)
    dataset = TiledRaster([tmp_path / 's_20210501.tif', tmp_path / 's_20200501.tif'], labels)
    x, y, t = dataset.bounds
    assert (t.start.year, t.stop.year) == (2020, 2021)
    later = dataset[x, y, pd.Timestamp('2021-01-01') : pd.Timestamp('2021-12-31')]
    np.testing.assert_array_equal(later['image'], image_of(classes, seed=20210501))
    # torchgeo.md, trap 5: a query without time must not mix dates
    np.testing.assert_array_equal(dataset[x, y]['image'], image_of(classes, seed=20200501))
    with pytest.raises(IndexError, match='not found'):
        dataset[x, y, pd.Timestamp('2019-01-01') : pd.Timestamp('2019-12-31')]


def test_geometry_is_exact_where_float32_is_not(tmp_path):
    # torchgeo.md, trap 2: TorchGeo is wrong by half a pixel here
    transform = rasterio.Affine(0.5, 0, 499995.3, 0, -0.5, 4649685.22)
    image, labels = write_pair_of_layers(tmp_path, transform=transform)
    sample = (dataset := TiledRaster(image, labels))[dataset.bounds]
    assert sample['transform'].tolist() == list(transform)
    assert sample['bounds'][0] == 499995.3
    assert sample['bounds'][4] == 4649685.22


@pytest.mark.parametrize('sampler', [RandomPatchSampler, GriddedPatchSampler])
def test_torchgeos_own_samplers_and_collation_work(tmp_path, sampler):
    image, labels = write_pair_of_layers(tmp_path)
    dataset = TiledRaster([image, image], labels)
    loader = DataLoader(dataset, 2, sampler=sampler(dataset, size=16), collate_fn=stack_samples)
    for batch in loader:
        assert batch['image'].shape[1:] == (2, 16, 16)
        shown = torch.round(batch['image'][:, 0] / 1000 - 0.05).long() - 1
        assert torch.equal(shown[batch['mask'] >= 0], batch['mask'][batch['mask'] >= 0])


def test_windows_beyond_the_raster_are_padded_without_label(tmp_path):
    image, labels = write_pair_of_layers(tmp_path, class_map(20, 30))
    dataset = TiledRaster(image, labels)
    pixels = dataset.pixels(0, Window(-2, -3, 64, 32))
    assert pixels.image.shape == (1, 2, 32, 64)
    assert pixels.valid.sum() == (pixels.mask >= 0).sum() == 20 * 30
    np.testing.assert_array_equal(pixels.mask[3:23, 2:32], class_map(20, 30) - 1)


def test_what_is_kept_in_memory_equals_what_is_read(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    dataset, kept = (TiledRaster(image, labels) for _ in range(2))
    assert kept.fits_in_cache
    kept.keep()
    for patch in SeededRandomSampler(dataset, size=16, length=5, seed=0):
        for key, value in dataset[patch].items():
            assert torch.equal(value, kept[patch][key])
    assert not TiledRaster(image, labels, cache=1000).fits_in_cache


def test_dataset_and_patches_travel_to_workers(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    dataset = TiledRaster(image, labels)
    patch = next(iter(TiledSampler(dataset, size=32, overlap=8)))
    sample = dataset[patch]
    other, there = pickle.loads(pickle.dumps((dataset, patch)))
    assert (there.window, there.core, there.scene) == (patch.window, patch.core, patch.scene)
    assert torch.equal(other[there]['mask'], sample['mask'])


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_a_raster_without_georeference_is_welcome_if_labels_have_none_either(tmp_path):
    classes = class_map()
    identity = rasterio.Affine.identity()
    image = write_raster(tmp_path / 'i.tif', image_of(classes), crs=None, transform=identity)
    labels = write_raster(tmp_path / 'l.tif', classes, crs=None, transform=identity)
    dataset = TiledRaster(str(image), str(labels))
    np.testing.assert_array_equal(dataset[dataset.bounds]['mask'], classes - 1)


@pytest.fixture
def neighbours(tmp_path):
    """Two rasters of one day side by side, cut from one image."""
    image = image_of(class_map(64, 160))
    west = write_raster(tmp_path / 'w_20200601.tif', image[:, :, :80])
    east = write_raster(
        tmp_path / 'e_20200601.tif', image[:, :, 80:], transform=grid_transform(column=80)
    )
    return [west, east], image


def test_a_slice_across_rasters_is_a_mosaic(neighbours, tmp_path):
    paths, image = neighbours
    labels = write_raster(tmp_path / 'labels.tif', class_map(64, 160))
    dataset = TiledRaster(paths, labels)
    x, y = 500_000 + 600, 5_300_000 - 320
    sample = dataset[x : x + 320, y : y + 320]
    np.testing.assert_array_equal(sample['image'], image[:, :32, 60:92])
    np.testing.assert_array_equal(sample['mask'], class_map(64, 160)[:32, 60:92] - 1)
    assert sample['transform'].tolist() == list(grid_transform(column=60))
    whole_sample = dataset[dataset.bounds]
    np.testing.assert_array_equal(whole_sample['image'], image)


def test_a_mosaic_never_mixes_dates(neighbours, tmp_path):
    paths, _ = neighbours
    later = tmp_path / 'e_20210601.tif'
    paths[1].rename(later)
    sample = (dataset := TiledRaster([paths[0], later]))[dataset.bounds]
    assert sample['mask_valid'].sum() == 64 * 80


def test_steps_resample(neighbours):
    paths, image = neighbours
    dataset = TiledRaster(paths, resampling='nearest')
    x, y, _ = dataset.bounds
    sample = dataset[x.start : x.stop : 20, y.start : y.stop : 20]
    assert sample['image'].shape == (2, 32, 80)
    assert set(np.unique(sample['image'])) <= set(np.unique(image))


def test_duplicates_are_told(tmp_path, caplog):
    image = image_of(class_map())
    names = ['a_20200601.tif', 'b_20200601.tif', 'c_20190601.tif', 'undated.tif', 'nodate.tif']
    paths = [write_raster(tmp_path / name, image) for name in names]
    TiledRaster([paths[0], *paths[2:]])
    assert 'count twice' not in caplog.text
    TiledRaster(paths)
    assert '1 of 5 images are of the same time' in caplog.text
    assert f'such as {paths[0]} and {paths[1]}' in caplog.text


@pytest.mark.parametrize('reverse', [False, True])
def test_where_duplicates_overlap_the_first_of_equals_counts(tmp_path, reverse):
    image = image_of(class_map())
    paths = [
        write_raster(tmp_path / f'{name}_{day}.tif', image + number)
        for number, (name, day) in enumerate([('b', 20200601), ('a', 20200601), ('c', 20190601)])
    ]
    dataset = TiledRaster(paths[::-1] if reverse else paths)
    # the earliest one
    np.testing.assert_array_equal(dataset[dataset.bounds]['image'], image + 2)
    x, y, _ = dataset.bounds
    later = dataset[x, y, pd.Timestamp('2020-01-01') : pd.Timestamp('2021-01-01')]
    np.testing.assert_array_equal(later['image'], image + (1 if reverse else 0))
    # one that covers more of the slice
    wider = write_raster(tmp_path / 'wider.tif', image_of(class_map(64, 90)))
    both = TiledRaster([paths[0], wider])
    np.testing.assert_array_equal(both[both.bounds]['image'], image_of(class_map(64, 90)))


def test_slices_across_the_antimeridian(tmp_path):
    image = image_of(class_map(64, 160))
    step = 0.001

    def write(name, values, west):
        transform = rasterio.Affine(step, 0, west, 0, -step, 10)
        return write_raster(tmp_path / name, values, crs='EPSG:4326', transform=transform)

    one = TiledRaster(write('one.tif', image, 179.92))
    two = TiledRaster([
        write('west.tif', image[:, :, :80], 179.92), write('east.tif', image[:, :, 80:], -180.0)
    ])  # fmt: skip
    window = np.s_[:, 10:30, 60:100]
    for dataset in (one, two):
        assert dataset.bounds[0].stop == pytest.approx(180.08)
        for turn in (0, -360):
            x = slice(179.98 + turn, 180.02 + turn)
            sample = dataset[x, slice(9.97, 9.99)]
            np.testing.assert_array_equal(sample['image'], image[window])
            assert sample['mask_valid'].all()
    east = two[-180:-179.98, 9.97:9.99]
    np.testing.assert_array_equal(east['image'], image[:, 10:30, 80:100])
    for sampler in (
        RandomPatchSampler(two, size=8, length=9, generator=0),
        TiledSampler(two, size=32),
    ):
        for patch in sampler:
            assert two[patch]['mask_valid'].all()


@pytest.mark.parametrize('kept', [False, True])
def test_samples_may_be_changed(tmp_path, kept):
    image, labels = write_pair_of_layers(tmp_path)
    dataset = TiledRaster(image, labels)
    if kept:
        dataset.keep()
    for _ in range(2):
        sample = dataset[dataset.bounds]
        np.testing.assert_array_equal(sample['image'], image_of(class_map()))
        np.testing.assert_array_equal(sample['mask'], class_map() - 1)
        assert sample['mask_valid'].all()
        sample['image'].zero_()
        sample['mask'].zero_()
        sample['mask_valid'].zero_()


@pytest.mark.filterwarnings('ignore:.*This process.*is multi-threaded:DeprecationWarning')
def test_workers_read_what_the_main_process_reads(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    dataset = TiledRaster(image, labels)
    sampler = TiledSampler(dataset, size=16)
    # the files are open when the workers are forked
    expected = [dataset[patch] for patch in sampler]
    loader = DataLoader(dataset, 2, sampler=sampler, num_workers=2, collate_fn=collate_samples)
    found = [sample for batch in loader for sample in unbind_samples(batch)]
    assert len(found) == len(expected) == 20
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key])


@pytest.mark.filterwarnings('ignore:.*This process.*is multi-threaded:DeprecationWarning')
@pytest.mark.parametrize('workers', [0, 2])
def test_a_batch_is_read_as_its_samples_are(tmp_path, workers):
    image, labels = write_pair_of_layers(tmp_path)
    drawn = []
    dataset = TiledRaster(image, labels, transforms=lambda s: drawn.append(1) or s)
    patches = list(TiledSampler(dataset, size=16))
    expected = [dataset[patch] for patch in patches]
    loader = DataLoader(
        dataset, len(patches), sampler=patches, num_workers=workers, collate_fn=lambda batch: batch
    )
    (found,) = loader
    assert len(drawn) == len(patches) * (1 if workers else 2)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_images_of_a_batch_are_read_where_the_batch_has_them(tmp_path):
    dataset = TiledRaster(*write_pair_of_layers(tmp_path))
    samples = dataset.__getitems__(list(TiledSampler(dataset, size=16)))
    batch = collate_samples(samples)
    assert batch['image'].data_ptr() == samples[0]['image'].data_ptr()
    assert torch.equal(batch['image'], torch.stack([sample['image'] for sample in samples]))


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_of_patches_beyond_the_rim_and_of_what_is_missing(tmp_path, workers):
    values = np.arange(2 * 20 * 20, dtype='float32').reshape(2, 20, 20)
    values[:, 9, 9] = -1
    dataset = TiledRaster(write_raster(tmp_path / 'a.tif', values, nodata=-1))
    dataset.fill = np.array([3, 4], 'float32')
    x, y, t = dataset.bounds
    pixel = dataset.res[0]
    patches = [
        (
            slice(x.start + shift * pixel, x.start + (shift + 16) * pixel),
            slice(y.start + shift * pixel, y.start + (shift + 16) * pixel),
            t,
        )
        for shift in (-8, 2, 12)
    ]
    expected = [dataset[patch] for patch in patches]
    loader = DataLoader(
        dataset, 3, sampler=patches, num_workers=workers, collate_fn=collate_samples
    )
    (batch,) = loader
    for sample, other in zip(unbind_samples(batch), expected, strict=True):
        assert torch.equal(sample['image'], other['image'])
        missing = ~sample['mask_valid']
        assert missing.any()
        for band, fill in zip(sample['image'], (3, 4), strict=True):
            assert (band[missing] == fill).all()


def test_an_error_in_a_batch_is_that_of_its_patch(tmp_path):
    dataset = TiledRaster(*write_pair_of_layers(tmp_path))
    x, y, t = dataset.bounds
    with pytest.raises(IndexError, match='not found in dataset'):
        dataset.__getitems__([(x, y, t), (slice(0, 10, 10), slice(0, 10, 10), t)])


def test_threads_have_their_own_files(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    dataset = TiledRaster(image, labels)
    patches = list(TiledSampler(dataset, size=16)) * 4
    expected = [dataset[patch]['image'] for patch in patches]
    with ThreadPoolExecutor(4) as pool:
        for found, image in zip(pool.map(dataset.__getitem__, patches), expected, strict=True):
            assert torch.equal(found['image'], image)


def test_many_files_do_not_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(_handles, '_MOST_OPEN', 3)
    _handles._open.close()  # what tests before left open
    paths = []
    for number in range(6):
        image = image_of(class_map(), seed=number)
        transform = grid_transform(column=80 * number)
        paths.append(write_raster(tmp_path / f'{number}.tif', image, transform=transform))
    dataset = TiledRaster(paths)
    for _ in range(2):
        for number in range(6):
            image = dataset.pixels(number, Window(0, 0, 80, 64)).image[0]
            np.testing.assert_array_equal(image, image_of(class_map(), seed=number))
    assert len(_handles._open._readers) <= 3


def test_label_rasters_may_be_many_and_larger(neighbours, tmp_path):
    paths, _ = neighbours
    classes = class_map(100, 300, classes=4) * 50
    folder = tmp_path / 'masks'
    folder.mkdir()
    for number, part in enumerate(np.split(classes, 3, axis=1)):
        transform = grid_transform(column=100 * number - 10, row=-10)
        write_raster(folder / f'{number}.tif', part, transform=transform)
    dataset = TiledRaster(paths, folder)
    # 50, 100, 150, 200: neither from 0 nor without gaps
    assert [entry.value for entry in dataset.classes] == [50, 100, 150, 200]
    for scene, column in enumerate((10, 90)):
        expected = classes[10:74, column : column + 80] // 50 - 1
        np.testing.assert_array_equal(whole(dataset, scene).mask, expected)


def test_classes_that_are_known_need_no_look(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    dataset = TiledRaster(image, labels, classes={1: 'water', 3: 'forest'})
    assert [entry.name for entry in dataset.classes] == ['water', 'forest']
    expected = np.select([class_map() == 1, class_map() == 3], [0, 1], -1)
    np.testing.assert_array_equal(whole(dataset).mask, expected)


def test_a_slice_where_nothing_is(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)
    with pytest.raises(IndexError, match='not found'):
        TiledRaster(image, labels)[0:10, 0:10]


def test_images_without_labels_are_told(tmp_path, caplog):
    image, labels = write_pair_of_layers(tmp_path)
    far = write_raster(
        tmp_path / 'far.tif', image_of(class_map()), transform=grid_transform(column=9000),
        names=('B02', 'B03'),
    )  # fmt: skip
    dataset = TiledRaster([image, far], labels)
    assert '1 of 2 images have no labels' in caplog.text
    assert (whole(dataset, 1).mask == -1).all()


class TestBadInput:
    @pytest.fixture
    def image(self, tmp_path):
        return write_pair_of_layers(tmp_path)[0]

    def fails(self, *arguments, error=BadInput, **options):
        with pytest.raises(error) as caught:
            TiledRaster(*arguments, **options)
        assert caught.value.hint
        return caught.value.message

    def test_no_features(self, image, tmp_path):
        empty = write_polygons(tmp_path / 'empty.gpkg', [], kind=np.array([], int))
        assert 'has no features' in self.fails(image, empty, class_field='kind')

    def test_no_overlap_of_polygons(self, image, tmp_path):
        labels = write_polygons(tmp_path / 'l.gpkg', boxes([(900, 0, 910, 9)]), kind=[1])
        assert 'none of the 1 polygons' in self.fails(image, labels, class_field='kind')

    def test_no_overlap_of_rasters(self, image, tmp_path):
        far = write_raster(tmp_path / 'l.tif', class_map(), transform=grid_transform(column=900))
        assert 'where no image is' in self.fails(image, str(far))

    def test_class_field_needed(self, image, tmp_path):
        labels = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 9, 9)]), kind=[1])
        assert 'class_field' in self.fails(image, labels)

    def test_class_field_unknown(self, image, tmp_path):
        labels = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 9, 9)]), kind=[1])
        message = self.fails(image, labels, class_field='klass', error=BadParameter)
        assert "no field 'klass'" in message

    @pytest.mark.parametrize('values', [['a', None, 'b'], [1.0, np.nan, 2.0], ['a', '', 'b']])
    def test_class_field_with_nulls(self, image, tmp_path, values):
        shapes = boxes([(0, 0, 9, 9), (10, 0, 19, 9), (20, 0, 29, 9)])
        labels = write_polygons(tmp_path / 'l.gpkg', shapes, kind=values)
        assert '1 of 3 features' in self.fails(image, labels, class_field='kind')

    def test_class_field_of_measurements(self, image, tmp_path):
        shapes = boxes([(0, 0, 9, 9), (10, 0, 19, 9)])
        labels = write_polygons(tmp_path / 'l.gpkg', shapes, area=[1.5, 2.25])
        assert 'no whole numbers' in self.fails(image, labels, class_field='area')

    def test_points(self, image, tmp_path):
        labels = write_polygons(tmp_path / 'l.gpkg', [shapely.Point(500_010, 5_299_990)], kind=[1])
        assert 'Point' in self.fails(image, labels, class_field='kind')

    def test_a_single_class(self, image, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', np.full((64, 80), 5, 'uint8'))
        assert 'a single class' in self.fails(image, str(labels))

    def test_nothing_labelled(self, image, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', np.zeros((64, 80), 'uint8'), nodata=0)
        assert 'no labelled pixel' in self.fails(image, str(labels))

    def test_everything_ignored(self, image, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', np.ones((64, 80), 'uint8'))
        assert 'ignore_value 1' in self.fails(image, str(labels), ignore_value=1)

    def test_measurements_as_labels(self, image, tmp_path):
        labels = write_raster(
            tmp_path / 'l.tif', np.linspace(0, 1, 5120, dtype='f4').reshape(64, 80)
        )
        self.fails(image, str(labels))

    def test_a_picture_as_labels(self, image):
        assert 'has 2 bands' in self.fails(image, image)

    def test_negative_class(self, image, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', class_map().astype('int16') - 2)
        assert 'the value -1' in self.fails(image, str(labels))

    def test_mixed_band_counts(self, image, tmp_path):
        other = write_raster(tmp_path / 'o.tif', image_of(class_map(), bands=3))
        message = self.fails([image, str(other)], image)
        assert 'has 3 bands' in message
        assert 'has 2' in message

    def test_image_without_reference_system(self, tmp_path):
        bare = write_raster(tmp_path / 'bare.tif', image_of(class_map()), crs=None)
        labels = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 9, 9)]), kind=[1])
        message = self.fails(str(bare), labels, class_field='kind')
        assert 'no coordinate reference system' in message

    @pytest.mark.filterwarnings("ignore:'crs' was not provided")
    def test_labels_without_reference_system(self, image, tmp_path):
        labels = write_polygons(tmp_path / 'l.gpkg', boxes([(0, 0, 9, 9)]), crs=None, kind=[1])
        assert 'labels' in self.fails(image, labels, class_field='kind')

    def test_neither_raster_nor_layer(self, image, tmp_path):
        (tmp_path / 'notes.txt').write_text('nothing')
        message = self.fails(image, str(tmp_path / 'notes.txt'), error=TorchgeoExtError)
        assert 'notes.txt' in message
