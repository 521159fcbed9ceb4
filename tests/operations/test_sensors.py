"""Every operation that runs a model adapts it to images of other sensors, in the same way."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from rasterio.windows import Window
from scipy import ndimage
from torch import nn

import torchgeo_ext.operations
from tests.cubes import materials
from tests.rasters import write_raster
from tests.tasks.pairs import register
from torchgeo_ext import operations as run
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle
from torchgeo_ext.cells import CellHierarchy
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference import Grid, RasterSource, open_raster
from torchgeo_ext.inference.mixed import MixedSource
from torchgeo_ext.operations._models import open_model
from torchgeo_ext.operations._predict import Image
from torchgeo_ext.operations._sensors import adapt
from torchgeo_ext.sensors import BandWavelengths

GREEN, BRIGHT, DARK = range(3)
BEFORE = np.full((64, 64), DARK)
BEFORE[8:24, 8:40] = GREEN
AFTER = BEFORE.copy()
BEFORE[40:56, 8:24] = GREEN
AFTER[40:56, 8:24] = BRIGHT
CELLS = CellHierarchy.build([(-60, -30), (15, 47.85)], [1])


def bands_of(name, shift=0.0):
    """The bands of a sensor that are of use, their centres moved by some micrometres."""
    known = BandWavelengths.of_sensor(name).without()
    chosen = known.select(i for i in known.order if known.good[i]).unscaled()
    centres = tuple(centre + shift for centre in chosen.centre)
    return BandWavelengths(centres, chosen.fwhm, names=chosen.names)


ENMAP = bands_of('enmap')


def picture(path, ground, seen=ENMAP, **options):
    """What a sensor sees of the ground."""
    values = materials(np.array(seen.centre))[:, ground]
    write_raster(path, values.round().astype('int16'), **options)
    with rasterio.open(path, 'r+') as dataset:
        for number, tags in enumerate(seen.tags(), 1):
            dataset.update_tags(number, **tags)
    return path


def green(x):
    """Above 0 where an image (..., c, h, w) of EnMAP or Sentinel-2 shows something green."""
    seen = bands_of('sentinel2a') if x.shape[-3] == 12 else ENMAP
    assert x.shape[-3] == len(seen)
    red, infrared = (int(np.abs(np.array(seen.centre) - c).argmin()) for c in (0.66, 0.86))
    return x[..., infrared, :, :] - x[..., red, :, :] - 1


class Greenness(nn.Module):
    """Does each of the tasks by what is green."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.steep = kind, nn.Parameter(torch.tensor(20.0))

    def forward(self, x, land_cover=None):
        is_green = (green(x) > 0).float()
        yes = self.steep * (is_green - 0.5)
        none = torch.full_like(yes, -50.0)
        match self.kind:
            case 'segmentation':
                return torch.stack([-yes, yes], 1)
            case 'classification' | 'geolocation':
                mean = self.steep * (is_green.flatten(1).mean(1) - 0.2)
                return torch.stack([-mean, mean], 1)
            case 'detection' | 'instance_segmentation':
                masks = self.kind == 'instance_segmentation'
                return [blobs(image, masks) for image in is_green.numpy()]
        before, after = yes.unbind(1)
        change = self.steep * ((is_green[:, 0] != is_green[:, 1]).float() - 0.5)
        match self.kind:
            case 'change':
                return change[:, None]
            case 'semantic_change':
                both = (torch.stack([none[:, 0], -part, part], 1) for part in (before, after))
                return torch.stack([-change, change], 1), *both
            case 'building_damage':
                damage = torch.stack([none[:, 0], after, -after], 1)
                return torch.stack([-before, before], 1), damage
        now = 1 + is_green[:, 1].long()
        same = (now == land_cover).float()
        return self.steep * torch.stack([same, *((1 - same) * (now == n) for n in (1, 2))], 1)


def blobs(image, masks):
    numbers, count = ndimage.label(image)
    places = ndimage.find_objects(numbers)
    boxes = [[c.start, r.start, c.stop, r.stop] for r, c in places]
    found = {
        'boxes': torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        'scores': torch.ones(count),
        'labels': torch.ones(count, dtype=torch.int64),
    }
    if masks:
        shown = np.arange(1, count + 1)[:, None, None] == numbers
        found['masks'] = torch.from_numpy(shown[:, None].astype('float32'))
    return found


def greenness(kind, cells=None, in_chans=None, map_classes=3, num_classes=3):
    return Greenness(kind)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, greenness)


def make_bundle(folder, kind, seen=ENMAP):
    objects = kind in ('detection', 'instance_segmentation')
    classes = (ModelClass(1, 'other', '#d9d9d9'), ModelClass(2, 'green', '#33a02c'))
    activation = {'change': 'sigmoid'}.get(kind, 'none' if objects else 'softmax')
    several = ('change', 'semantic_change', 'building_damage', 'map_update')
    cells = {'cells': CELLS.as_dict()} if kind == 'geolocation' else {}
    card = BundleCard(
        name='greenness', description='', task=kind,
        classes=() if cells else classes[objects:],
        bands=tuple(
            Band(f'band {i + 1}', centre, width, mean=0.0, std=1000.0)
            for i, (centre, width) in enumerate(zip(seen.centre, seen.fwhm, strict=True))
        ),
        dates=2 if kind in several else 1,
        tile_size=32, halo=0 if kind in ('classification', 'geolocation') else 4,
        architecture={'class': 'greenness', 'arguments': {'kind': kind} | cells},
        output_activation=activation,
    )  # fmt: skip
    return write_bundle(folder, card, Greenness(kind))


def raster(path):
    with rasterio.open(path) as dataset:
        return dataset.read().tolist()


def features(path):
    frame = pyogrio.read_dataframe(path, layer=path.stem)
    kept = frame.drop(columns=['geometry', 'probability', 'score'], errors='ignore')
    return kept.round(3).values.tolist(), frame.geometry.to_wkt(rounding_precision=3).tolist()


def segmented(images, bundle, folder):
    run.segment_image(images[0], folder / 'o.tif', bundle=bundle)
    return raster(folder / 'o.tif')


def traced(images, bundle, folder):
    run.trace_lines(images[0], folder / 'o.gpkg', bundle=bundle)
    return features(folder / 'o.gpkg')


def classified(images, bundle, folder):
    run.classify_tiles(images[0], bundle, folder / 'o.gpkg', top=1)
    return features(folder / 'o.gpkg')


def located(images, bundle, folder):
    return run.geolocate_image(images, bundle, folder / 'o.gpkg').longitude


def detected(images, bundle, folder):
    run.detect_objects(images[0], bundle, folder / 'o.gpkg')
    return features(folder / 'o.gpkg')


def outlined(images, bundle, folder):
    run.segment_instances(images[0], bundle, folder / 'o.gpkg')
    return features(folder / 'o.gpkg')


def changed(images, bundle, folder):
    run.detect_change(*images, folder / 'o.tif', bundle=bundle)
    return raster(folder / 'o.tif')


def changed_into(images, bundle, folder):
    run.detect_semantic_change(*images, folder / 'o.tif', bundle=bundle)
    return raster(folder / 'o.tif')


def damaged(images, bundle, folder):
    run.assess_damage(*images, bundle, folder / 'o.tif', folder / 'o.gpkg')
    return raster(folder / 'o.tif')


def updated(images, bundle, folder):
    mapped = write_raster(folder / 'map.tif', 1 + (BEFORE == GREEN).astype('uint8'))
    run.update_map(*images, mapped, bundle, folder / 'o.tif', mapping=[[1, 1], [2, 2]])
    return raster(folder / 'o.tif')


OPERATIONS = {
    'segment_image': ('segmentation', segmented),
    'trace_lines': ('segmentation', traced),
    'classify_tiles': ('classification', classified),
    'geolocate_image': ('geolocation', located),
    'detect_objects': ('detection', detected),
    'segment_instances': ('instance_segmentation', outlined),
    'detect_change': ('change', changed),
    'detect_semantic_change': ('semantic_change', changed_into),
    'assess_damage': ('building_damage', damaged),
    'update_map': ('map_update', updated),
}


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
    """The two dates as some sensors see them."""
    folder = tmp_path_factory.mktemp('pairs')
    return {
        name: [
            picture(folder / f'{number}_{name}.tif', ground, bands_of(name))
            for number, ground in enumerate((BEFORE, AFTER))
        ]
        for name in ('enmap', 'prisma', 'emit', 'sentinel2a')
    }


@pytest.mark.parametrize('name', OPERATIONS)
def test_a_model_of_enmap_on_other_sensors(name, pairs, tmp_path, caplog):
    kind, answer = OPERATIONS[name]
    bundle = make_bundle(tmp_path / 'bundle', kind)
    expected = answer(pairs['enmap'], bundle, tmp_path)
    assert expected not in ([], ([], []))
    assert 'trained on other bands' not in caplog.text
    for sensor in ('prisma', 'emit', 'sentinel2a'):
        folder = tmp_path / sensor
        folder.mkdir()
        caplog.clear()
        assert answer(pairs[sensor], bundle, folder) == expected
        count = len(bands_of(sensor))
        told = f'greenness was trained on other bands ({len(ENMAP)} instead of {count})'
        assert told in caplog.text
        assert 'sees these as they follow from those of the image' in caplog.text
        gaps = 'the image shows nothing of what greenness was trained on at' in caplog.text
        assert gaps == (sensor == 'sentinel2a')


def test_bands_are_looked_for_in_one_place():
    """An operation that matches bands by itself would refuse other sensors."""
    room = Path(torchgeo_ext.operations.__file__).parent
    using = {
        path.name
        for path in room.glob('*.py')
        for node in ast.walk(ast.parse(path.read_text('utf-8')))
        if isinstance(node, ast.Name | ast.alias)
        and 'match_bands' in (getattr(node, 'id', ''), getattr(node, 'name', ''))
    }
    assert using == {'_sensors.py'}


def test_dates_of_two_sensors(pairs, tmp_path, caplog):
    bundle = make_bundle(tmp_path / 'bundle', 'change')
    found = changed([pairs['enmap'][0], pairs['prisma'][1]], bundle, tmp_path)
    assert np.array_equal(found[0], 1 + (BEFORE != AFTER))
    assert 'before: greenness' not in caplog.text
    assert 'after: greenness was trained on other bands' in caplog.text


def test_what_is_read_is_what_resampling_writes(tmp_path):
    bundle = make_bundle(tmp_path / 'bundle', 'segmentation')
    other = picture(tmp_path / 'emit.tif', BEFORE, bands_of('emit'), nodata=-32768)
    with rasterio.open(other, 'r+') as dataset:
        dataset.write(np.full((2, 5, 64), -32768, 'int16'), [9, 10], window=((0, 5), (0, 64)))
    run.resample_spectra(other, tmp_path / 'seen.tif', bundle=bundle)
    opened = open_model(bundle, None, 'segmentation', 1)
    trained, [source] = adapt(opened, [Image(other, None)])
    assert trained is opened
    with source.open() as reader, RasterSource(str(tmp_path / 'seen.tif')).open() as written:
        values, valid = reader.read(reader.grid.window)
        stored, known = written.read(reader.grid.window)
    assert (~valid[:5]).all()
    assert np.array_equal(valid, known)
    assert not values[:, :5].any()  # the mean of each band
    np.testing.assert_allclose(values[:, valid], stored[:, valid], atol=0.51)


def test_a_model_that_reads_the_place_too(tmp_path):
    plain = open_model(make_bundle(tmp_path / 'b', 'segmentation'), None, 'segmentation', 1)
    place = (Band('longitude'), Band('latitude'))
    located = dataclasses.replace(plain.card, bands=(*plain.card.bands, *place))
    image = Image(picture(tmp_path / 'prisma.tif', BEFORE, bands_of('prisma')), None)
    _, [source] = adapt(dataclasses.replace(plain, card=located), [image])
    _, [without] = adapt(plain, [image])
    window = Window(8, 16, 32, 24)
    with source.open() as reader, without.open() as other:
        values, valid = reader.read(window)
        expected, _ = other.read(window)
        middle = reader.grid.part(window).middle('image')
    assert reader.count == len(values) == len(ENMAP) + 2
    assert valid.all()
    assert np.array_equal(values[:-2], expected)
    np.testing.assert_allclose(values[-2:, 0, 0], middle, rtol=1e-6)


def test_resampled_onto_another_grid(tmp_path):
    """Of an image of half the resolution the same comes as of its bands warped before."""
    bundle = open_model(make_bundle(tmp_path / 'bundle', 'segmentation'), None, 'segmentation', 1)
    coarse = picture(tmp_path / 'x.tif', BEFORE[::2, ::2], bands_of('prisma'), resolution=20.0)
    _, [source] = adapt(bundle, [Image(coarse, None)], 'nearest')
    with open_raster(picture(tmp_path / 'grid.tif', BEFORE)) as dataset:
        grid = Grid.of(dataset)
    with source.open(grid) as reader, source.open() as own:
        values, valid = reader.read(grid.window)
        direct, _ = own.read(own.grid.window)
    assert valid.all()
    np.testing.assert_allclose(values, direct.repeat(2, 1).repeat(2, 2), rtol=1e-5)


def test_too_little_of_the_spectrum(tmp_path):
    bundle = make_bundle(tmp_path / 'bundle', 'segmentation')
    for sensor in ('planetscope8', 'pleiades'):
        seen = bands_of(sensor)
        image = picture(tmp_path / f'{sensor}.tif', BEFORE, seen)
        with pytest.raises(BadInput, match=r'shows \d+ of the \d+ bands .* at least 50% .* needed'):
            run.segment_image(image, tmp_path / 'o.tif', bundle=bundle)
    assert not (tmp_path / 'o.tif').exists()


def test_an_image_that_tells_no_wavelengths(tmp_path):
    bundle = make_bundle(tmp_path / 'bundle', 'segmentation')
    image = write_raster(tmp_path / 'x.tif', np.ones((150, 8, 8), 'int16'))
    with pytest.raises(BadInput, match='does not show which of its bands'):
        run.segment_image(image, tmp_path / 'o.tif', bundle=bundle)


def test_numbers_of_the_user_are_those_of_the_bands_of_the_model(tmp_path):
    bundle = make_bundle(tmp_path / 'bundle', 'segmentation')
    image = picture(tmp_path / 'x.tif', BEFORE, bands_of('prisma'))
    with pytest.raises(BadParameter, match='bands has 3 numbers'):
        run.segment_image(image, tmp_path / 'o.tif', bundle=bundle, bands=[1, 2, 3])


def test_models_of_few_bands_stay_as_they_were(tmp_path):
    """Of many narrow bands the nearest are taken, and too few are refused."""
    seen = bands_of('sentinel2a')
    bundle = open_model(
        make_bundle(tmp_path / 'bundle', 'segmentation', seen), None, 'segmentation', 1
    )
    own, [source] = adapt(bundle, [Image(picture(tmp_path / 'a.tif', BEFORE, seen), None)])
    assert own is bundle
    assert type(source) is RasterSource
    assert source.bands == tuple(range(1, len(seen) + 1))
    _, [source] = adapt(bundle, [Image(picture(tmp_path / 'b.tif', BEFORE), None)])
    assert not isinstance(source, MixedSource)
    centres = [ENMAP.centre[number - 1] for number in source.bands]
    np.testing.assert_allclose(centres, seen.centre, atol=0.01)
    few = picture(tmp_path / 'c.tif', BEFORE, bands_of('planetscope8'))
    with pytest.raises(BadInput, match='does not show which of its bands'):
        adapt(bundle, [Image(few, None)])
