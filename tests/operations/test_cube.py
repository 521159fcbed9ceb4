"""Bands of a cube that are of use, in every operation that trains a model."""

from typing import ClassVar

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image
from shapely.geometry import box

from tests.cubes import write_cube
from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import (
    _object_training,
    _scene_training,
    _training,
    train_change,
    train_classifier,
    train_detector,
    train_segmentation,
)

CENTRES = np.linspace(0.45, 2.35, 39)
#: Without data, marked as bad, in water vapour.
EMPTY, BAD, VAPOUR = {4, 5}, {7}, {19, 20, 21, 28, 29, 30}
USEFUL = [n for n in range(1, 40) if n not in EMPTY | BAD | VAPOUR]


class Taken(Exception):
    """The data of a training, which is not run."""

    bands: ClassVar


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    def take(datamodule, *args, **kwargs):
        taken = Taken()
        taken.bands = datamodule.kwargs['bands']
        raise taken

    for room, name in (
        (_training, 'train'),
        (_scene_training, 'train_scenes'),
        (_object_training, 'train_objects'),
    ):
        monkeypatch.setattr(room, name, take)


def cube(path, empty=EMPTY, bands=39):
    values = np.random.default_rng(0).integers(1, 1000, (bands, 16, 16))
    values[[number - 1 for number in empty]] = -32768
    write_cube(path, values, centres=CENTRES[:bands])
    with rasterio.open(path, 'r+') as dataset:
        for number in BAD:
            dataset.update_tags(number, bbl='0')
    return path


def change(images, folder, **options):
    train_change(images[:1], images[1:], folder / 'labels.tif', folder / 'm', **options)


def segmentation(images, folder, **options):
    train_segmentation(images, folder / 'labels.tif', folder / 'm', **options)


def detector(images, folder, **options):
    train_detector(images, folder / 'objects.gpkg', folder / 'm', **options)


def classifier(images, folder, **options):
    train_classifier(folder / 'm', image=images, labels=folder / 'labels.tif', **options)


def classifier_of_folders(images, folder, **options):
    for name, path in zip(('forest', 'water'), images, strict=True):
        (folder / 'classes' / name).mkdir(parents=True)
        path.rename(folder / 'classes' / name / path.name)
    train_classifier(folder / 'm', folder=folder / 'classes', **options)


TRAININGS = (change, segmentation, detector, classifier, classifier_of_folders)


@pytest.fixture
def folder(tmp_path):
    write_raster(tmp_path / 'labels.tif', np.ones((16, 16), 'uint8'))
    there = box(500_010, 5_299_900, 500_050, 5_299_950)
    geopandas.GeoDataFrame(geometry=[there], crs='EPSG:32633').to_file(tmp_path / 'objects.gpkg')
    return tmp_path


def bands_taken(training, images, folder, **options):
    with pytest.raises(Taken) as taken:
        training(images, folder, **options)
    return taken.value.bands


@pytest.mark.parametrize('training', TRAININGS)
def test_every_training_leaves_out_bands_of_no_use(training, folder):
    images = [cube(folder / 'a.tif'), cube(folder / 'b.tif', {*EMPTY, 11})]
    assert bands_taken(training, images, folder) == [n for n in USEFUL if n != 11]


@pytest.mark.parametrize('training', TRAININGS)
def test_bands_that_the_user_chose_are_kept(training, folder):
    images = [cube(folder / 'a.tif'), cube(folder / 'b.tif')]
    assert bands_taken(training, images, folder, bands=[1, 4, 20]) == [1, 4, 20]


@pytest.mark.parametrize('training', TRAININGS)
def test_images_of_few_bands_are_taken_as_they_are(training, folder):
    images = [cube(folder / f'{name}.tif', bands=30) for name in 'ab']
    assert bands_taken(training, images, folder) is None


def test_folders_may_hold_pictures(folder):
    for name in ('forest', 'water'):
        (folder / 'classes' / name).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(folder / 'classes' / name / 'a.png')
    with pytest.raises(Taken) as taken:
        train_classifier(folder / 'm', folder=folder / 'classes')
    assert taken.value.bands is None


def test_no_band_of_use_in_all_images(folder):
    halves = {*range(1, 20)}, {*range(20, 40)}
    images = [cube(folder / f'{n}.tif', empty) for n, empty in enumerate(halves)]
    with pytest.raises(BadInput, match='before, after: no band is of use in all images'):
        change(images, folder)


def test_of_many_images_some_are_looked_at(folder, monkeypatch):
    monkeypatch.setattr('torchgeo_ext.operations._cube._FILES', 2)
    several = [cube(folder / f'{n}.tif', {*EMPTY, 10 + n}) for n in range(4)]
    taken = bands_taken(segmentation, several, folder)
    assert taken == [n for n in USEFUL if n not in (10, 12)]
