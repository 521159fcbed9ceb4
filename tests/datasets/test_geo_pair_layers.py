"""Land cover of both dates, damage and existing maps of one's own pairs."""

import numpy as np
import pytest
import torch

from tests.datasets.makers import boxes, class_map, grid_transform, image_of, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.datasets import GeoPair, VectorLabels
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import SeededRandomSampler

#: Land cover of both dates.
FIRST, SECOND = class_map(seed=1), class_map(seed=2)
#: Two fields, and what they are called in English.
WEST, EAST = (0, 0, 40, 64), (40, 0, 80, 64)


@pytest.fixture
def pair(tmp_path):
    before = write_raster(tmp_path / 'before_20200601.tif', image_of(FIRST))
    after = write_raster(tmp_path / 'after_20210601.tif', image_of(SECOND))
    return str(before), str(after)


@pytest.fixture
def covers(tmp_path):
    """Label rasters of the two dates, 10 times the class each."""
    paths = (
        write_raster(tmp_path / f'{name}.tif', cover * 10)
        for name, cover in (('cover1', FIRST), ('cover2', SECOND))
    )
    return dict(zip(('labels_before', 'labels_after'), map(str, paths), strict=True))


def name_classes(raster, words):
    """Give the values of a raster names, as GDAL keeps them."""
    entries = ''.join(f'<Category>{word}</Category>' for word in words)
    raster.with_name(f'{raster.name}.aux.xml').write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames>'
        f'{entries}</CategoryNames></PAMRasterBand></PAMDataset>'
    )


def whole(dataset):
    return dataset[dataset.bounds]


def names(dataset):
    return [(entry.value, entry.name) for entry in dataset.classes]


def test_land_cover_of_both_dates(pair, covers):
    dataset = GeoPair(*pair, **covers)
    sample = whole(dataset)
    np.testing.assert_array_equal(sample['mask'], np.stack([FIRST, SECOND]))
    np.testing.assert_array_equal(sample['mask_change'][0], FIRST != SECOND)
    assert sample['mask'].dtype == sample['mask_change'].dtype == torch.int64
    assert names(dataset) == [
        (0, 'unchanged'), (10, 'class 10'), (20, 'class 20'), (30, 'class 30'),
    ]  # fmt: skip
    assert [entry.value for entry in dataset.told_classes] == [10, 20, 30]
    assert dataset.mask_layers == 2


def test_places_are_counted_by_what_they_became(pair, covers):
    dataset = GeoPair(*pair, **covers)
    mask = dataset.pixels(0, dataset.grids[0].window).mask
    np.testing.assert_array_equal(mask, np.where(FIRST != SECOND, SECOND, 0))


def test_labels_of_change_rule_over_differences(pair, covers, tmp_path):
    changed = np.zeros_like(FIRST)
    changed[:8, :8] = 255
    labels = str(write_raster(tmp_path / 'changed.tif', changed))
    sample = whole(dataset := GeoPair(*pair, labels, **covers))
    np.testing.assert_array_equal(sample['mask_change'][0], changed > 0)
    mask = dataset.pixels(0, dataset.grids[0].window).mask
    np.testing.assert_array_equal(mask, np.where(changed > 0, SECOND, 0))


def test_what_is_unknown_on_one_date(pair, tmp_path):
    first, second = FIRST.copy(), SECOND.copy()
    first[0, 0], second[1, 1], first[2, 2] = 9, 255, 0
    before = str(write_raster(tmp_path / 'c1.tif', first))
    after = str(write_raster(tmp_path / 'c2.tif', second, nodata=255))
    sample = whole(
        GeoPair(*pair, labels_before=before, labels_after=after, ignore_value=9)
    )  # fmt: skip
    mask, change = sample['mask'], sample['mask_change'][0]
    assert np.argwhere(mask.numpy() < 0).tolist() == [[0, 0, 0], [0, 2, 2], [1, 1, 1]]
    assert np.argwhere(change.numpy() < 0).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert mask[1, 0, 0] == SECOND[0, 0]


def test_clouds_and_gaps_of_either_date_exclude_all_labels(covers, tmp_path):
    first = image_of(FIRST)
    first[:, 5, 5] = 0
    before = str(write_raster(tmp_path / 'b.tif', first, nodata=0))
    after = str(write_raster(tmp_path / 'a.tif', image_of(SECOND)))
    clouds = [np.zeros_like(FIRST), np.zeros_like(FIRST)]
    clouds[1][7, 7] = 1
    masks = [write_raster(tmp_path / f'{n}.tif', cloud) for n, cloud in enumerate(clouds)]
    sample = whole(
        GeoPair(before, after, **covers, clouds=masks, map_before=covers['labels_before'])
    )
    for mask in (*sample['mask'], sample['mask_change'][0]):
        assert np.argwhere(mask.numpy() < 0).tolist() == [[5, 5], [7, 7]]
    # the map is known without an image
    np.testing.assert_array_equal(sample['mask_before'][0], FIRST)


def test_land_cover_on_other_grids(pair, tmp_path):
    fine = np.kron(FIRST, np.ones((2, 2), 'uint8'))
    before = str(write_raster(tmp_path / 'c1.tif', fine, resolution=5.0))
    # cut to a part of the place
    after = str(
        write_raster(
            tmp_path / 'c2.tif', SECOND[8:, 16:], transform=grid_transform(column=16, row=8)
        )
    )
    sample = whole(GeoPair(*pair, labels_before=before, labels_after=after))
    np.testing.assert_array_equal(sample['mask'][0], FIRST)
    np.testing.assert_array_equal(sample['mask'][1, 8:, 16:], SECOND[8:, 16:])
    assert (sample['mask'][1, :8] == -1).all()
    assert (sample['mask_change'][0, :8] == -1).all()


def test_polygons_of_both_dates_share_their_words(pair, tmp_path):
    before = write_polygons(tmp_path / 'b.gpkg', boxes([WEST, EAST]), use=['water', 'Forest'])
    after = write_polygons(tmp_path / 'a.gpkg', boxes([WEST, EAST]), use=['built', 'forest'])
    dataset = GeoPair(*pair, labels_before=before, labels_after=after, class_field='use')
    assert [entry.name.lower() for entry in dataset.classes] == [
        'unchanged', 'built', 'forest', 'water',
    ]  # fmt: skip
    sample = whole(dataset)
    assert sample['mask'][:, 0, 0].tolist() == [3, 1]
    assert sample['mask'][:, 0, 79].tolist() == [2, 2]
    assert sample['mask_change'][0, 0, [0, 79]].tolist() == [1, 0]


def test_polygons_in_degrees_beside_a_raster_with_names(pair, tmp_path):
    before = write_raster(tmp_path / 'c1.tif', FIRST)
    name_classes(before, ['', 'water', 'built', 'forest'])
    after = write_polygons(tmp_path / 'a.gpkg', boxes([WEST]), use=['Forest'])
    dataset = GeoPair(
        *pair, labels_before=before, labels_after=VectorLabels(after, class_field='use')
    )
    assert names(dataset)[1:] == [(1, 'water'), (2, 'built'), (3, 'forest')]
    sample = whole(dataset)
    assert (sample['mask'][1, :, :40] == 3).all()
    assert (sample['mask'][1, :, 40:] == -1).all()
    meadow = write_polygons(tmp_path / 'm.gpkg', boxes([WEST]), use=['meadow'])
    with pytest.raises(BadInput, match="labels_after has the class 'meadow', which is none of 1 w"):
        GeoPair(*pair, labels_before=before, labels_after=meadow, class_field='use')


def test_given_classes_are_all_there_may_be(pair, covers):
    classes = {10: 'water', 20: 'built', 30: 'forest', 40: 'rock'}
    dataset = GeoPair(*pair, **covers, classes=classes)
    assert names(dataset) == [(0, 'unchanged'), *classes.items()]
    assert whole(dataset)['mask'].max() == 3
    del classes[20]
    with pytest.raises(BadInput, match=r'labels_before: .*cover1\.tif has the value 20, which is'):
        GeoPair(*pair, **covers, classes=classes)
    with pytest.raises(BadParameter, match='0 is called sea, but means that there is no class'):
        GeoPair(*pair, **covers, classes={0: 'sea', 10: 'land'})


def test_values_that_mean_different_things(pair, covers, tmp_path):
    name_classes(tmp_path / 'cover1.tif', [''] * 10 + ['water'])
    name_classes(tmp_path / 'cover2.tif', [''] * 10 + ['forest'])
    with pytest.raises(
        BadInput, match='Value 10 is water in labels_before, but forest in labels_after'
    ):
        GeoPair(*pair, **covers)


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        ('labels_after', 'labels_before is given, but labels_after is not'),
        ('labels_before', 'labels_after is given, but neither labels_before nor map_before is'),
    ],
)
def test_labels_of_one_date_alone(pair, covers, missing, message):
    del covers[missing]
    with pytest.raises(BadParameter, match=message):
        GeoPair(*pair, **covers)


def test_land_cover_of_a_single_class(pair, tmp_path):
    same = str(write_raster(tmp_path / 'same.tif', np.ones_like(FIRST)))
    with pytest.raises(BadInput, match='the only class of land cover is class 1'):
        GeoPair(*pair, labels_before=same, labels_after=same)


def test_an_existing_map_beside_labels_of_change(pair, covers, tmp_path):
    labels = str(write_raster(tmp_path / 'l.tif', (FIRST != SECOND).astype('uint8')))
    some = FIRST * 10
    some[0, 0], some[1, 1] = 0, 255
    land_cover = str(write_raster(tmp_path / 'map.tif', some, nodata=255))
    dataset = GeoPair(*pair, labels, map_before=land_cover)
    sample = whole(dataset)
    np.testing.assert_array_equal(sample['mask'][0], FIRST != SECOND)
    assert sample['mask_before'].shape == (1, 64, 80)
    assert sample['mask_before'][0, [0, 1, 9], [0, 1, 9]].tolist() == [0, -1, FIRST[9, 9]]
    assert 'mask_change' not in sample
    assert [entry.name for entry in dataset.classes] == ['unchanged', 'change']
    assert [entry.value for entry in dataset.map_classes] == [0, 10, 20, 30]
    assert 'mask_before' in whole(GeoPair(*pair, map_before=land_cover))


def test_a_map_stands_for_the_labels_of_the_earlier_date(pair, covers):
    dataset = GeoPair(
        *pair, map_before=covers['labels_before'], labels_after=covers['labels_after']
    )
    sample = whole(dataset)
    np.testing.assert_array_equal(sample['mask'], np.stack([FIRST, SECOND]))
    np.testing.assert_array_equal(sample['mask_before'][0], FIRST)


def test_labels_are_held_out_and_maps_are_not(pair, covers):
    dataset = GeoPair(*pair, **covers, map_before=covers['labels_before'])
    hidden = dataset.only_where(lambda grid, window: np.zeros((window.height, window.width), bool))
    sample = whole(hidden)
    assert (sample['mask'] == -1).all()
    assert (sample['mask_change'] == -1).all()
    np.testing.assert_array_equal(sample['mask_before'][0], FIRST)


def test_samples_from_memory_are_those_of_the_files(pair, covers):
    options = covers | {'map_before': covers['labels_before']}
    slow, fast = GeoPair(*pair, **options), GeoPair(*pair, **options)
    fast.keep()
    for patch in SeededRandomSampler(slow, size=24, length=5):
        one, other = slow[patch], fast[patch]
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
        other['mask'].fill_(7)
        other['mask_before'].fill_(7)
    assert int(whole(fast)['mask'].max()) == 3
    assert int(whole(fast)['mask_before'].max()) == 3


def test_a_patch_that_reaches_beyond_the_raster(pair, covers):
    dataset = GeoPair(*pair, **covers)
    x, y, t = dataset.bounds
    sample = dataset[x.start - 50 : x.start + 50, y.stop - 50 : y.stop + 50, t]
    assert sample['mask'].shape == (2, 10, 10)
    assert (sample['mask'][:, :5] == -1).all()
    np.testing.assert_array_equal(sample['mask'][0, 5:, 5:], FIRST[:5, :5])


LEVELS = ['no building', 'no damage', 'minor damage', 'major damage', 'destroyed']
HOUSES = [(5, 5, 10, 10), (20, 5, 30, 10), (40, 20, 45, 30), (60, 40, 70, 60)]


@pytest.mark.parametrize(
    'damage', [['no-damage', 'destroyed', 'Minor_Damage', 'un-classified'], [1, 4, 2, -9]]
)
def test_damage_by_xbds_names_and_numbers(pair, tmp_path, damage):
    buildings = write_polygons(tmp_path / 'd.gpkg', boxes(HOUSES[:3]), damage=damage[:3])
    dataset = GeoPair(*pair, damage=buildings, class_field='damage')
    assert [entry.name for entry in dataset.classes] == LEVELS
    assert [entry.value for entry in dataset.told_classes] == [1, 2, 3, 4]
    mask = whole(dataset)['mask']
    assert mask.shape == (1, 64, 80)
    assert mask[0, [7, 7, 25, 0], [7, 25, 42, 0]].tolist() == [1, 4, 2, 0]


def test_damage_that_nobody_knows_has_no_label(pair, tmp_path):
    words = ['no-damage', 'destroyed', 'minor-damage', 'un-classified']
    buildings = write_polygons(tmp_path / 'd.gpkg', boxes(HOUSES), damage=words)
    mask = whole(GeoPair(*pair, damage=buildings, class_field='damage'))['mask'][0]
    assert (mask[40:60, 60:70] == -1).all()
    assert (mask == -1).sum() == 200


def test_other_levels_of_damage(pair, tmp_path):
    buildings = write_polygons(tmp_path / 'd.gpkg', boxes(HOUSES[:2]), state=['intact', 'gone'])
    levels = {1: 'intact', 2: 'damaged', 3: 'gone'}
    dataset = GeoPair(*pair, damage=buildings, class_field='state', classes=levels)
    assert names(dataset) == [(0, 'no building'), *levels.items()]
    assert whole(dataset)['mask'][0, 7, [7, 25]].tolist() == [1, 3]
    with pytest.raises(BadParameter, match=r'the levels of damage are \[0, 1, 3\]'):
        GeoPair(*pair, damage=buildings, class_field='state', classes={1: 'intact', 3: 'gone'})


def test_damage_as_a_raster(pair, tmp_path):
    values = np.zeros_like(FIRST)
    values[5:10, 5:10] = 3
    mask = whole(GeoPair(*pair, damage=str(write_raster(tmp_path / 'd.tif', values))))['mask']
    np.testing.assert_array_equal(mask[0], values)
    values[0, 0] = 7
    with pytest.raises(BadInput, match=r'damage: .*e\.tif has the value 7, which is none of'):
        GeoPair(*pair, damage=str(write_raster(tmp_path / 'e.tif', values)))


def test_damage_of_unknown_words(pair, tmp_path):
    buildings = write_polygons(tmp_path / 'd.gpkg', boxes(HOUSES[:2]), damage=['low', 'high'])
    with pytest.raises(BadInput, match=r"has the value 'high', which is none of the classes 0 no"):
        GeoPair(*pair, damage=buildings, class_field='damage')
    with pytest.raises(BadInput, match=r'class_field: damage \(.*\) are polygons'):
        GeoPair(*pair, damage=buildings)


def test_damage_and_land_cover_do_not_go_together(pair, covers):
    with pytest.raises(BadParameter, match='damage is given, and labels_before and labels_after'):
        GeoPair(*pair, damage=pair[0], **covers)


def test_layers_that_lie_elsewhere_are_named(pair, covers, tmp_path):
    far = write_raster(tmp_path / 'far.tif', FIRST, transform=grid_transform(column=500))
    with pytest.raises(BadInput, match=r'labels_after: .*far\.tif covers'):
        GeoPair(*pair, labels_before=covers['labels_before'], labels_after=str(far))


def write_months(folder, months=(1, 3, 4), transform=None):
    """Coarse images, whose pixels tell the month, row and column."""
    folder.mkdir()
    rows, columns = np.mgrid[:16, :20]
    for month in months:
        values = np.stack([1000 * month + rows, columns + 1]).astype('float32')
        write_raster(
            folder / f'm_2020-{month:02}-01.tif', values,
            transform=transform or grid_transform(40.0), nodata=-1,
        )  # fmt: skip
    return folder


def test_a_series_around_patches(pair, covers, tmp_path):
    dataset = GeoPair(*pair, **covers, series=write_months(tmp_path / 'months'), series_size=6)
    x, y, t = dataset.bounds
    # the middle is at row 32 and column 40 of the pair, the corner of a pixel of the series
    sample = dataset[x.start + 300 : x.start + 500, y.start + 220 : y.start + 420, t]
    assert sample['series'].shape == (3, 2, 6, 6)
    assert sample['series_days'].tolist() == [0, 60, 91]
    np.testing.assert_array_equal(sample['series'][:, 0, 0, 0], [1005, 3005, 4005])
    np.testing.assert_array_equal(sample['series'][0, 1, 0], np.arange(8, 14))
    corner = dataset[x.start : x.start + 80, y.stop - 80 : y.stop, t]
    # beyond the images nothing is measured
    assert (corner['series'][:, :, :2] == 0).all()
    assert (corner['series'][:, :, 2:, 2:] != 0).all()
    kept = GeoPair(*pair, **covers, series=tmp_path / 'months', series_size=6)
    kept.keep()
    again = kept[x.start + 300 : x.start + 500, y.start + 220 : y.start + 420, t]
    assert torch.equal(again['series'], sample['series'])


def test_series_of_elsewhere_or_no_size(pair, tmp_path):
    far = write_months(tmp_path / 'far', transform=grid_transform(40.0, column=500))
    with pytest.raises(BadInput, match=r'series: no image of it, such as .* covers the mid'):
        GeoPair(*pair, series=far)
    with pytest.raises(BadParameter, match='series_size is 0'):
        GeoPair(*pair, series=far, series_size=0)
