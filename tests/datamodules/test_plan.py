"""Which files of a folder are images and which are labels, and when that cannot be told."""

import numpy as np
import pytest

from tests.datasets.makers import boxes, class_map, grid_transform, image_of, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.datamodules._folder import look_at
from torchgeo_ext.datamodules._plan import Choice, make_plan, relative
from torchgeo_ext.errors import BadInput

CLASSES = class_map(40, 48)


def image(path, bands=3, dtype='uint16', **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    return write_raster(path, image_of(CLASSES, bands).astype(dtype), **options)


def labels(path, values=CLASSES, **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    return write_raster(path, values, **options)


def plan_of(folder, **choice):
    return make_plan(look_at(folder), Choice(**choice))


def names(folder, things):
    return [relative(look_at(folder), thing) for thing in things]


def images_of(folder, plan):
    return [names(folder, [image.path for image in group]) for group in plan.images]


def test_folders_of_images_and_labels(tmp_path):
    for part, column in (('a', 0), ('b', 48)):
        place = {'transform': grid_transform(column=column)}
        image(tmp_path / 'images' / f'{part}.tif', **place)
        labels(tmp_path / 'labels' / f'{part}.tif', **place)
    plan = plan_of(tmp_path)
    assert plan.task == 'segmentation'
    assert images_of(tmp_path, plan) == [['images/a.tif'], ['images/b.tif']]
    assert names(tmp_path, plan.labels) == ['labels/a.tif', 'labels/b.tif']
    assert plan.class_names == {}


def test_labels_need_no_word_in_their_name(tmp_path):
    image(tmp_path / 'june.tif')
    labels(tmp_path / 'fields.tif')
    assert names(tmp_path, plan_of(tmp_path).labels) == ['fields.tif']


def test_other_rasters_are_left_out_and_say_why(tmp_path):
    for day in ('2020-05-01', '2020-06-01'):
        image(tmp_path / f'scene_{day}.tif')
    write_raster(tmp_path / 'elevation.tif', CLASSES[None].astype('float32') / 3)
    labels(tmp_path / 'cloud_mask.tif', (CLASSES > 1).astype('uint8'))
    labels(tmp_path / 'landcover.tif')
    plan = plan_of(tmp_path)
    assert len(plan.images) == 2
    assert names(tmp_path, plan.labels) == ['landcover.tif']
    assert plan.left_out == {
        'elevation.tif': '1 band float32, unlike the images',
        'cloud_mask.tif': '1 band uint8, unlike the images',
    }


def test_numbers_of_tiles_are_no_dates(tmp_path):
    for number in range(5):
        place = {'transform': grid_transform(column=48 * number)}
        image(tmp_path / 'images' / f't{number}.tif', **place)
        labels(tmp_path / 'masks' / f't{number}.tif', **place)
    plan = plan_of(tmp_path)
    assert plan.task == 'segmentation'
    assert len(plan.images) == len(plan.labels) == 5


def test_layers_that_tell_no_classes_are_left_out(tmp_path):
    image(tmp_path / 'image.tif')
    fields = boxes([(0, 0, 20, 20), (20, 20, 48, 40)])
    write_polygons(tmp_path / 'all.gpkg', fields, layer='fields', crop=['rye', 'oats'])
    write_polygons(tmp_path / 'all.gpkg', boxes([(0, 0, 5, 5)]), layer='area', name=['x'])
    plan = plan_of(tmp_path)
    assert names(tmp_path, plan.labels) == ['all.gpkg|layername=fields']
    assert plan.left_out == {'all.gpkg|layername=area': 'has no field that tells classes apart'}


def test_bands_in_files_of_their_own(tmp_path):
    for band in (2, 3):
        image(tmp_path / f'LC08_L2SP_199026_20210604_20210610_02_T1_SR_B{band}.TIF', bands=1)
    labels(tmp_path / 'labels.tif')
    with pytest.raises(BadInput, match=r'different bands of one image \(B2, B3\)'):
        plan_of(tmp_path)


def test_many_labels_that_lie_nowhere(tmp_path):
    for number in (1, 2):
        image(tmp_path / 'images' / f'{number}.tif', crs=None)
        labels(tmp_path / 'masks' / f'{number}.tif', crs=None)
    with pytest.raises(BadInput, match='no reference system'):
        plan_of(tmp_path)


def test_images_lie_where_labels_are(tmp_path):
    image(tmp_path / 'here_2020-05-01.tif')
    image(tmp_path / 'there_2020-05-01.tif', bands=4, transform=grid_transform(column=5000))
    labels(tmp_path / 'labels.tif')
    plan = plan_of(tmp_path)
    assert images_of(tmp_path, plan) == [['here_2020-05-01.tif']]
    assert plan.left_out == {'there_2020-05-01.tif': 'lies where no labels are'}


@pytest.mark.parametrize('other', [{'bands': 4}, {'dtype': 'float32'}])
def test_images_that_differ(tmp_path, other):
    image(tmp_path / 'a.tif')
    image(tmp_path / 'odd.tif', **other)
    labels(tmp_path / 'labels.tif')
    with pytest.raises(BadInput, match=r'differ in bands or type \(.*a\.tif.*odd\.tif') as caught:
        plan_of(tmp_path)
    assert '--images' in caught.value.hint
    assert images_of(tmp_path, plan_of(tmp_path, images='a*')) == [['a.tif']]


def test_files_that_cannot_be_read_are_named(tmp_path):
    image(tmp_path / 'a.tif')
    labels(tmp_path / 'labels.tif')
    (tmp_path / 'broken.tif').write_bytes(b'II*\0nothing more')
    folder = look_at(tmp_path)
    assert [path.name for path in folder.broken] == ['broken.tif']
    assert images_of(tmp_path, make_plan(folder, Choice())) == [['a.tif']]


def test_nothing_but_broken_files(tmp_path):
    (tmp_path / 'broken.tif').write_bytes(b'nothing')
    with pytest.raises(BadInput, match=r'broken\.tif cannot be read'):
        look_at(tmp_path)
    with pytest.raises(BadInput, match='does not exist'):
        look_at(tmp_path / 'gone')


def test_no_labels(tmp_path):
    image(tmp_path / 'a.tif')
    with pytest.raises(BadInput, match='has no labels'):
        plan_of(tmp_path)


def test_several_layers_could_be_the_labels(tmp_path):
    image(tmp_path / 'a.tif')
    labels(tmp_path / 'labels_anna.tif')
    labels(tmp_path / 'labels_ben.tif')
    with pytest.raises(BadInput, match=r'labels_anna\.tif, labels_ben\.tif'):
        plan_of(tmp_path)
    plan = plan_of(tmp_path, labels='*ben*')
    assert names(tmp_path, plan.labels) == ['labels_ben.tif']


def parcels(path, **fields):
    return write_polygons(path, boxes([(0, 0, 20, 20), (20, 0, 40, 20), (0, 20, 20, 40)]), **fields)


def test_a_text_field_names_the_classes(tmp_path):
    image(tmp_path / 'a.tif')
    parcels(
        tmp_path / 'parcels.gpkg', fid_1=[11, 12, 13], surveyed=['2020-01-01'] * 3,
        land_use=['wood', 'meadow', 'wood'],
    )  # fmt: skip
    plan = plan_of(tmp_path)
    assert (plan.class_field, plan.class_names, plan.ignore_value) == ('land_use', {}, None)


def test_polygons_without_a_name_are_not_labelled(tmp_path):
    image(tmp_path / 'a.tif')
    labels(tmp_path / 'cover.tif')
    parcels(tmp_path / 'cover.gpkg', code=[0, 4, 7], title=['', 'wood', 'meadow'])
    plan = plan_of(tmp_path)
    assert names(tmp_path, plan.labels) == ['cover.gpkg']
    assert plan.left_out == {'cover.tif': 'like cover.gpkg'}
    assert plan.class_field == 'code'
    assert plan.class_names == {4: 'wood', 7: 'meadow'}
    assert plan.ignore_value == 0


def test_several_fields_could_hold_the_classes(tmp_path):
    image(tmp_path / 'a.tif')
    parcels(tmp_path / 'p.gpkg', crop=['a', 'b', 'b'], soil_type=['x', 'x', 'y'])
    with pytest.raises(BadInput, match='could hold the classes: crop, soil_type'):
        plan_of(tmp_path)
    assert plan_of(tmp_path, class_field='crop').class_field == 'crop'
    with pytest.raises(BadInput, match="no field 'colour'"):
        plan_of(tmp_path, class_field='colour')


def test_labels_that_name_two_dates_make_pairs(tmp_path):
    for day in ('20090818', '20140720', '20160816'):
        image(tmp_path / f'naip_{day}.tif', bands=4)
    for days in ('20090818_20140720', '20090818_20160816'):
        labels(tmp_path / f'change_{days}.tif', CLASSES - 1)
    plan = plan_of(tmp_path)
    assert plan.task == 'change'
    assert images_of(tmp_path, plan) == [
        ['naip_20090818.tif', 'naip_20140720.tif'],
        ['naip_20090818.tif', 'naip_20160816.tif'],
    ]
    assert len(plan.labels) == 2
    # each pair has labels of its own, which may lack a class of the others
    assert plan.class_names == {value: f'class {value}' for value in (0, 1, 2)}


def test_labels_of_a_date_without_image(tmp_path):
    image(tmp_path / 'naip_20090818.tif')
    labels(tmp_path / 'change_20090818_20140720.tif', CLASSES - 1)
    with pytest.raises(BadInput, match='2009-08-18 and 2014-07-20, but images are of 2009-08-18'):
        plan_of(tmp_path)


@pytest.mark.parametrize('words', [('before', 'after'), ('A', 'B'), ('t1', 't2')])
def test_words_tell_the_dates_of_a_pair(tmp_path, words):
    for word in words:
        for part, column in (('x', 0), ('y', 48)):
            image(tmp_path / word / f'{part}.tif', transform=grid_transform(column=column))
    for part, column in (('x', 0), ('y', 48)):
        labels(
            tmp_path / 'label' / f'{part}.tif', CLASSES - 1, transform=grid_transform(column=column)
        )
    plan = plan_of(tmp_path)
    assert plan.task == 'change'
    assert images_of(tmp_path, plan) == [
        [f'{words[0]}/{part}.tif', f'{words[1]}/{part}.tif'] for part in 'xy'
    ]


def test_change_without_dates(tmp_path):
    for name in ('one', 'two'):
        image(tmp_path / f'{name}.tif')
    labels(tmp_path / 'labels.tif', CLASSES - 1)
    with pytest.raises(BadInput, match=r'date of one\.tif, two\.tif is not known'):
        plan_of(tmp_path, task='change')


def test_change_between_more_than_two_dates(tmp_path):
    for year in (2001, 2002, 2003):
        image(tmp_path / f'{year}.tif')
    labels(tmp_path / 'changes.tif', CLASSES - 1)
    with pytest.raises(BadInput, match='2001-01-01, 2002-01-01, 2003-01-01'):
        plan_of(tmp_path)
    plan = plan_of(tmp_path, images='200[13].tif')
    assert images_of(tmp_path, plan) == [['2001.tif', '2003.tif']]


def test_images_of_the_same_day_and_place_are_told(tmp_path):
    image(tmp_path / 'a_2020-05-01.tif')
    image(tmp_path / 'copy_2020-05-01.tif')
    labels(tmp_path / 'labels.tif')
    assert plan_of(tmp_path).notes == (
        'copy_2020-05-01.tif and a_2020-05-01.tif are of the same day and place.',
    )


def test_labels_may_be_larger_than_images(tmp_path):
    image(tmp_path / 'a.tif')
    labels(tmp_path / 'labels.tif', np.kron(CLASSES, np.ones((2, 2), 'uint8')))
    assert images_of(tmp_path, plan_of(tmp_path)) == [['a.tif']]
