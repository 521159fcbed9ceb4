"""A model of one sensor on images of another: by resampling, and by wavelengths."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
import torch
from shapely.affinity import affine_transform

from tests.datasets.makers import class_map
from tests.rasters import UTM, write_raster
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import lessvit
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.operations import (
    classify_tiles,
    detect_objects,
    resample_spectra,
    segment_image,
    train_classifier,
    train_detector,
    train_segmentation,
)
from torchgeo_ext.sensors import BandWavelengths, sensor

CLASSES = class_map(96, 96, side=12)
#: Of the bands of a made-up spectrometer, in micrometres.
CENTRES = np.linspace(0.45, 2.35, 39)


def write_cube(path, centres, names=None):
    """The same ground, measured at some wavelengths: vegetation, soil and water."""
    red_edge = 0.08 + 0.4 / (1 + np.exp(-(centres - 0.71) / 0.02)) - 0.15 * (centres > 1.4)
    soil = 0.1 + 0.1 * centres
    water = 0.08 * np.exp(-centres)
    spectra = np.stack([red_edge, soil, water])[CLASSES - 1]
    noise = np.random.default_rng(0).normal(0, 0.01, spectra.shape)
    values = (10_000 * (spectra + noise).clip(0)).astype('uint16').transpose(2, 0, 1)
    write_raster(path, values, names=names or ())
    with rasterio.open(path, 'r+') as dataset:
        bands = BandWavelengths(tuple(centres), fwhm=(0.02,) * len(centres))
        for number, tags in enumerate(bands.tags(), 1):
            dataset.update_tags(number, **tags)
    return path


def _fields():
    """The blocks of the first class, on the ground."""
    for shape, _ in rasterio.features.shapes((CLASSES == 1).astype('uint8'), CLASSES == 1):
        yield affine_transform(shapely.geometry.shape(shape), [10, 0, 0, -10, 500_000, 5_300_000])


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scene')
    labels = write_raster(folder / 'labels.tif', CLASSES.astype('uint8'))
    return write_cube(folder / 'cube.tif', CENTRES), labels


def share_right(path):
    with rasterio.open(path) as dataset:
        return (dataset.read(1) == CLASSES).mean()


def test_through_resampling(scene, tmp_path):
    cube, labels = scene
    seen = tmp_path / 'as_sentinel2.tif'
    resample_spectra(cube, seen, sensor='sentinel2a')
    train_segmentation(
        seen, labels, tmp_path / 'm', architecture='cnn1d', epochs=15, batch_size=4, patch_size=32,
        learning_rate=0.01,
    )  # fmt: skip
    names = [band.name for band in sensor('sentinel2a').bands]
    centres = np.array([band.wavelength for band in sensor('sentinel2a').bands])
    other = write_cube(tmp_path / 'S2A_MSIL1C.tif', centres, names)
    segment_image(other, tmp_path / 'map.tif', bundle=tmp_path / 'm')
    assert share_right(tmp_path / 'map.tif') > 0.9


class TestByWavelength:
    @pytest.fixture(scope='class')
    def model(self, scene, tmp_path_factory):
        folder = tmp_path_factory.mktemp('models') / 'm'
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(lessvit.SIZES, 'base', LESSSize(32, 4, 2))
            train_segmentation(
                *scene, folder, architecture='fpn', backbone='lessvit_base', epochs=1,
                batch_size=2, patch_size=32,
            )  # fmt: skip
        return folder

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setitem(lessvit.SIZES, 'base', LESSSize(32, 4, 2))

    def test_the_network_is_told_what_the_image_has(self, scene, model, tmp_path, caplog):
        centres = np.array([0.49, 0.56, 0.665, 0.842, 1.61, 2.19])
        other = write_cube(tmp_path / 'other.tif', centres)
        segment_image(
            other, tmp_path / 'map.tif', bundle=model, probabilities=tmp_path / 'p.tif',
            tile_size=96, overlap=0,
        )  # fmt: skip
        assert 'was trained on other bands (33 instead of 6)' in caplog.text
        assert 'shows nothing of what' in caplog.text
        # what the network itself gives for these bands
        bundle = read_bundle(model)
        network = bundle.build()
        known = [band.center_wavelength for band in bundle.card.bands]
        network.network.model.encoder.wavelengths = centres
        means, stds = (
            torch.tensor(
                np.interp(centres, known, [getattr(b, key) for b in bundle.card.bands])
            ).float()[:, None, None]
            for key in ('mean', 'std')
        )
        with rasterio.open(other) as dataset:
            image = torch.from_numpy(dataset.read().astype('float32'))
        with torch.inference_mode():
            expected = network.network(((image - means) / stds)[None]).softmax(1)[0]
        with rasterio.open(tmp_path / 'p.tif') as dataset:
            found = dataset.read()
        np.testing.assert_allclose(found, expected.numpy(), atol=0.01)

    def test_scenes(self, scene, tmp_path, caplog):
        cube, labels = scene
        train_classifier(
            tmp_path / 'm', image=cube, labels=labels, backbone='lessvit_base', epochs=1,
            tile_size=16, batch_size=8,
        )  # fmt: skip
        classify_tiles(cube, tmp_path / 'm', tmp_path / 'own.gpkg')
        assert 'trained on other bands' not in caplog.text
        other = write_cube(tmp_path / 'other.tif', np.array([0.49, 0.56, 0.665, 0.842, 1.61]))
        found = classify_tiles(other, tmp_path / 'm', tmp_path / 'other.gpkg')
        assert found.classified_count == 36
        assert 'was trained on other bands (33 instead of 5)' in caplog.text
        assert 'is told the wavelengths of those of the image' in caplog.text

    def test_objects(self, scene, tmp_path, caplog):
        fields = geopandas.GeoDataFrame(geometry=[*_fields()], crs=UTM)
        fields.to_file(tmp_path / 'fields.gpkg')
        train_detector(
            scene[0], tmp_path / 'fields.gpkg', tmp_path / 'm', architecture='rotated-fcos',
            backbone='lessvit_base', epochs=1, patch_size=32, batch_size=2,
        )  # fmt: skip
        other = write_cube(tmp_path / 'other.tif', np.array([0.49, 0.56, 0.665, 0.842, 1.61]))
        detect_objects(other, tmp_path / 'm', tmp_path / 'o.gpkg', threshold=0.0)
        assert 'was trained on other bands (33 instead of 5)' in caplog.text

    def test_images_of_both_sensors_one_after_the_other(self, scene, model, tmp_path):
        other = write_cube(tmp_path / 'other.tif', np.array([0.49, 0.665, 0.842, 1.61]))
        maps = []
        for number, image in enumerate((scene[0], other, scene[0])):
            path = tmp_path / f'{number}.tif'
            segment_image(image, path, bundle=model)
            with rasterio.open(path) as dataset:
                maps.append(dataset.read(1))
        assert np.array_equal(maps[0], maps[2])

    def test_bands_of_another_part_of_the_spectrum(self, model, tmp_path):
        thermal = write_cube(tmp_path / 'thermal.tif', np.array([10.8, 12.0]))
        with pytest.raises(BadInput, match='trained on bands from 450 to 2350 nm'):
            segment_image(thermal, tmp_path / 'map.tif', bundle=model)

    def test_bands_of_unknown_wavelength(self, model, tmp_path):
        image = write_raster(tmp_path / 'x.tif', np.ones((2, 64, 64), 'uint16'), names=('a', 'b'))
        with pytest.raises(BadInput, match='wavelength'):
            segment_image(image, tmp_path / 'map.tif', bundle=model)
        assert not Path(tmp_path / 'map.tif').exists()


#: A real cube whose licence does not let it into the repository.
POTSDAM = Path(__file__).parents[3] / 'shared' / 'data' / 'enmap_potsdam'


@pytest.mark.skipif(not POTSDAM.is_dir(), reason='the cube of Potsdam is not here')
def test_from_enmap_to_other_sensors_on_a_real_cube(tmp_path, caplog):
    cube, labels = POTSDAM / 'enmap_potsdam_A.tif', POTSDAM / 'enmap_potsdam_A_labels.tif'
    train_segmentation(
        cube, labels, tmp_path / 'm', architecture='cnn1d', epochs=3, batch_size=4, patch_size=32,
        learning_rate=0.005,
    )  # fmt: skip
    done = segment_image(cube, tmp_path / 'enmap.tif', bundle=tmp_path / 'm')
    assert sum(area > 0 for area in json.loads(done.class_areas).values()) > 3
    assert 'trained on other bands' not in caplog.text
    agreement = {}
    for name in ('prisma', 'emit', 'sentinel2a'):
        seen = tmp_path / f'as_{name}.tif'
        resample_spectra(cube, seen, sensor=name)
        segment_image(seen, tmp_path / f'{name}.tif', bundle=tmp_path / 'm')
        assert 'image: m was trained on other bands' in caplog.text
        with (
            rasterio.open(tmp_path / 'enmap.tif') as one,
            rasterio.open(tmp_path / f'{name}.tif') as other,
        ):
            agreement[name] = (one.read(1) == other.read(1)).mean()
        caplog.clear()
    assert min(agreement['prisma'], agreement['emit']) > 0.95
    assert agreement['sentinel2a'] > 0.8
    visible = tmp_path / 'as_planetscope8.tif'
    resample_spectra(cube, visible, sensor='planetscope8')
    with pytest.raises(BadInput, match='shows 66 of the 218 bands that m was trained on'):
        segment_image(visible, tmp_path / 'x.tif', bundle=tmp_path / 'm')
