"""The card as a STAC item: valid by the official schemas, and nothing is lost."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest

from tests.bundles.makers import BANDS, CLASSES, card
from tests.bundles.validation import problems
from torchgeo_ext.bundles import Band, ModelClass
from torchgeo_ext.bundles._item import FileEntry, card_to_item, item_files, item_to_card, parse_item
from torchgeo_ext.errors import BadInput, BadParameter

FILES = {
    'weights': FileEntry(
        'model.safetensors',
        'ab' * 32,
        1234,
        roles=('mlm:model', 'mlm:weights'),
        details={'mlm:artifact_type': 'safetensors.torch.save_file'},
    ),
    'report.html': FileEntry('report.html', 'cd' * 32, 99),
}

CHANGE = card(
    task='change',
    dates=2,
    classes=CLASSES[:2],
    output_activation='sigmoid',
    architecture={'class': 'ChangeDetection', 'arguments': {'model': 'fcn'}},
)
REGRESSION = card(
    task='regression',
    classes=(),
    variables=('height',),
    output_activation='none',
    architecture={'class': 'PixelwiseRegression', 'arguments': {'model': 'fcn'}},
)
SCENES = card(
    task='classification',
    architecture={'class': 'Classification', 'arguments': {'model': 'resnet18', 'num_classes': 3}},
)
BARE = card(
    name='7',
    description='',
    bands=(Band('one'),),
    license='not for sale',
    citation='',
    extent=None,
    resolution_minimum=None,
    resolution_maximum=None,
    training={},
)
CLIPPED = card(
    bands=tuple(dataclasses.replace(band, clip=(0.0, 0.3), levels=256) for band in BANDS)
)
CARDS = {
    'segmentation': card(),
    'clipped': CLIPPED,
    'change': CHANGE,
    'regression': REGRESSION,
    'scenes': SCENES,
    'bare': BARE,
}


def item_of(some, **options):
    item = card_to_item(
        some, FILES, **({'framework_version': '2.15.0', 'parameters': 432} | options)
    )
    return json.loads(json.dumps(item, allow_nan=False))


@pytest.mark.parametrize('name', CARDS)
def test_item_is_valid_stac_mlm_and_gives_the_card_back(name):
    item = item_of(CARDS[name])
    assert problems(item) == []
    expected = CARDS[name]
    if not expected.description:
        expected = dataclasses.replace(expected, description=expected.name)
    assert item_to_card(item, 'here') == expected
    assert item_files(item, 'here').keys() == FILES.keys()


def test_validation_finds_errors():
    item = item_of(card())
    broken = copy.deepcopy(item)
    broken['properties']['mlm:tasks'] = ['change-detection']
    assert any('mlm/v1.5.2' in problem for problem in problems(broken))
    broken = copy.deepcopy(item)
    del broken['properties']['datetime']
    assert any('item.json' in problem for problem in problems(broken))
    broken = copy.deepcopy(item)
    del broken['assets']['weights']['bands']
    assert problems(broken)


def test_item_says_what_other_programs_need():
    properties = item_of(CHANGE)['properties']
    given = properties['mlm:input'][0]
    assert given['bands'] == ['B02', 'B03', 'B04']
    assert given['input']['shape'] == [-1, 2, 3, 32, 32]
    assert given['input']['dim_order'] == ['batch', 'time', 'bands', 'height', 'width']
    assert given['value_scaling'][1] == {'type': 'z-score', 'mean': 0.07, 'stddev': 0.03}
    assert properties['bands'][0] == {
        'name': 'B02',
        'eo:center_wavelength': 0.492,
        'eo:full_width_half_max': 0.065,
        'raster:scale': 1e-4,
        'raster:offset': -0.1,
        'nodata': 0.0,
        'statistics': {'mean': 0.05, 'stddev': 0.02, 'minimum': 0.0},
    }
    output = properties['mlm:output'][0]
    assert output['result']['shape'] == [-1, 1, 32, 32]
    assert output['classification:classes'][1] == {
        'value': 2,
        'name': 'foret',
        'title': 'forêt',
        'description': 'forêt',
        'color_hint': '33A02C',
    }
    assert item_of(CHANGE)['assets']['weights']['file:checksum'] == '1220' + 'ab' * 32


def test_class_names_in_any_script_and_names_too_short_for_mlm():
    output = item_of(card())['properties']['mlm:output'][0]
    assert output['classification:classes'][2]['name'] == 'class-7'
    assert item_of(BARE)['properties']['mlm:name'] == 'model-7'


def test_license_that_is_no_identifier_is_kept():
    item = item_of(BARE)
    assert item['properties']['license'] == 'other'
    assert item_to_card(item, 'here').license == 'not for sale'


@pytest.mark.parametrize('nodata', [math.nan, math.inf, -math.inf, -9999.0])
def test_nodata_that_json_cannot_say(nodata):
    item = item_of(card(bands=(Band('one', nodata=nodata),)))
    assert problems(item) == []
    assert item_to_card(item, 'here').bands[0].nodata == pytest.approx(nodata, nan_ok=True)


def test_numbers_of_numpy_and_nan_in_free_facts():
    bands = (Band('one', mean=np.float32(0.5), std=np.float64(2)),)
    facts = {'iou': [np.float32(0.5), math.nan], 'matrix': np.eye(2), 'n': np.int64(3)}
    item = item_of(card(bands=bands, training=facts))
    assert item['properties']['tgx:training'] == {
        'iou': [0.5, None],
        'matrix': [[1.0, 0.0], [0.0, 1.0]],
        'n': 3,
    }


@pytest.mark.parametrize('version', ['2.15.0+cu132', '2.9.0a0+git12ab', '2.7.1', 'nightly'])
def test_any_version_of_pytorch_is_valid(version):
    assert problems(item_of(card(), framework_version=version)) == []


def test_no_model_description():
    for item in ([], {}, {'type': 'Feature', 'properties': {}, 'stac_extensions': []}):
        with pytest.raises(BadInput, match='x: here does not describe a model'):
            item_to_card(item, 'x: here')


def test_model_of_another_program():
    item = item_of(card())
    del item['properties']['tgx:format']
    with pytest.raises(BadInput, match=r'another program.*create_bundle'):
        item_to_card(item, 'here')


def test_older_versions_do_not_misread_what_is_clipped():
    properties = item_of(CLIPPED)['properties']
    assert properties['tgx:format'] == 2
    assert 'clipped to tgx:clip' in properties['mlm:input'][0]['description']
    assert item_of(card())['properties']['tgx:format'] == 1


def test_future_format_is_refused():
    item = item_of(card())
    item['properties'] |= {'tgx:format': 3, 'tgx:written_by': 'torchgeo_ext 9.0'}
    with pytest.raises(BadInput, match=r'format 3, written by torchgeo_ext 9\.0.*Update'):
        item_to_card(item, 'here')


@pytest.mark.parametrize(
    ('key', 'value', 'told'),
    [
        ('tgx:architecture', None, 'is damaged'),
        ('tgx:tile_size', -1, 'tile_size is -1'),
        ('tgx:dates', 3, 'dates is 3'),
        ('bands', [{'name': 'B02'}], "'statistics' is missing"),
        ('tgx:task', 'magic', "task is 'magic'"),
    ],
)
def test_damaged_card(key, value, told):
    item = item_of(card())
    item['properties'][key] = value
    with pytest.raises(BadInput, match=told):
        item_to_card(item, 'here')


def test_no_json():
    with pytest.raises(BadInput, match='x is no valid JSON'):
        parse_item(b'{"type": ', 'x')
    with pytest.raises(BadInput, match='x is no valid JSON'):
        parse_item(b'\xff\xfe\x00', 'x')


@pytest.mark.parametrize(
    'href', ['../other.safetensors', '/etc/passwd', 'C:\\x', 'https://x.org/w', 'a/../../b', '']
)
def test_files_outside_the_bundle_are_refused(href):
    item = item_of(card())
    item['assets']['weights']['href'] = href
    with pytest.raises(BadInput, match='weights lies outside the bundle'):
        item_files(item, 'here')


def test_files_without_hash_are_refused():
    item = item_of(card())
    del item['assets']['weights']['file:checksum']
    with pytest.raises(BadInput, match=r'weights .* has no SHA-256'):
        item_files(item, 'here')
    with pytest.raises(BadInput, match='names no files'):
        item_files({'assets': None}, 'here')


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'bands': ()}, 'bands is'),
        ({'classes': CLASSES[:1]}, 'at least 2'),
        ({'classes': (CLASSES[0], CLASSES[0])}, 'different values'),
        ({'halo': 16}, 'halo is 16.*less than half of tile_size, which is 32'),
        ({'tile_size': 0}, 'tile_size is 0'),
        ({'resolution_minimum': 30.0}, 'resolution_minimum is 30.0'),
        ({'output_activation': 'sigmoid'}, 'two'),
        ({'output_activation': 'tanh'}, 'softmax, sigmoid or none'),
        ({'architecture': {'class': 'X'}}, 'architecture is'),
        ({'name': ' '}, 'name is'),
        ({'variables': ('height',)}, 'variables'),
        ({'task': 'regression'}, 'classes is .* empty for a regression'),
    ],
)
def test_cards_that_contradict_themselves(changes, told):
    with pytest.raises(BadParameter, match=told):
        card(**changes)


@pytest.mark.parametrize(
    ('make', 'told'),
    [
        (lambda: Band('flat', std=0.0), 'std is 0.0.*flat'),
        (lambda: Band('x', mean=math.nan), 'mean is nan'),
        (lambda: Band('x', scale=0), 'scale is 0'),
        (lambda: Band('x', center_wavelength=-1), 'center_wavelength is -1'),
        (lambda: ModelClass(1, 'water', 'blue'), "color is 'blue'.*#1f78b4"),
    ],
)
def test_values_that_cannot_be(make, told):
    with pytest.raises(BadParameter, match=told):
        make()


def test_number_of_scores():
    assert card().outputs == 3
    assert CHANGE.outputs == 1
    assert REGRESSION.outputs == 1
    assert card(output_activation='sigmoid', multilabel=True).outputs == 3
    assert len(BANDS) == 3
