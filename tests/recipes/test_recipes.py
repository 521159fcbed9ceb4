"""Every recipe runs one step on small data, and the table of the published ones is complete."""

import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from torchgeo.datasets import SSL4EOS12

from tests.data.bright import data as bright
from tests.data.levircd import data as levircd
from tests.data.spectralearth import data as spectralearth
from tests.datasets.makers import boxes, class_map, image_of, write_dates, write_polygons
from tests.rasters import write_raster
from torchgeo_ext import registry
from torchgeo_ext.cli import main
from torchgeo_ext.cli._fit import run
from torchgeo_ext.datasets.spectral_earth import TaskName
from torchgeo_ext.models import agrifm, dynamicvis, lessvit, mfnet, rsmamba, satmaepp, skysense
from torchgeo_ext.models import spectralearth as spectral_networks
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.models.vmamba import SIZES

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / 'recipes').rglob('*.yaml'))
OWN = [path for path in RECIPES if 'own' in path.stem]
PUBLISHED = [path for path in RECIPES if path not in OWN]

#: Fake data of datasets that are not called like their folder in tests/data.
FAKES = {
    'BRIGHTDFC2025': bright.make, 'BRIGHTQuestions': bright.make,
    'LEVIRCDPlus': levircd.make_plus, 'LEVIRCDTiles': levircd.make,
    'SpectralEarthPretrain': spectralearth.make,
}  # fmt: skip
FAKES |= {task: functools.partial(spectralearth.make, task=task) for task in get_args(TaskName)}

#: Networks that are too large for a test, and what makes smaller ones of the same builder.
SMALLER = {
    'centernet': {'backbone': 'eurosat_baseline3'},
    'detr': {'backbone': 'eurosat_baseline3'},
    'faster-rcnn': {'backbone': 'resnet18'},
    'fcos': {'backbone': 'resnet18'},
    'retinanet': {'backbone': 'resnet18'},
    'lenet': {'model_args': {'backbone': 'swinv2_tiny_window8_256'}},
    'mapformer': {'model_args': {'backbone': 'b1'}},
    'ssd': {'backbone': 'eurosat_baseline3'},
    'hyscdg': {'model_args': {'backbone': 'resnet18'}},
}

#: Blocks of each stage of the backbone of Mamba-FCS, which has no smaller one.
DEPTHS = (1, 1, 1, 1)

#: Pixels that images of the fake data have at least.
SIZE = 32


@pytest.fixture(autouse=True)
def _no_words(monkeypatch):
    # LightningCLI complains of words given beside those of the process
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    monkeypatch.chdir(ROOT)


def read(recipe):
    return yaml.safe_load(recipe.read_text(encoding='utf-8'))


def make_pair(folder, config):
    """Small files of all that a recipe for a pair names, and where they are.

    The demo has no labels of its pair, and the other recipes no images.
    """
    network, data = config['model']['init_args'], config['data']['init_args']
    number = network.get('num_classes') or network.get('map_classes') or 3
    first, second = write_dates(folder, network.get('in_channels', 3), number - 1)
    write_raster(folder / 'kinds.tif', np.where(first != second, second, 0).astype('uint8'))
    changed = (first != second).astype('uint8')
    changed[:, 64:] = 255 if 'unlabelled' in data else changed[:, 64:]
    write_raster(folder / 'changed.tif', changed, nodata=255)
    cells = [(c, r, c + 6, r + 6) for r in range(0, 96, 12) for c in range(0, 96, 12)]
    levels = [1 + number % network.get('levels', 4) for number in range(len(cells))]
    write_polygons(folder / 'buildings.gpkg', boxes(cells), damage=levels)
    if 'series' in data:
        (folder / 'months').mkdir()
        bands = network['model_args']['series_chans']
        for month in (1, 2, 3):
            values = image_of(class_map(24, 24, side=6, seed=month), bands)
            write_raster(folder / 'months' / f'm_2020-0{month}-05.tif', values, resolution=40.0)
    return {'root': str(folder), 'before': 'before.tif', 'after': 'after.tif', 'patch_size': 32}


@pytest.mark.parametrize('recipe', OWN, ids=lambda path: path.stem)
def test_recipe_for_own_files_runs_one_step(recipe, tmp_path):
    config = read(recipe)
    overrides = {'trainer.default_root_dir': tmp_path / 'run', 'trainer.accelerator': 'cpu'}
    if 'before' in config['data']['init_args']:
        data = make_pair(tmp_path, config)
        overrides |= {f'data.init_args.{name}': value for name, value in data.items()}
    for name, value in SMALLER.get(config['model']['init_args']['model'], {}).items():
        overrides[f'model.init_args.{name}'] = value
    words = [word for name, value in overrides.items() for word in (f'--{name}', str(value))]
    limits = '--trainer.max_epochs 1 --trainer.limit_train_batches 1 --trainer.limit_val_batches 1'
    assert main(['fit', '--config', str(recipe), *words, *limits.split()]) == 0
    assert (tmp_path / 'run' / 'checkpoints' / 'last.ckpt').is_file()


@pytest.mark.parametrize(('recipe', 'network'), [('own_files', 'fpn'), ('own_pair', 'bit')])
def test_recipes_take_every_network_of_their_task(recipe, network, capsys):
    (path,) = [path for path in OWN if path.stem == recipe]
    words = ['fit', '--config', str(path), '--model.init_args.model', network, '--print_config']
    with pytest.raises(SystemExit) as ended:
        run(words)
    assert ended.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)['model']['init_args']['model'] == network


def fake_data(dataset, root):
    name = dataset.rpartition('.')[2]
    folder = name.lower().removesuffix('damage')
    make = FAKES.get(name) or importlib.import_module(f'tests.data.{folder}.data').make
    make(root)


def dataset_of(config):
    """The class in the data, its task, the folder of one without, or what the module is for."""
    data = config['data']['init_args']
    if 'folder' in data:
        return Path(data['folder']).name
    if 'task' in data:
        return data['task']
    made_for = config['data']['class_path'].rpartition('.')[2].removesuffix('DataModule')
    return data.get('dataset', made_for)


def smaller(config, root):
    """The recipe with a smaller network and random weights, for one step."""
    network = config['model']['init_args']
    config['trainer'] |= {
        'accelerator': 'cpu', 'fast_dev_run': True, 'enable_progress_bar': False,
        'enable_model_summary': False, 'default_root_dir': str(root),
    }  # fmt: skip
    config['trainer'].pop('precision', None)  # 16 bits are for GPUs
    for weights in ('weights', 'backbone_weights'):
        network.pop(weights, None)  # nothing is downloaded
    network |= SMALLER.get(network['model'], {})
    return config


def takes(config, name):
    """Whether the data module of a recipe has an argument."""
    module = registry.datamodules[config['data']['class_path']]
    return name in inspect.signature(module).parameters


def small(config, root):
    """The recipe on fake data: smaller crops, batches and networks, random weights, no files."""
    data = smaller(config, root)['data']['init_args']
    fake_data(dataset_of(config), root)
    data |= {'batch_size': 2, 'num_workers': 0}
    further = config['data'].get('dict_kwargs', {})
    if 'dataset' in data:
        named = next(name for name in ('tile_size', 'size', 'patch_size') if takes(config, name))
        data |= {'root': str(root), named: SIZE}
        further.pop('overlap', None)  # wider than such tiles
    elif 'folder' in data:
        data |= {'folder': str(root / dataset_of(config)), 'tile_size': SIZE}
    for transform in data.get('transforms', ()):
        if 'size' in transform.get('init_args', {}):
            transform['init_args']['size'] = [SIZE, SIZE]
    if 'root' in data:
        data['root'] = str(root)
    elif 'folder' not in data:
        further['root'] = str(root)
    if 'crop_size' in data:
        data['crop_size'] = SIZE
    if 'size' in config['model']['init_args']:
        config['model']['init_args']['size'] = SIZE
    if 'tile_size' in further:
        further['tile_size'] = SIZE
    further.pop('unseen', None)  # made-up files are of made-up events
    return config


@pytest.mark.parametrize('recipe', PUBLISHED, ids=lambda path: path.stem)
def test_published_recipe_runs_one_step(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, 'base', SIZES['base']._replace(depths=DEPTHS))
    monkeypatch.setitem(rsmamba.SIZES, 'b', rsmamba.RSMambaSize(32, 2))
    monkeypatch.setitem(agrifm.SIZES, 'base', agrifm.VideoSwinSize(8, DEPTHS, DEPTHS))
    monkeypatch.setitem(dynamicvis.SIZES, 'b', dynamicvis.DynamicVisSize(8, DEPTHS))
    monkeypatch.setitem(satmaepp.SIZES, 'vitl', satmaepp.SatMAEPPSize(32, 2, 2, 8))
    monkeypatch.setitem(mfnet.SIZES, 'vitl', mfnet.SAMSize(32, 2, 2, (1,)))
    monkeypatch.setitem(skysense.SIZES, 'vitl', skysense.SkySenseSize(32, 2, 2))
    for size in lessvit.SIZES:
        monkeypatch.setitem(lessvit.SIZES, size, LESSSize(32, 2, 2))
    monkeypatch.setitem(
        spectral_networks.SIZES, 'vits', spectral_networks.SpectralEarthSize(32, 2, 2)
    )
    monkeypatch.setattr(SSL4EOS12, '__len__', lambda self: 2)  # it says what was published
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(small(read(recipe), tmp_path)), encoding='utf-8')
    run(['fit', '--config', str(path)])


#: What the data module is given for each task, besides the images.
LAYERS = {
    'BinaryChangeDetection': {'labels': 'changed.tif'},
    'BuildingDamage': {'damage': 'buildings.gpkg', 'class_field': 'damage'},
    'ConditionalChangeDetection': {'labels': 'changed.tif', 'map_before': 'land_cover_before.tif'},
    'MaskedChangeDetection': {'labels': 'kinds.tif'},
    'SemanticChangeDetection': {
        'labels_before': 'land_cover_before.tif', 'labels_after': 'land_cover_after.tif',
    },
    'SemiSupervisedChangeDetection': {'labels': 'changed.tif', 'unlabelled': 0.5},
}  # fmt: skip


def on_own_files(config, root):
    """The recipe on georeferenced images of one's own in place of the published ones."""
    network, task = config['model']['init_args'], config['model']['class_path']
    data = dict(LAYERS[task])
    if task == 'MaskedChangeDetection' and network.get('task') == 'binary':
        data['labels'] = 'changed.tif'
    if network['model'] == 'fusu':
        data |= {'series': 'months', 'series_size': 16, 'turn': False}
        network['model_args'] = {'series_chans': 2}
    if network.get('levels') == 3:
        data['classes'] = {1: 'intact', 2: 'damaged', 3: 'destroyed'}
    config['data'] = {'class_path': 'GeoTIFFDataModule', 'init_args': data}
    data |= make_pair(root, config) | {'batch_size': 2, 'length': 2}
    return config


@pytest.mark.parametrize(
    'recipe',
    ['changemamba_bright', 'changevit_levircd', 'fusu_fusu', 'mapformer_hrscd', 'semicdvl_whucd',
     'tinycd_whucd'],
)  # fmt: skip
def test_published_recipes_take_own_files(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, 'base', SIZES['base']._replace(depths=DEPTHS))
    (path,) = [path for path in PUBLISHED if path.stem == recipe]
    written = tmp_path / 'config.yaml'
    config = on_own_files(smaller(read(path), tmp_path), tmp_path)
    written.write_text(yaml.safe_dump(config), encoding='utf-8')
    run(['fit', '--config', str(written)])


def test_published_recipes_are_what_they_are_called():
    for recipe in PUBLISHED:
        config, (system, dataset) = read(recipe), recipe.stem.rsplit('_', 1)
        network = config['model']['init_args']
        named = (network['model'], network.get('backbone', ''))
        assert any(name.startswith(system) for name in named), recipe
        found = dataset_of(config).rpartition('.')[2].lower().replace('_', '')
        assert found.startswith(dataset), recipe
        assert config['trainer']['default_root_dir'] == f'{recipe.stem}_run'


def head_of(recipe):
    """The first lines, which are comments, by the word they begin with."""
    lines = recipe.read_text(encoding='utf-8').splitlines()
    words = ' '.join(line.lstrip('# ') for line in lines if line.startswith('#'))
    parts = re.split(r' (Setting|Expected|Source|Differs): ', words)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize('recipe', PUBLISHED, ids=lambda path: path.stem)
def test_figures_have_a_source_and_stand_in_the_table(recipe):
    head = head_of(recipe)
    assert re.search(r'https://\S+', head['Setting'])
    assert re.search(r'https://\S+', head['Source'])
    rows = (recipe.parent / 'README.md').read_text(encoding='utf-8').splitlines()
    (row,) = [row for row in rows if f'({recipe.name})' in row]
    assert f'| {head["Expected"]} |' in row
    assert re.search(r'https://\S+', head['Source'])[0].rstrip(',') in row
    config = read(recipe)
    assert config['model']['class_path'] in row
    assert dataset_of(config).rpartition('.')[2] in row
    for link in re.findall(r'\]\(([^)h][^)]*)\)', row):
        assert (recipe.parent / link).exists(), link


def family(name):
    return re.sub('_(tiny|small|base)$|_vit[bl]$', '', name)


def takes_pairs(builder):
    return 't=2' in inspect.getdoc(inspect.get_annotations(builder)['return'].forward)


def test_registered_networks_of_change_have_a_recipe():
    used = {family(read(recipe)['model']['init_args']['model']) for recipe in PUBLISHED}
    known = {family(name) for name in registry.models if takes_pairs(registry.models[name])}
    assert len(known) > 15
    # some are trained by a script, which a README in a folder of its own tells of
    told = ''.join(path.read_text('utf-8') for path in ROOT.glob('recipes/change/*/README.md'))
    scripted = {name for name in known if f'models/{name}.py' in told}
    assert known - used == scripted
