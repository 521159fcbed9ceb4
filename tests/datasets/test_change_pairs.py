"""All published change datasets, on fake data in the published folders."""

import importlib
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError

from tests.data.fusu import data as fusu
from tests.data.landsatscd import data as landsatscd
from tests.data.pairs import classes, write
from tests.data.second import data as second
from tests.data.xbd import data as xbd
from torchgeo_ext import datasets
from torchgeo_ext.datasets import (
    CDD,
    CLCD,
    FUSU,
    HRSCD,
    LEVIRMCI,
    PXCLCD,
    SECOND,
    WHUCD,
    ChangeChat105k,
    DisasterM3,
    DynamicEarthNet,
    FSC180k,
    LandsatSCD,
    XBDDamage,
)
from torchgeo_ext.datasets._change_pairs import SemanticPairs
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import SemanticChangeByDate, SemanticChangeByPair

#: Class and folder of its fake data.
BINARY = {
    'CDD': 'cdd',
    'CLCD': 'clcd',
    'GZCD': 'gzcd',
    'LEVIRCDTiles': 'levircd',
    'PXCLCD': 'pxclcd',
    'S2Looking': 's2looking',
    'SYSUCD': 'sysucd',
    'WHUCD': 'whucd',
}
SEMANTIC = {
    'DynamicEarthNet': 'dynamicearthnet',
    'FSC180k': 'fsc180k',
    'FUSU': 'fusu',
    'HRSCD': 'hrscd',
    'LandsatSCD': 'landsatscd',
    'SECOND': 'second',
}
TEXT = {'ChangeChat105k': 'changechat', 'DisasterM3': 'disasterm3', 'LEVIRMCI': 'levirmci'}
ALL = BINARY | SEMANTIC | TEXT | {'XBDDamage': 'xbd'}


def fake(name, root):
    """Write the fake data of a dataset; gives the number of samples of each split."""
    return importlib.import_module(f'tests.data.{ALL[name]}.data').make(root)


@pytest.fixture(params=sorted(ALL))
def case(request, tmp_path):
    return getattr(datasets, request.param), tmp_path, fake(request.param, tmp_path)


def test_samples_keep_the_contract(case):
    kind, root, _ = case
    dataset = kind(root, kind.splits[0], transforms=nn.Identity())
    sample = dataset[len(dataset) - 1]
    image = sample['image']
    assert image.dtype == torch.float32
    assert image.shape[:2] == (2, len(kind.all_bands))
    assert image.max() > 1
    assert image[0].ne(image[1]).any()
    if 'mask' not in sample:
        return
    dates = 2 if issubclass(kind, SemanticPairs) else 1
    assert sample['mask'].dtype == torch.int64
    assert sample['mask'].shape == (dates, *image.shape[-2:])
    assert -1 <= sample['mask'].min() < sample['mask'].max() < len(dataset.classes)
    assert len(dataset.classes) == len(dataset.colors)


@pytest.mark.parametrize('name', sorted(SEMANTIC))
def test_change_between_land_cover(name, tmp_path):
    fake(name, tmp_path)
    sample = getattr(datasets, name)(tmp_path)[0]
    change, (before, after) = sample['mask_change'][0], sample['mask']
    assert change.dtype == torch.int64
    assert set(change.unique().tolist()) <= {-1, 0, 1}
    assert {0, 1} <= set(change.unique().tolist())
    if name in ('LandsatSCD', 'SECOND'):
        assert torch.equal(change == 1, (before > 0) & (after > 0))
    elif name != 'FSC180k':  # which tells its change by itself
        assert torch.equal(change == 1, (before != after) & (before >= 0) & (after >= 0))
    maps = datasets.changed_classes(sample['mask'], sample['mask_change'])
    assert maps[:, change == 0].eq(0).all()
    assert torch.equal(maps[:, change == 1], sample['mask'][:, change == 1])
    assert maps[:, change == -1].eq(-1).all()


@pytest.mark.parametrize('name', sorted(SEMANTIC))
@pytest.mark.parametrize('metric', [SemanticChangeByDate, SemanticChangeByPair])
def test_labels_are_what_metrics_compare(name, metric, tmp_path):
    fake(name, tmp_path)
    dataset = getattr(datasets, name)(tmp_path)
    sample = dataset[0]
    target = datasets.changed_classes(sample['mask'], sample['mask_change'])[None]
    scores = metric(len(dataset.classes) - 1)(target.clamp(min=0), target)
    assert scores['f_scd'] == pytest.approx(1)
    assert scores['miou'] == pytest.approx(1)


def test_splits_are_apart(case):
    kind, root, sizes = case
    found = {split: kind(root, split) for split in kind.splits}
    assert {split: len(dataset) for split, dataset in found.items()} == sizes
    files = [{pair.images for pair in dataset.pairs} for dataset in found.values()]
    assert len(set().union(*files)) == sum(map(len, files))
    with pytest.raises(BadParameter, match='split'):
        kind(root, 'trian')


@pytest.mark.parametrize('name', sorted(ALL))
def test_missing_data_is_named(name, tmp_path):
    kind = getattr(datasets, name)
    with pytest.raises(DatasetNotFoundError, match='Dataset not found') as error:
        kind(tmp_path / 'empty')
    assert kind.page in str(error.value)
    assert kind.layout in str(error.value)


def test_plots(case):
    kind, root, _ = case
    dataset = kind(root)
    sample = dataset[0]
    maps = len(sample.get('mask', ()))
    figure = dataset.plot(sample, suptitle='Pair')
    assert len(figure.axes) == 2 + maps
    if 'mask' in sample:
        sample['prediction'] = sample['mask'].clone()
        figure = dataset.plot(sample, show_titles=False)
        assert len(figure.axes) == 2 + 2 * maps
    plt.close('all')


def test_bands_are_chosen_by_name(case):
    kind, root, _ = case
    everything = kind(root)[0]['image']
    bands = kind.all_bands[1::-1]
    dataset = kind(root, bands=bands)
    sample = dataset[0]
    assert torch.equal(sample['image'], everything[:, [1, 0]])
    with pytest.raises(RGBBandsMissingError):
        dataset.plot(sample)
    with pytest.raises(BadParameter, match='bands'):
        kind(root, bands=('ultraviolet',))


def test_statistics_fit_the_bands(case):
    kind, _, _ = case
    for rows in (kind.mean, kind.std):
        assert len(rows) in (1, 2)
        assert {len(row) for row in rows} == {len(kind.all_bands)}
    assert min(min(row) for row in kind.std) > 0


@pytest.fixture
def pairs(tmp_path):
    fake('PXCLCD', tmp_path)
    return tmp_path


def test_tiles_cut_images(tmp_path):
    fake('CLCD', tmp_path)
    whole, tiled = CLCD(tmp_path), CLCD(tmp_path, tile_size=24)
    assert len(tiled) == len(whole) * 4
    sample = tiled[4 + 3]
    window = (..., slice(24, 48), slice(24, 48))
    assert torch.equal(sample['image'], whole[1]['image'][window])
    assert torch.equal(sample['mask'], whole[1]['mask'][window])
    with pytest.raises(BadParameter, match='tile_size is 0'):
        CLCD(tmp_path, tile_size=0)
    with pytest.raises(BadParameter, match='tile_size is 65, which is larger than every image'):
        CLCD(tmp_path, tile_size=65)


def test_tiles_of_tiff_files(tmp_path):
    fake('HRSCD', tmp_path)
    whole, tiled = HRSCD(tmp_path, 'test'), HRSCD(tmp_path, 'test', tile_size=32)
    window = (..., slice(0, 32), slice(32, 64))
    for key in ('image', 'mask', 'mask_change'):
        assert torch.equal(tiled[1][key], whole[0][key][window])


@pytest.mark.parametrize('values', [(0, 255), (0, 1)])
def test_masks_are_binary_however_they_are_written(pairs, values):
    random = np.random.default_rng(0)
    changed = classes(random, 2)
    write(pairs / 'train' / 'label' / '00000.png', np.array(values, 'uint8')[changed])
    assert torch.equal(PXCLCD(pairs)[0]['mask'][0], torch.from_numpy(changed).long())


def test_masks_as_jpeg(tmp_path):
    fake('CDD', tmp_path)
    changed = classes(np.random.default_rng(0), 2)
    folder = tmp_path / 'ChangeDetectionDataset' / 'Real' / 'subset' / 'train'
    write(folder / 'OUT' / '00000.jpg', 255 * changed)
    assert torch.equal(CDD(tmp_path)[0]['mask'][0], torch.from_numpy(changed).long())


def test_unknown_mask_values_are_named(pairs):
    write(pairs / 'train' / 'label' / '00000.png', np.full((32, 32), 7, 'uint8'))
    with pytest.raises(BadInput, match=r'00000.png has the values 7; known are 0, 1, 255'):
        PXCLCD(pairs)[0]


def test_missing_partners_are_named(pairs):
    (pairs / 'train' / 'B' / '00001.png').unlink()
    with pytest.raises(BadInput, match=r'A/00001.png has no partner .*B/00001\.\*'):
        PXCLCD(pairs)


def test_empty_folders_are_no_data(pairs):
    for path in pairs.glob('val/*/*.png'):
        path.unlink()
    with pytest.raises(DatasetNotFoundError, match="split='val'"):
        PXCLCD(pairs, 'val')


def test_lists_must_name_what_is_there(tmp_path):
    fake('WHUCD', tmp_path)
    listed = tmp_path / 'WHU-CD-256' / 'list' / 'train.txt'
    listed.write_text('train_1.png\ntrain_7.png\n')
    with pytest.raises(BadInput, match=r'train.txt has no partner .*A/train_7\.\*'):
        WHUCD(tmp_path)
    listed.write_text('A/train_1.png B/train_1.png\n\n')
    assert [pair.images[0].name for pair in WHUCD(tmp_path).pairs] == ['train_1.png']


@pytest.mark.parametrize('folder', ['B', 'label'])
def test_sizes_must_agree(pairs, folder):
    values = np.zeros((16, 32) if folder == 'label' else (3, 16, 32), 'uint8')
    write(pairs / 'train' / folder / '00000.png', values)
    with pytest.raises(BadInput, match=r'32 x 32.*16 x 32|16 x 32.*32 x 32'):
        PXCLCD(pairs)[0]


def test_archives_are_unpacked(tmp_path):
    fake('CLCD', tmp_path / 'data')
    shutil.make_archive(str(tmp_path / 'CLCD'), 'gztar', tmp_path / 'data')
    shutil.rmtree(tmp_path / 'data')
    assert len(CLCD(tmp_path)) == 2
    shutil.rmtree(tmp_path / '_CLCD')

    class Published(CLCD):
        sha256 = '0' * 64

    with pytest.raises(BadInput, match=r'CLCD.tar.gz is not what was published'):
        Published(tmp_path)
    assert len(Published(tmp_path, checksum=False)) == 2


def test_what_has_an_address_is_downloaded(tmp_path, monkeypatch):
    fake('WHUCD', tmp_path / 'web')
    shutil.make_archive(str(tmp_path / 'WHU-CD-256'), 'zip', tmp_path / 'web')
    monkeypatch.setattr(WHUCD, 'url', (tmp_path / 'WHU-CD-256.zip').as_uri())
    root = tmp_path / 'here'
    with pytest.raises(DatasetNotFoundError, match='download=True'):
        WHUCD(root)
    assert len(WHUCD(root, download=True)) == 2


def test_orders_of_second(tmp_path):
    second.make(tmp_path / 'coloured')
    second.make_numbered(tmp_path / 'numbered')
    coloured, numbered = (
        SECOND(tmp_path / name, order='changemamba') for name in ('coloured', 'numbered')
    )
    assert torch.equal(coloured[1]['mask'], numbered[1]['mask'])
    path = numbered.pairs[1].labels[0]
    assert (numbered[1]['mask'][0].numpy() == read_pixels(path)[0]).all()
    ours = SECOND(tmp_path / 'coloured')
    names = np.array(ours.classes)[ours[1]['mask']]
    assert (names == np.array(coloured.classes)[coloured[1]['mask']]).all()
    assert ours.classes[1] == 'water'
    with pytest.raises(BadParameter, match="order: 'sek' is not one of"):
        SECOND(tmp_path / 'coloured', order='sek')


def test_second_by_lists_of_one_folder(tmp_path):
    second.make(tmp_path)
    shutil.rmtree(tmp_path / 'val')
    (tmp_path / 'train_info.txt').write_text('00003.png\n')
    (tmp_path / 'val_info.txt').write_text('00017.png\n')
    found = [SECOND(tmp_path, split).pairs for split in ('train', 'val')]
    assert [[pair.images[0].stem for pair in pairs] for pairs in found] == [['00003'], ['00017']]


def test_original_maps_of_landsatscd(tmp_path):
    landsatscd.make(tmp_path / 'prepared')
    landsatscd.make_original(tmp_path / 'original')
    prepared, original = (LandsatSCD(tmp_path / name) for name in ('prepared', 'original'))
    for one, other in zip(prepared, original, strict=False):
        assert torch.equal(one['mask'], other['mask'])
        assert torch.equal(one['mask_change'], other['mask_change'])
        assert one['mask'][:, :4, :4].eq(0).all()  # white in the image


def test_places_of_hrscd_are_told_by_coordinates(tmp_path):
    fake('HRSCD', tmp_path)
    pair = HRSCD(tmp_path, 'val').pairs[0]
    assert [path.parts[-3] for path in (*pair.images, *pair.labels)] == ['2006', '2012'] * 2
    assert {path.name[13:17] for path in (*pair.images, *pair.labels)} == {'6901'}
    (tmp_path / 'val.txt').write_text('14-2005-0425-6999-LA93-0M50-E080.tif')
    with pytest.raises(
        BadInput, match=r'val.txt names the place 0425-6999, which is not in .*2006'
    ):
        HRSCD(tmp_path, 'val')


def test_months_of_dynamicearthnet(tmp_path):
    fake('DynamicEarthNet', tmp_path)
    pairs = DynamicEarthNet(tmp_path, months='all').pairs
    months = [tuple(path.stem[5:7] for path in pair.images) for pair in pairs]
    assert months == [('01', '02'), ('01', '03'), ('02', '03')]
    sample = DynamicEarthNet(tmp_path)[0]
    one_hot = read_pixels(pairs[0].labels[0])
    assert (sample['mask'][0].numpy()[one_hot[6] > 0] == -1).all()
    assert (sample['mask'][0].numpy()[one_hot[2] > 0] == 3).all()
    (tmp_path / 'images' / '1311_3077_13' / '2018-02-01.tif').unlink()
    with pytest.raises(BadInput, match=r'2018-02-01.tif is missing, which place 1311_3077_13'):
        DynamicEarthNet(tmp_path)


def test_versions_of_fsc180k(tmp_path):
    fake('FSC180k', tmp_path)
    dataset = FSC180k(tmp_path, 'val', versions=(12,))
    assert [path.name for path in dataset.pairs[0].images] == ['IMG_000005.tif'] * 2
    assert dataset.pairs[0].images[1].parts[-3] == 'IMG12'
    label = read_pixels(dataset.pairs[0].labels[0])
    assert torch.equal(dataset[0]['mask_change'], torch.from_numpy(label[:1] > 0).long())
    with pytest.raises(BadParameter, match='versions is'):
        FSC180k(tmp_path, versions=(10,))


@pytest.mark.parametrize(
    ('make', 'months', 'days'),
    [
        (fusu.make, [1, 2, 10], [0, 30, 274]),
        (fusu.make_readme, [8, 12, 1, 2, 1], [213, 335, 365, 396, 730]),
    ],
)
def test_series_of_fusu(tmp_path, make, months, days):
    make(tmp_path)
    sample = FUSU(tmp_path, series=True)[0]
    assert sample['series'].shape == (len(months), 14, 8, 8)
    assert sample['series'][:, 0, 0, 0].tolist() == months
    assert sample['series_days'].tolist() == days
    assert sample['mask'].min() == -1  # background
    for path in tmp_path.rglob('6_255_*.tif'):
        path.unlink()
    with pytest.raises(BadInput, match=r'6_255.png has no series'):
        FUSU(tmp_path, series=True)[0]


def test_captions_of_levirmci(tmp_path):
    fake('LEVIRMCI', tmp_path)
    dataset = LEVIRMCI(tmp_path, 'val')
    assert dataset[0]['texts'][4] == 'sentence 4 on val_000000.png .'
    assert [int(dataset[number]['label']) for number in range(2)] == [0, 1]
    assert dataset[1]['mask'].unique().tolist() == [0, 1, 2]
    assert LEVIRMCI(tmp_path, 'val', captions=False)[0].keys() == {'image', 'mask'}
    (tmp_path / 'LevirCCcaptions.json').write_text('{"images": []}')
    with pytest.raises(BadInput, match=r'val_000000.png has no captions'):
        LEVIRMCI(tmp_path, 'val')[0]


@pytest.mark.parametrize(
    ('split', 'task', 'questions', 'answers'),
    [('train', None, 2, 2), ('test', None, 0, 5), ('test', 'dialog', 6, 6), ('test', 'open', 1, 1)],
)
def test_tasks_of_changechat(tmp_path, split, task, questions, answers):
    fake('ChangeChat105k', tmp_path)
    sample = ChangeChat105k(tmp_path, split, task)[0]
    assert sample['questions'] == [f'question {number}' for number in range(questions)]
    assert len(sample['answers']) == answers
    with pytest.raises(BadParameter, match="task: 'binary' is not one of all, loc of split train"):
        ChangeChat105k(tmp_path, 'train', 'binary')


def test_texts_of_changechat_are_downloaded(tmp_path, monkeypatch):
    fake('ChangeChat105k', tmp_path)
    (tmp_path / 'web').mkdir()
    file = tmp_path / 'changechat_105k_test_open.json'
    file.rename(tmp_path / 'web' / file.name)
    monkeypatch.setattr(ChangeChat105k, 'url', (tmp_path / 'web').as_uri())
    with pytest.raises(DatasetNotFoundError):
        ChangeChat105k(tmp_path, 'test', 'open')
    assert len(ChangeChat105k(tmp_path, 'test', 'open', download=True)) == 1


def test_records_of_disasterm3(tmp_path):
    fake('DisasterM3', tmp_path)
    sample = DisasterM3(tmp_path)[0]
    assert sample['questions'] == ['What about bearing_body?']
    assert sample['options'] == 'A. yes B. no'
    assert sample['texts'] == {'answer_given': 'A'}
    assert torch.equal(sample['image'][1, 0], sample['image'][1, 2])  # radar
    single = DisasterM3(tmp_path, 'landuse')
    assert single[0]['image'].shape == (1, 3, 32, 32)
    assert len(single.plot(single[0]).axes) == 1
    plt.close('all')
    assert DisasterM3(tmp_path, 'caption')[0]['options'] == ''
    (tmp_path / 'data' / 'images' / 'sar.tif').unlink()
    with pytest.raises(BadInput, match=r'images/sar.tif is missing'):
        DisasterM3(tmp_path)


def test_damage_is_that_after_the_disaster(tmp_path):
    xbd.make(tmp_path)
    dataset = XBDDamage(tmp_path)
    pair = dataset.pairs[0]
    stored = read_pixels(pair.labels[0])[0].astype(int)
    mask = dataset[0]['mask'][0].numpy()
    assert np.array_equal(mask, np.where(stored == 255, -1, stored))
    assert set(np.unique(mask)) == {-1, 0, 1, 2, 3, 4}
    assert [path.stem.split('_')[2] for path in pair.images] == ['pre', 'post']


def test_damage_in_the_folders_of_changemamba(tmp_path):
    xbd.make(tmp_path, targets='masks', hold='holdout')
    assert len(XBDDamage(tmp_path, 'hold')) == 2
    gone = next((tmp_path / 'train' / 'masks').glob('*_post_*'))
    gone.unlink()
    with pytest.raises(BadInput, match=r'has no partner .*_target\.png'):
        XBDDamage(tmp_path)
