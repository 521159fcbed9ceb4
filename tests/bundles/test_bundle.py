"""Bundles: written whole, read only when every file is what was written."""

import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.bundles.makers import BANDS, CLASSES, bundle, card, task
from tests.bundles.validation import problems
from torchgeo_ext.bundles import (
    Band,
    check_bundle_folder,
    describe_bundle,
    read_bundle,
    write_bundle,
)
from torchgeo_ext.bundles._detector import complete
from torchgeo_ext.datamodules._pretrained import preprocessing_of_bands
from torchgeo_ext.errors import BadInput, BadParameter


@pytest.fixture
def folder(tmp_path):
    return bundle(tmp_path / 'tiny')


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCHGEO_EXT_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def edit(folder, change):
    """Change the model.json of a bundle in place."""
    path = folder / 'model.json'
    item = json.loads(path.read_text())
    change(item)
    path.write_text(json.dumps(item))


def replace_weights(folder, content):
    """Replace the weights and make the hash right again, as someone with bad intent would."""
    path = folder / 'model.safetensors'
    path.write_bytes(content)

    def sign(item):
        digest = hashlib.sha256(content).hexdigest()
        item['assets']['weights'] |= {'file:checksum': f'1220{digest}', 'file:size': len(content)}

    edit(folder, sign)


def stored_values(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 3000, shape, generator=generator).float()


def physically_normalised(values):
    """(stored * scale + offset - mean) / std, step by step in float64."""
    columns = [[getattr(band, key) for band in BANDS] for key in ('scale', 'offset', 'mean', 'std')]
    scale, offset, mean, std = torch.tensor(columns, dtype=torch.float64)[..., None, None]
    return ((values * scale + offset - mean) / std).float()


def test_round_trip(folder):
    read = read_bundle(folder)
    assert read.card == card()
    assert problems(json.loads((folder / 'model.json').read_text())) == []
    values = stored_values(2, 3, 32, 32)
    with torch.inference_mode():
        scores = read.build()(values)
        expected = task().eval()(physically_normalised(values)).softmax(1)
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0)
    assert scores.shape == (2, 3, 32, 32)


@pytest.mark.parametrize('way', ['folder', 'json', 'text'])
def test_ways_to_name_a_bundle(folder, way):
    path = {'folder': folder, 'json': folder / 'model.json', 'text': str(folder)}[way]
    assert read_bundle(path).card == card()
    assert describe_bundle(path).card == card()


def test_fill_is_what_the_network_sees_as_zero(folder):
    read = read_bundle(folder)
    fill = torch.tensor(read.fill())[None, :, None, None].expand(1, 3, 32, 32)
    torch.testing.assert_close(
        physically_normalised(fill), torch.zeros(1, 3, 32, 32), atol=1e-5, rtol=0
    )


def test_normalisation_keeps_the_memory_format(folder):
    values = stored_values(2, 3, 32, 32).to(memory_format=torch.channels_last)
    seen = []
    predictor = read_bundle(folder).build()
    predictor.network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    predictor(values)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_building_leaves_random_numbers_alone(folder):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    read_bundle(folder).build()
    assert torch.equal(torch.rand(1), expected)


def test_describing_and_importing_need_no_torch(folder):
    code = (
        'import sys\n'
        'from torchgeo_ext.bundles import describe_bundle\n'
        f'assert describe_bundle({str(folder)!r}).parameters == 432\n'
        "assert not {'torch', 'numpy', 'rasterio'} & set(sys.modules), 'heavy imports'\n"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_description(folder):
    info = describe_bundle(folder)
    assert info.files == ('model.safetensors',)
    assert info.size == (folder / 'model.safetensors').stat().st_size
    assert info.parameters == 432


def test_weights_may_be_those_of_a_bare_network(tmp_path):
    write_bundle(tmp_path / 'bare', card(), task().model)
    write_bundle(tmp_path / 'state', card(), task().state_dict())
    for name in ('bare', 'state'):
        read_bundle(tmp_path / name).build()


def test_state_of_the_loss_is_left_out(tmp_path):
    trained = task(class_weights=[1.0, 2.0, 3.0])
    assert 'criterion.weight' in trained.state_dict()
    folder = write_bundle(tmp_path / 'tiny', card(), trained)
    assert all(key.startswith('model.') for key in load_file(folder / 'model.safetensors'))


def test_tied_weights(tmp_path):
    """safetensors refuses tensors that share memory."""
    trained = task()
    state = trained.state_dict()
    keys = [key for key, value in state.items() if value.shape == (3, 3, 3, 3)]
    state[keys[1]] = state[keys[0]]
    folder = write_bundle(tmp_path / 'tied', card(), state)
    written = load_file(folder / 'model.safetensors')
    assert torch.equal(written[keys[0]], written[keys[1]])
    read_bundle(folder).build()


def test_half_precision_weights_are_kept_and_computed_in_single(tmp_path):
    folder = write_bundle(tmp_path / 'half', card(), task().half())
    assert {v.dtype for v in load_file(folder / 'model.safetensors').values()} == {torch.float16}
    scores = read_bundle(folder).build()(stored_values(1, 3, 32, 32))
    assert scores.dtype == torch.float32


def test_extra_files(tmp_path):
    report = tmp_path / 'training_report.html'
    report.write_text('<p>fine</p>')
    folder = write_bundle(tmp_path / 'tiny', card(), task(), [report])
    item = json.loads((folder / 'model.json').read_text())
    assert problems(item) == []
    assert item['assets']['training_report.html']['title'] == 'Training report'
    (folder / 'training_report.html').write_text('<p>better</p>')
    with pytest.raises(BadInput, match=r'training_report\.html was changed or damaged'):
        read_bundle(folder)


@pytest.mark.parametrize('name', ['model.json', 'model.safetensors'])
def test_extra_files_cannot_replace_the_model(tmp_path, name):
    (tmp_path / name).write_text('x')
    with pytest.raises(BadParameter, match='already has a file'):
        write_bundle(tmp_path / 'tiny', card(), task(), [tmp_path / name])
    assert not (tmp_path / 'tiny').exists()


# --- what is refused ------------------------------------------------------------------------------


def test_tampered_weights(folder):
    content = bytearray((folder / 'model.safetensors').read_bytes())
    content[-1] ^= 1
    (folder / 'model.safetensors').write_bytes(content)
    with pytest.raises(
        BadInput, match=r'^bundle: .*model\.safetensors was changed.*SHA-256.*again'
    ):
        read_bundle(folder)


def test_missing_weights(folder):
    (folder / 'model.safetensors').unlink()
    with pytest.raises(BadInput, match=r'before_bundle: the file .*model\.safetensors .* missing'):
        read_bundle(folder, 'before_bundle')


def test_item_without_weights(folder):
    edit(folder, lambda item: item['assets'].clear())
    with pytest.raises(BadInput, match='names no weights'):
        read_bundle(folder)


def test_path_that_does_not_exist(tmp_path):
    for read in (read_bundle, describe_bundle):
        with pytest.raises(BadInput, match=r'bundle: .*nowhere does not exist\. Check the path'):
            read(tmp_path / 'nowhere')


def test_folder_without_model_json(tmp_path):
    for read in (read_bundle, describe_bundle):
        with pytest.raises(BadInput, match=r'is no bundle: it has no model.json'):
            read(tmp_path)


def test_file_of_another_kind(tmp_path):
    (tmp_path / 'weights.pth').write_bytes(b'x')
    with pytest.raises(BadInput, match=r'weights\.pth is no bundle.*\.zip .*\.ckpt'):
        read_bundle(tmp_path / 'weights.pth')


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize('save', [pickle.dumps, None], ids=['pickle', 'torch.save'])
def test_pickle_posing_as_weights(folder, tmp_path, save):
    if save:
        content = save(Evil())
    else:
        torch.save(Evil(), tmp_path / 'evil')
        content = (tmp_path / 'evil').read_bytes()
    replace_weights(folder, content)
    with pytest.raises(BadInput, match=r'is a pickle, not safetensors.*create_bundle'):
        read_bundle(folder)


def test_garbage_posing_as_weights(folder):
    replace_weights(folder, b'\x10' * 100)
    with pytest.raises(BadInput, match='no safetensors file'):
        read_bundle(folder).build()


@pytest.mark.parametrize('name', ['Unknown', 'os.system', 'torch.nn.Linear', 'builtins.exec'])
def test_unknown_architecture(folder, name):
    edit(folder, lambda item: item['properties']['tgx:architecture'].update({'class': name}))
    with pytest.raises(BadInput, match=f"class '{name}', which is not known.*SemanticSegmentation"):
        read_bundle(folder).build()


def test_arguments_the_architecture_does_not_take(folder):
    arguments = {'model': 'fcn', 'in_channels': 3, 'num_classes': 3, 'colour': 'red'}
    edit(folder, lambda item: item['properties']['tgx:architecture'].update(arguments=arguments))
    with pytest.raises(BadInput, match=r'cannot be built with the arguments .*colour'):
        read_bundle(folder).build()


def test_a_bundle_cannot_ask_for_weights_from_elsewhere(folder, tmp_path):
    torch.save({'hyper_parameters': {'model': 'x'}, 'state_dict': {}}, tmp_path / 'other.ckpt')
    arguments = {
        'model': 'fcn',
        'in_channels': 3,
        'num_classes': 3,
        'weights': str(tmp_path / 'other.ckpt'),
    }
    edit(folder, lambda item: item['properties']['tgx:architecture'].update(arguments=arguments))
    assert read_bundle(folder).build().network.weights is None


def test_weights_of_another_architecture(folder, tmp_path):
    state = load_file(folder / 'model.safetensors')
    state['stranger'] = state.pop('model.conv1.weight', torch.zeros(1))
    state['model.last.weight'] = torch.zeros(5, 3, 1, 1)
    save_file(state, tmp_path / 'other.safetensors')
    replace_weights(folder, (tmp_path / 'other.safetensors').read_bytes())
    with pytest.raises(BadInput) as caught:
        read_bundle(folder).build()
    for told in ('do not fit', 'not expected: stranger', '(5, 3, 1, 1) instead of (3, 3, 1, 1)'):
        assert told in caught.value.message


# --- writing --------------------------------------------------------------------------------------


def test_failure_keeps_the_existing_bundle(folder, monkeypatch):
    before = (folder / 'model.safetensors').read_bytes()

    def fail(*_, **__):
        raise OSError('the cable was pulled')

    monkeypatch.setattr('torchgeo_ext.bundles._write.card_to_item', fail)
    with pytest.raises(OSError, match='cable'):
        bundle(folder, name='Other')
    assert (folder / 'model.safetensors').read_bytes() == before
    assert read_bundle(folder).card == card()
    assert [path.name for path in folder.parent.iterdir()] == ['tiny']


def test_an_existing_bundle_is_replaced_as_a_whole(tmp_path):
    (tmp_path / 'report.md').write_text('x')
    folder = write_bundle(tmp_path / 'tiny', card(), task(), [tmp_path / 'report.md'])
    bundle(folder, name='Other')
    assert read_bundle(folder).card.name == 'Other'
    assert {path.name for path in folder.iterdir()} == {'model.json', 'model.safetensors'}


def test_folders_with_other_files_are_left_alone(tmp_path, folder):
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis' / 'chapter.tex').write_text('x')
    (folder / 'notes.txt').write_text('x')
    for path, name in ((tmp_path / 'thesis', 'chapter.tex'), (folder, 'notes.txt')):
        with pytest.raises(BadParameter, match=f'output: the folder .* for instance {name}'):
            bundle(path)
        assert (path / name).exists()


def test_destinations(tmp_path):
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(BadParameter, match=r'output: .*file is a file'):
        check_bundle_folder(tmp_path / 'file')
    with pytest.raises(BadParameter, match=r'output: the folder .* does not exist'):
        check_bundle_folder(tmp_path / 'missing' / 'tiny')
    assert check_bundle_folder(tmp_path / 'empty') == tmp_path / 'empty'
    bundle(tmp_path / 'empty')


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'bands': BANDS[:2]}, 'an image of 2 bands with tile_size 32'),
        ({'classes': CLASSES[:2]}, r'\(1, 3, 32, 32\), but 2 classes'),
        ({'dates': 2}, 'does not accept'),
    ],
)
def test_card_of_another_network(tmp_path, changes, told):
    with pytest.raises(BadParameter, match=told):
        bundle(tmp_path / 'tiny', **changes)
    assert not (tmp_path / 'tiny').exists()


def test_tile_size_the_network_does_not_accept(tmp_path):
    arguments = {'model': 'upernet', 'backbone': 'tu-lcnet_050', 'in_channels': 3, 'num_classes': 3}
    architecture = {'class': 'SemanticSegmentation', 'arguments': arguments}
    with pytest.raises(BadParameter, match=r'tile_size 100 .*multiple of 32'):
        write_bundle(
            tmp_path / 'tiny', card(architecture=architecture, tile_size=100), task(**arguments)
        )


def test_weights_that_do_not_fit_are_not_written(tmp_path):
    with pytest.raises(BadInput, match=r'The weights in model do not fit .*missing: model'):
        write_bundle(tmp_path / 'tiny', card(), nn.Conv2d(3, 3, 1))


def test_diverged_training_is_told(tmp_path):
    state = {key: torch.full_like(value, torch.nan) for key, value in task().state_dict().items()}
    with pytest.raises(BadParameter, match=r'NaN.*diverged'):
        write_bundle(tmp_path / 'tiny', card(), state)


# --- zip ------------------------------------------------------------------------------------------


def zipped(folder, path, prefix=''):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, prefix + file.name)
    return path


@pytest.mark.parametrize('prefix', ['', 'tiny/'])
def test_zip(folder, tmp_path, cache, prefix):
    path = zipped(folder, tmp_path / 'tiny.zip', prefix)
    assert describe_bundle(path).card == card()
    assert not cache.exists()
    read = read_bundle(path)
    assert read.card == card()
    read.build()
    assert read.path.parent == cache / 'bundles'
    written = read.path.stat().st_mtime_ns
    assert read_bundle(path).path.stat().st_mtime_ns == written


def test_unpacked_zip_is_verified_too(folder, tmp_path):
    path = zipped(folder, tmp_path / 'tiny.zip')
    unpacked = read_bundle(path).path / 'model.safetensors'
    unpacked.write_bytes(unpacked.read_bytes()[:-1] + b'!')
    with pytest.raises(BadInput, match='changed or damaged'):
        read_bundle(path)


def test_zip_that_wants_out_of_its_folder(folder, tmp_path, cache):
    path = zipped(folder, tmp_path / 'tiny.zip')
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('../../evil.txt', 'x')
    read_bundle(path)
    names = {file.name for file in tmp_path.rglob('*')}
    assert 'evil.txt' not in names


def test_zip_bomb_is_not_unpacked(folder, tmp_path, cache):
    (folder / 'model.safetensors').write_bytes(bytes(1_000_000))
    path = zipped(folder, tmp_path / 'tiny.zip')
    with pytest.raises(BadInput, match=r'model\.safetensors was changed.*1000000 bytes instead of'):
        read_bundle(path)
    assert [*(cache / 'bundles').iterdir()] == []


def test_zips_that_are_none(tmp_path, folder):
    (tmp_path / 'a.zip').write_bytes(b'PK nothing')
    with zipfile.ZipFile(tmp_path / 'b.zip', 'w') as archive:
        archive.writestr('readme.txt', 'x')
    (folder / 'model.safetensors').unlink()
    zipped(folder, tmp_path / 'c.zip')
    for name, told in (
        ('a.zip', 'cannot be read as a zip'),
        ('b.zip', 'it has no model.json'),
        ('c.zip', 'model.safetensors of the bundle is missing'),
    ):
        with pytest.raises(BadInput, match=told):
            read_bundle(tmp_path / name)
    with pytest.raises(BadInput, match=r'it has no model.json'):
        describe_bundle(tmp_path / 'b.zip')


def test_band_that_needs_no_scaling_is_seen_as_it_is(tmp_path):
    folder = bundle(tmp_path / 'tiny', bands=tuple(Band(f'band {i}') for i in range(3)))
    values = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(read_bundle(folder).build()(values), task().eval()(values).softmax(1))


def test_bands_are_clipped_and_cut_into_steps_as_in_training():
    bands = tuple(dataclasses.replace(b, clip=(0.0, 0.3), levels=256) for b in BANDS)
    seen = preprocessing_of_bands(bands)
    predictor = complete(nn.Identity(), card(bands=bands, output_activation='none'))
    stored = torch.randint(0, 6000, (2, 3, 8, 8)).float()
    physical = stored * 1e-4 - 0.1
    torch.testing.assert_close(predictor(stored), seen.apply(physical))
    assert len(predictor(stored)[:, 0].unique()) <= 256
    with pytest.raises(BadParameter, match='levels is 256, but must be 0, or at least 2 steps'):
        Band('red', levels=256)
    with pytest.raises(BadParameter, match='clip is'):
        Band('red', clip=(1.0, 0.0))
