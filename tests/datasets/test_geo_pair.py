import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.warp import calculate_default_transform, reproject
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples
from torchgeo.samplers import GriddedPatchSampler, RandomPatchSampler

from tests.datasets.makers import boxes, class_map, grid_transform, image_of, write_polygons
from tests.rasters import UTM, write_raster
from torchgeo_ext.datasets import GeoPair
from torchgeo_ext.errors import BadInput, BadParameter


@pytest.fixture
def dates(tmp_path):
    """Two images whose fields differ, and which do."""
    first, second = class_map(seed=1), class_map(seed=2)
    before = write_raster(tmp_path / 'before_20200601.tif', image_of(first))
    after = write_raster(tmp_path / 'after_20210601.tif', image_of(second))
    return str(before), str(after), first != second


def whole(dataset, scene=0):
    return dataset.pixels(scene, dataset.grids[scene].window)


def test_sample_has_torchgeos_form_of_a_pair(dates, tmp_path):
    before, after, changed = dates
    labels = write_raster(tmp_path / 'l.tif', changed.astype('uint8'))
    sample = (dataset := GeoPair(before, after, labels))[dataset.bounds]
    assert sample['image'].shape == (2, 2, 64, 80)
    assert sample['mask'].shape == (1, 64, 80)
    np.testing.assert_array_equal(sample['mask'][0], changed)
    np.testing.assert_array_equal(sample['image'][1], image_of(class_map(seed=2)))
    assert dataset.bounds[2].start.year == 2020
    assert dataset.bounds[2].stop.year == 2021


@pytest.mark.parametrize('yes', [1, 255])
def test_two_values_are_a_question_of_yes_or_no(dates, tmp_path, yes):
    before, after, changed = dates
    labels = write_raster(tmp_path / 'l.tif', (changed * yes).astype('uint8'))
    classes = GeoPair(before, after, labels).classes
    assert [entry.name for entry in classes] == ['unchanged', 'change']
    assert [entry.value for entry in classes] == [0, yes]


def test_more_values_are_kinds_of_change(dates, tmp_path):
    labels = write_raster(tmp_path / 'l.tif', class_map() - 1)
    classes = GeoPair(*dates[:2], labels).classes
    assert [entry.name for entry in classes] == ['unchanged', 'class 1', 'class 2']


def test_the_inside_of_polygons_is_change(dates, tmp_path):
    labels = write_polygons(tmp_path / 'l.gpkg', boxes([(5, 5, 20, 10)]), note=['x'])
    mask = whole(GeoPair(*dates[:2], labels)).mask
    assert (mask[5:10, 5:20] == 1).all()
    assert mask.sum() == 5 * 15
    assert mask.min() == 0


def test_outside_of_kinds_of_change_nothing_changed(dates, tmp_path):
    labels = write_polygons(
        tmp_path / 'l.gpkg', boxes([(5, 5, 20, 10), (30, 30, 40, 40)]), kind=['built', 'cut']
    )
    dataset = GeoPair(*dates[:2], labels, class_field='kind')
    assert [entry.name for entry in dataset.classes] == ['unchanged', 'built', 'cut']
    assert np.unique(whole(dataset).mask).tolist() == [0, 1, 2]


def test_polygons_without_label_are_not_unchanged(dates, tmp_path):
    labels = write_polygons(
        tmp_path / 'l.gpkg', boxes([(5, 5, 20, 10), (30, 30, 40, 40)]), kind=[1, 9]
    )
    mask = whole(GeoPair(*dates[:2], labels, class_field='kind', ignore_value=9)).mask
    assert (mask[5, 5], mask[35, 35], mask[0, 0]) == (1, -1, 0)


@pytest.mark.parametrize(('unchanged', 'built'), [('No change', 'built'), (0, 4)])
def test_with_unchanged_polygons_the_outside_has_no_label(dates, tmp_path, unchanged, built):
    labels = write_polygons(
        tmp_path / 'l.gpkg', boxes([(5, 5, 20, 10), (30, 30, 40, 40)]), kind=[built, unchanged]
    )
    dataset = GeoPair(*dates[:2], labels, class_field='kind')
    assert dataset.classes[0].value == 0
    mask = whole(dataset).mask
    assert (mask[5, 5], mask[35, 35], mask[0, 0]) == (1, 0, -1)


def test_the_later_image_is_brought_onto_the_grid_of_the_earlier(tmp_path):
    ramp = np.broadcast_to(np.arange(80) * 10.0, (1, 64, 80)).astype('float32')
    before = write_raster(tmp_path / 'b.tif', ramp)
    # twice as fine, half a pixel to the east, and one part of the place only
    fine = np.broadcast_to(np.arange(100) * 5.0 + 52.5, (1, 100, 100)).astype('float32')
    after = write_raster(tmp_path / 'a.tif', fine, transform=grid_transform(5.0, column=11))
    labels = write_raster(tmp_path / 'l.tif', class_map(classes=2) - 1)
    dataset = GeoPair(str(before), str(after), labels)
    assert [grid.transform for grid in dataset.grids] == [grid_transform(column=5)]
    pixels = whole(dataset)
    assert pixels.image.shape == (2, 1, 50, 51)
    inside = pixels.valid
    # at the edge of an image there is nothing to interpolate with
    within = inside & np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
    assert within[:, 2:-2].all()
    np.testing.assert_allclose(pixels.image[1][0][within], pixels.image[0][0][within], atol=0.01)
    assert (pixels.mask[~inside] == -1).all()
    np.testing.assert_array_equal(pixels.mask[:, 2:-2], class_map(classes=2)[:50, 7:54] - 1)


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:32632'])
def test_dates_in_other_reference_systems(tmp_path, crs):
    ground = np.kron(class_map(40, 40, side=10), np.ones((5, 5), int))
    before = write_raster(tmp_path / 'b.tif', image_of(ground))
    transform, width, height = calculate_default_transform(
        UTM, crs, 200, 200, *rasterio.open(before).bounds
    )
    there = np.zeros((2, height, width), 'uint16')
    reproject(
        image_of(ground), there, src_transform=grid_transform(), src_crs=UTM,
        dst_transform=transform, dst_crs=crs, resampling=Resampling.nearest,
    )  # fmt: skip
    after = write_raster(tmp_path / 'a.tif', there, crs=crs, transform=transform, nodata=0)
    pixels = whole(GeoPair(before, after, resampling='nearest'))
    first, second = (np.rint(date[0] / 1000 - 0.05)[pixels.valid] for date in pixels.image)
    assert pixels.valid.mean() > 0.95
    assert (first == second).mean() > 0.97


def test_mosaics_of_one_place(dates, tmp_path):
    before, after, _ = dates
    image = image_of(class_map(seed=2))
    west = write_raster(tmp_path / 'west.tif', image[:, :, :50])
    east = write_raster(
        tmp_path / 'east.tif', image[:, :, 40:] + 1, transform=grid_transform(column=40)
    )
    dataset = GeoPair(before, [[west, east]])
    assert len(dataset) == 1
    pixels = whole(dataset)
    assert pixels.valid.all()
    np.testing.assert_array_equal(pixels.image[1, :, :, :50], image[:, :, :50])
    np.testing.assert_array_equal(pixels.image[1, :, :, 50:], image[:, :, 50:] + 1)
    folder = tmp_path / 'mosaic'
    folder.mkdir()
    for path in (west, east):
        path.rename(folder / path.name)
    # by name: east comes first, in the files of a folder
    joined = whole(GeoPair(folder, after))
    np.testing.assert_array_equal(joined.image[0, :, :, 40:], image[:, :, 40:] + 1)


@pytest.mark.parametrize('sampler', [RandomPatchSampler, GriddedPatchSampler])
def test_torchgeos_samplers_and_collation(dates, tmp_path, sampler):
    before, after, changed = dates
    labels = write_raster(tmp_path / 'l.tif', changed.astype('uint8'))
    dataset = GeoPair(before, after, labels)
    loader = DataLoader(dataset, 2, sampler=sampler(dataset, size=16), collate_fn=stack_samples)
    for batch in loader:
        assert batch['image'].shape[1:] == (2, 2, 16, 16)
        first, second = torch.round(batch['image'][:, :, 0] / 1000 - 0.05).unbind(1)
        there = batch['mask'][:, 0] >= 0
        assert torch.equal((first != second)[there], (batch['mask'][:, 0] == 1)[there])


def test_more_than_two_dates(dates, tmp_path):
    between = write_raster(tmp_path / 'between.tif', image_of(class_map(seed=3)))
    sample = (dataset := GeoPair(*dates[:2], between=[between]))[dataset.bounds]
    assert sample['image'].shape == (3, 2, 64, 80)
    np.testing.assert_array_equal(sample['image'][1], image_of(class_map(seed=3)))
    assert 'mask' not in sample


def test_clouds_of_either_date_have_no_label(dates, tmp_path):
    before, after, changed = dates
    labels = write_raster(tmp_path / 'l.tif', changed.astype('uint8'))
    first, second = (np.zeros((64, 80), 'uint8') for _ in range(2))
    first[0, 0], second[1, 1], second[2, 2] = 9, 9, 4
    clouds = [write_raster(tmp_path / f'c{n}.tif', mask) for n, mask in enumerate((first, second))]
    dataset = GeoPair(before, after, labels, clouds=clouds, cloud_values=[9])
    sample = dataset[dataset.bounds]
    assert np.argwhere(~sample['mask_valid'].numpy()).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert np.argwhere(sample['mask'][0].numpy() < 0).tolist() == [[0, 0], [1, 1]]
    with pytest.raises(BadParameter, match='clouds has 1 dates, but there are 2'):
        GeoPair(before, after, clouds=clouds[:1])


def test_a_pixel_counts_only_if_both_dates_are_valid(tmp_path):
    values = image_of(class_map())
    first, second = values.copy(), values.copy()
    first[:, 0, 0] = second[:, 9, 9] = 0
    before = write_raster(tmp_path / 'b.tif', first, nodata=0)
    after = write_raster(tmp_path / 'a.tif', second, nodata=0)
    labels = write_raster(tmp_path / 'l.tif', class_map(classes=2) - 1)
    pixels = whole(GeoPair(str(before), str(after), labels))
    assert np.argwhere(~pixels.valid).tolist() == [[0, 0], [9, 9]]
    assert np.argwhere(pixels.mask < 0).tolist() == [[0, 0], [9, 9]]


def test_several_pairs(dates, tmp_path):
    before, after, changed = dates
    labels = write_raster(tmp_path / 'l.tif', changed.astype('uint8'))
    dataset = GeoPair([before, after], [after, before], labels)
    assert len(dataset) == 2
    assert torch.equal(
        torch.from_numpy(whole(dataset, 0).image), torch.from_numpy(whole(dataset, 1).image).flip(0)
    )


def test_dates_in_the_wrong_order_are_told(dates, caplog):
    GeoPair(*dates[:2])
    assert not caplog.records
    GeoPair(dates[1], dates[0])
    assert 'not in time order' in caplog.text


def test_lists_of_different_length(dates, tmp_path):
    with pytest.raises(BadParameter, match='before has 2 images, but after has 1'):
        GeoPair([dates[0]] * 2, dates[1], tmp_path / 'l.tif')


def test_dates_that_do_not_overlap(dates, tmp_path):
    far = write_raster(
        tmp_path / 'far.tif', image_of(class_map()), transform=grid_transform(column=500)
    )
    with pytest.raises(BadInput, match='do not overlap'):
        GeoPair(dates[0], far, dates[0])


def test_one_date_without_reference_system(dates, tmp_path):
    bare = write_raster(tmp_path / 'bare.tif', image_of(class_map()), crs=None)
    with pytest.raises(BadInput, match=r'after: .*bare\.tif has no coordinate reference system'):
        GeoPair(dates[0], bare, dates[0])


def test_dates_whose_bands_have_another_order(tmp_path):
    values = image_of(class_map(64, 64))
    files = [
        write_raster(tmp_path / f'{name}.tif', values, names=bands)
        for name, bands in (('before', ['B02', 'B03']), ('after', ['B03', 'B02']))
    ]
    with pytest.raises(BadInput, match=r'has the bands B03, B02, but .*in the order B02, B03'):
        GeoPair(*map(str, files))
    assert GeoPair(*map(str, files), bands=['B02', 'B03']).bands == ('B02', 'B03')


def test_dates_of_different_bands(dates, tmp_path):
    other = write_raster(tmp_path / 'o.tif', image_of(class_map(), bands=3))
    with pytest.raises(BadInput, match='has 3 bands'):
        GeoPair(dates[0], other, dates[0])
