"""End to end with the real engine: the same pixels as from the command line."""

import json
import subprocess

import numpy as np
import pytest
from command import QgisProcess
from fakes import engine_python
from layers import read_image, write_image, write_zones


@pytest.fixture(scope='module')
def real(provider):
    """The engine of the development environment, warm for all these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TORCHGEO_EXT_PYTHON', engine_python())
        yield
    provider.pool.close()


@pytest.fixture
def pair(tmp_path):
    """Two dates of one place: noise, another illumination, and one changed square."""
    random = np.random.default_rng(0)
    before = random.integers(40, 160, (3, 64, 64))
    after = 0.8 * before + 20 + random.normal(0, 1, before.shape)
    after[:, 16:32, 24:48] = random.integers(0, 250, (3, 16, 24))
    return (
        write_image(tmp_path / 'before.tif', before.astype('uint8')),
        write_image(tmp_path / 'after.tif', after.clip(0, 255).astype('uint8')),
    )


def command_line(operation, **values):
    """Run an operation on the command line and get the path of its output."""
    arguments = [f'--{name.replace("_", "-")}={value}' for name, value in values.items()]
    command = [engine_python(), '-m', 'torchgeo_ext', operation, *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return values['output']


def test_status(real):
    import processing

    status = processing.run('torchgeoext:enginestatus', {})
    assert status['READY']
    assert 'cpu' in status['DEVICE']
    assert json.loads(status['VERSIONS'])['torchgeo_ext']


def test_change_is_the_same_as_on_the_command_line(real, pair, tmp_path):
    import processing

    before, after = pair
    results = processing.run(
        'torchgeoext:detectchange',
        {
            'BEFORE': before,
            'AFTER': after,
            'OUTPUT': str(tmp_path / 'qgis.tif'),
            'MAGNITUDE': str(tmp_path / 'magnitude.tif'),
            'POLYGONS': str(tmp_path / 'areas.gpkg'),
        },
    )
    pixels, transform = read_image(results['OUTPUT'])
    other = command_line('detect-change', before=before, after=after, output=tmp_path / 'cli.tif')
    assert np.array_equal(pixels, read_image(other)[0])
    assert transform == read_image(before)[1], 'the grid of the earlier image'
    changed = pixels[0] == 1
    assert changed[16:32, 24:48].mean() > 0.5
    assert changed.mean() < 0.2
    assert results['CHANGED_AREA'] == pytest.approx(100 * changed.sum(), rel=0.01), 'square metres'
    assert (tmp_path / 'areas.gpkg').is_file()


def test_change_is_the_same_through_qgis_process(pair, tmp_path):
    before, after = pair
    results = QgisProcess(tmp_path).run(
        'torchgeoext:detectchange',
        engine_python(),
        BEFORE=before,
        AFTER=after,
        MODEL='cva',
        OUTPUT=tmp_path / 'qgis.tif',
    )
    other = command_line(
        'detect-change', before=before, after=after, model='cva', output=tmp_path / 'cli.tif'
    )
    assert np.array_equal(read_image(results['OUTPUT'])[0], read_image(other)[0])


def test_the_result_is_loaded_with_its_colours(real, pair):
    import processing
    from qgis.core import QgsProject

    before, after = pair
    parameters = {'BEFORE': before, 'AFTER': after, 'OUTPUT': 'TEMPORARY_OUTPUT'}
    processing.runAndLoadResults(
        'torchgeoext:detectchange', {**parameters, 'POLYGONS': 'TEMPORARY_OUTPUT'}
    )
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    assert layers['Change map'].renderer().type() == 'paletted'
    assert all(entry.label for entry in layers['Change map'].renderer().classes())
    assert layers['Changed areas'].renderer().type() == 'categorizedSymbol'
    QgsProject.instance().clear()


def test_an_error_of_the_engine_names_argument_value_and_remedy(real, pair, tmp_path):
    import processing
    from qgis.core import QgsProcessingException

    before, after = pair
    parameters = {'BEFORE': before, 'AFTER': after, 'OUTPUT': str(tmp_path / 'no' / 'out.tif')}
    with pytest.raises(QgsProcessingException, match='does not exist') as caught:
        processing.run('torchgeoext:detectchange', parameters)
    assert 'Traceback' not in str(caught.value)
    assert str(tmp_path / 'no') in str(caught.value)


@pytest.fixture(scope='module')
def trained(real, tmp_path_factory):
    """A model trained in QGIS from an image and polygons: folder of the model and the image."""
    import processing
    from qgis.core import QgsFeatureRequest, QgsVectorLayer

    folder = tmp_path_factory.mktemp('trained')
    bright = np.random.default_rng(0).integers(0, 40, (3, 128, 128))
    bright[:, :, 64:] += 120
    image = write_image(folder / 'image.tif', bright.astype('uint8'))
    file = QgsVectorLayer(write_zones(folder / 'zones.gpkg', size=640), 'zones')
    labels = file.materialize(QgsFeatureRequest())  # exists in memory only
    results = processing.run(
        'torchgeoext:trainsegmentation',
        {
            'IMAGE': [image],
            'LABELS': labels,
            'CLASS_FIELD': 'class',
            'OUTPUT': str(folder / 'model'),
            'REPORT': str(folder / 'report.html'),
            'BACKBONE': 'mobilenet_v2',
            'EPOCHS': 1,
            'PATCH_SIZE': 32,
            'BATCH_SIZE': 4,
        },
    )
    assert 0 <= results['OVERALL_ACCURACY'] <= 1
    assert results['EPOCHS_RUN'] == 1
    assert (folder / 'report.html').is_file()
    return results['OUTPUT'], image


def test_train_and_segment(real, trained, tmp_path):
    import processing

    model, image = trained
    outputs = {'OUTPUT': str(tmp_path / 'qgis.tif'), 'POLYGONS': str(tmp_path / 'classes.gpkg')}
    results = processing.run(
        'torchgeoext:segmentimage', {'IMAGE': image, 'BUNDLE': model, **outputs}
    )
    pixels, transform = read_image(results['OUTPUT'])
    other = command_line('segment-image', image=image, bundle=model, output=tmp_path / 'cli.tif')
    assert np.array_equal(pixels, read_image(other)[0])
    assert transform == read_image(image)[1]
    assert set(np.unique(pixels)) <= {1, 2}
    assert (tmp_path / 'classes.gpkg').is_file()


def test_the_packaged_model_counts_classes_in_zones(real, trained, tmp_path):
    import processing
    from qgis.core import QgsApplication, QgsVectorLayer

    model, image = trained
    zones = write_zones(tmp_path / 'zones.gpkg', size=640)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(
        'torchgeoext:classesinzones'
    )
    destinations = [d.name() for d in algorithm.parameterDefinitions() if d.isDestination()]
    values = {'IMAGE': image, 'BUNDLE': f'{model}/model.json', 'ZONES': zones}
    results = processing.run(
        'torchgeoext:classesinzones', {**values, **dict.fromkeys(destinations, 'TEMPORARY_OUTPUT')}
    )
    counted = results[next(name for name in destinations if 'Zones' in name)]
    layer = counted if isinstance(counted, QgsVectorLayer) else QgsVectorLayer(counted, 'counted')
    counts = [name for name in layer.fields().names() if name.startswith('class_')]
    assert (
        sum(feature[name] or 0 for feature in layer.getFeatures() for name in counts) == 2 * 64**2
    )


UNTRAINED = """
import sys
from lightning.pytorch import Trainer
from torchgeo_ext.tasks import BuildingDamage

small = {'backbone': 'mobilenet_v2', 'semantic_classes': 2}
trainer = Trainer(accelerator='cpu', logger=False, enable_checkpointing=False)
trainer.strategy.connect(BuildingDamage('hyscdg', model_args=small))
trainer.save_checkpoint(sys.argv[1])
"""


def test_footprints_get_their_damage(real, pair, tmp_path):
    import processing
    from qgis.core import QgsFeatureRequest, QgsProject, QgsVectorLayer

    model = tmp_path / 'model.ckpt'
    subprocess.run([engine_python(), '-c', UNTRAINED, str(model)], check=True, capture_output=True)
    zones = write_zones(tmp_path / 'zones.gpkg', classes=('school', 'barn', 'far away'), size=320)
    footprints = QgsVectorLayer(zones, 'zones').materialize(QgsFeatureRequest())  # in memory only
    before, after = pair
    values = {'BEFORE': before, 'AFTER': after, 'BUNDLE': str(model), 'TILE_SIZE': 64}
    outputs = {'OUTPUT': str(tmp_path / 'damage.tif'), 'BUILDINGS': str(tmp_path / 'b.gpkg')}
    results = processing.runAndLoadResults(
        'torchgeoext:assessdamage', {**values, **outputs, 'FOOTPRINTS': footprints}
    )
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    features = list(layers['Buildings'].getFeatures())
    assert [feature['class'] for feature in features] == ['school', 'barn', 'far away']
    assert features[2]['damage_name'] == 'unknown'
    assert [feature['seen'] for feature in features] == [1, 1, 0]
    assert results['BUILDING_COUNT'] == 3
    assert results['UNKNOWN_COUNT'] == 1
    renderer = layers['Buildings'].renderer()
    assert renderer.classAttribute() == 'damage_name'
    labels = [category.label() for category in renderer.categories()]
    assert labels == ['no damage', 'minor damage', 'major damage', 'destroyed', 'unknown']
    assert layers['Damage map'].renderer().type() == 'paletted'
    QgsProject.instance().clear()
    pixels, _ = read_image(results['OUTPUT'])
    assert set(np.unique(pixels[0, :32])) <= {1, 2, 3, 4}
    assert (pixels[0, 32:] == 255).all(), 'below the footprints'


def test_a_training_can_be_canceled(real, trained, tmp_path):
    import processing
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    class Impatient(QgsProcessingFeedback):
        """Cancels at the first sign of progress."""

        def setProgressText(self, text):
            self.cancel()

    _, image = trained
    values = {
        'IMAGE': [image],
        'LABELS': write_zones(tmp_path / 'zones.gpkg', size=640),
        'CLASS_FIELD': 'class',
        'OUTPUT': str(tmp_path / 'model'),
        'BACKBONE': 'mobilenet_v2',
        'PATCH_SIZE': 32,
    }
    with pytest.raises(QgsProcessingException, match='Canceled'):
        processing.run('torchgeoext:trainsegmentation', values, feedback=Impatient(False))
    assert not list(tmp_path.glob('*.part*'))


def test_the_packaged_model_ranks_the_changed_areas(real, pair):
    import processing
    from qgis.core import QgsApplication, QgsVectorLayer

    before, after = pair
    model = QgsApplication.processingRegistry().createAlgorithmById('torchgeoext:rankchanges')
    assert model.displayName() == 'Detect change and rank the areas'
    destinations = [d.name() for d in model.parameterDefinitions() if d.isDestination()]
    areas = next(name for name in destinations if 'areas' in name)
    values = {'BEFORE': before, 'AFTER': after, 'MINIMUM_AREA': 500}
    results = processing.run(
        'torchgeoext:rankchanges', {**values, **dict.fromkeys(destinations, 'TEMPORARY_OUTPUT')}
    )
    layer = results[areas]
    layer = layer if isinstance(layer, QgsVectorLayer) else QgsVectorLayer(layer, 'areas')
    means = [feature['change_mean'] for feature in layer.getFeatures()]
    assert means
    assert means == sorted(means, reverse=True)
