"""What a model is, told at once."""

import json
import math
import subprocess
import sys
import zipfile

import pytest

from tests.bundles.makers import bundle, checkpoint, task
from torchgeo_ext.bundles import Band
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import describe_model
from torchgeo_ext.ready import ready_models


@pytest.fixture
def folder(tmp_path):
    return bundle(tmp_path / 'tiny')


def test_bundle(folder, tmp_path):
    found = describe_model(bundle=folder, output=tmp_path / 'card.json')
    assert found.name == 'Land cover of Tinyland'
    assert (found.task, found.dates, found.tile_size) == ('segmentation', 1, 32)
    assert (found.band_count, found.bands) == (3, 'B02, B03, B04')
    assert found.class_count == 3
    assert json.loads(found.classes)[0] == {'value': 1, 'name': 'water', 'color': '#1f78b4'}
    assert (found.resolution_minimum, found.resolution_maximum) == (8, 12)
    assert (found.license, found.parameters) == ('CC-BY-4.0', 432)
    assert found.size == (folder / 'model.safetensors').stat().st_size
    details = json.loads(found.details)
    assert details['training'] == {'metrics': {'mean_iou': 0.5}, 'epochs': 3}
    assert details['files'] == ['model.safetensors']
    assert json.loads((tmp_path / 'card.json').read_text()) == details
    assert found.output == str(tmp_path / 'card.json')


def test_ways_to_name_a_bundle(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / 'tiny.zip', 'w') as archive:
        for file in folder.iterdir():
            archive.write(file, f'tiny/{file.name}')
    expected = describe_model(bundle=folder)
    assert describe_model(bundle=folder / 'model.json') == expected
    assert describe_model(bundle=tmp_path / 'tiny.zip') == expected


def test_checkpoint(tmp_path):
    found = describe_model(bundle=checkpoint(tmp_path / 'last.ckpt', task()))
    assert (found.name, found.parameters, found.license) == ('last', 432, '')


def test_nodata_that_json_does_not_have(tmp_path):
    bands = tuple(Band(f'B{i}', nodata=math.nan) for i in range(3))
    found = describe_model(bundle=bundle(tmp_path / 'tiny', bands=bands))
    assert json.loads(found.details)['bands'][0]['nodata'] == 'nan'


@pytest.mark.parametrize('name', [model.name for model in ready_models()])
def test_registered_models(name):
    found = describe_model(model=name)
    assert found.name == name
    assert found.license
    assert found.band_count == len(json.loads(found.details)['bands'])
    assert found.dates == (1 if found.task in ('segmentation', 'embedding') else 2)


def test_neither_or_both(folder):
    for arguments in ({}, {'bundle': folder, 'model': 'irmad'}):
        with pytest.raises(BadParameter, match=r'Exactly one of bundle, model'):
            describe_model(**arguments)


def test_unknown_model():
    with pytest.raises(BadParameter, match=r"model is 'irmadd'.*Did you mean irmad"):
        describe_model(model='irmadd')


def test_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(BadInput, match=r'bundle: the folder .* has no model\.json'):
        describe_model(bundle=tmp_path)


def test_torch_is_not_loaded(folder):
    code = (
        'import sys\n'
        'from torchgeo_ext.operations import describe_model\n'
        f'describe_model(bundle={str(folder)!r})\n'
        "describe_model(model='irmad')\n"
        "assert not {'torch', 'numpy', 'rasterio'} & set(sys.modules), 'heavy imports'\n"
    )
    subprocess.run([sys.executable, '-c', code], check=True)
