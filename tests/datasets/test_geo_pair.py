import numpy as np
import pytest
import torch

from tests.datasets.makers import boxes, class_map, grid_transform, image_of, write_polygons
from tests.rasters import write_raster
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
    pixels = whole(GeoPair(str(before), str(after), labels))
    inside = pixels.valid
    assert 0 < inside.sum() < inside.size
    # at the edge of an image there is nothing to interpolate with
    within = inside & np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
    np.testing.assert_allclose(pixels.image[1][0][within], pixels.image[0][0][within], atol=0.01)
    assert (pixels.mask[~inside] == -1).all()


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


def test_dates_of_different_bands(dates, tmp_path):
    other = write_raster(tmp_path / 'o.tif', image_of(class_map(), bands=3))
    with pytest.raises(BadInput, match='has 3 bands'):
        GeoPair(dates[0], other, dates[0])
