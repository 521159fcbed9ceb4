"""classify_tiles: classes of tiles and of what lies around polygons, on real files."""

import json

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from affine import Affine
from shapely.geometry import box
from torch import nn

from tests.bundles.makers import checkpoint
from tests.rasters import UTM, write_raster
from tests.tasks.pairs import register
from tests.trained import tiny_bundle
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.operations import classify_tiles, create_bundle
from torchgeo_ext.tasks import LocatedClassification, SceneClassification

LEFT, TOP, PIXEL, SIZE = 500_000, 5_300_000, 10, 16
LEVELS = {'dark': 50.0, 'grey': 100.0, 'bright': 150.0}
CLASSES = tuple(
    ModelClass(value, name, color)
    for value, name, color in zip((2, 4, 7), LEVELS, ('#222222', '#888888', '#dddddd'), strict=True)
)


class Brightness(nn.Module):
    """The nearer the brightness of a scene is to that of a class, the likelier is the class."""

    def __init__(self, levels=3):
        super().__init__()
        self.levels = nn.Parameter(torch.tensor([*LEVELS.values()][:levels]))

    def forward(self, x):
        assert x.shape[-2:] == (SIZE, SIZE)
        mean = 100 + x.mean(dim=(1, 2, 3))[:, None]
        if len(self.levels) == 1:
            return (mean - 100) / 50
        return 1 - (mean - self.levels).abs() / 50


def brightness(levels=3):
    return Brightness(levels)


def make_bundle(folder, levels=3, **card):
    known = {
        'name': 'brightness', 'description': '', 'task': 'classification', 'classes': CLASSES,
        'bands': (Band('gray', mean=100),), 'tile_size': SIZE, 'halo': 0,
        'output_activation': 'softmax',
        'architecture': {'class': 'brightness', 'arguments': {'levels': levels}},
    }  # fmt: skip
    return write_bundle(folder, BundleCard(**known | card), Brightness(levels))


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, brightness)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / 'bundle')


@pytest.fixture
def image(tmp_path):
    """Tiles of 16 pixels: dark, grey, bright / bright, no data, dark; a rim of 10 and 4 pixels."""
    tiles = np.array([[40, 90, 140, 110], [150, 0, 60, 110], [100, 50, 150, 110]], 'uint16')
    values = tiles.repeat(SIZE, 0).repeat(SIZE, 1)[: 2 * SIZE + 10, : 3 * SIZE + 4]
    return write_raster(tmp_path / 'image.tif', values, nodata=0)


def read(path):
    return pyogrio.read_dataframe(path, layer=path.stem)


def softmax(mean, levels=LEVELS):
    return torch.tensor([1 - abs(mean - level) / 50 for level in levels.values()]).softmax(0)


def test_tiles_of_an_image(bundle, image, tmp_path):
    output, raster = tmp_path / 'o.gpkg', tmp_path / 'o.tif'
    result = classify_tiles(image, bundle, output, raster=raster, top=2)
    frame = read(output)
    # the last column is less than half of a tile wide
    expected = ['dark', 'grey', 'bright', 'bright', 'dark', 'grey', 'dark', 'bright']
    assert [*frame['class']] == expected
    values = [2, 4, 7, 7, 2, 4, 2, 7]
    assert [*frame['value']] == values
    assert [*frame.columns] == [
        'value', 'class', 'probability', 'top2_class', 'top2_probability', 'geometry',
    ]  # fmt: skip
    first = softmax(40.0).sort(descending=True).values
    np.testing.assert_allclose(
        frame.loc[0, ['probability', 'top2_probability']].astype(float), first[:2], rtol=1e-5
    )
    assert frame.loc[0, 'top2_class'] == 'grey'
    assert frame.crs == UTM
    assert frame.geometry[4].bounds == (LEFT + 320, TOP - 320, LEFT + 480, TOP - 160)
    # outlines end with the image
    assert frame.geometry[5].bounds == (LEFT, TOP - 420, LEFT + 160, TOP - 320)
    with rasterio.open(raster) as dataset:
        assert dataset.transform == Affine(160, 0, LEFT, 0, -160, TOP)
        found = dataset.read(1)
        assert dataset.tags()['model'] == 'brightness'
        nodata = dataset.nodata
    tiles = np.full((3, 4), nodata)
    tiles[0, :3], tiles[1, 0], tiles[1, 2], tiles[2, :3] = values[:3], 7, 2, values[5:]
    np.testing.assert_array_equal(found, tiles)
    assert (result.classified_count, result.unknown_count) == (8, 0)
    assert json.loads(result.class_counts) == {'dark': 3, 'grey': 2, 'bright': 3}
    assert result.styles['output']['field'] == 'class'
    assert [c['value'] for c in result.styles['raster']['classes']] == [2, 4, 7]


def test_parts_masks_and_tiles_of_another_size(bundle, image, tmp_path):
    output = tmp_path / 'o.gpkg'
    mask = geopandas.GeoSeries([box(LEFT, TOP - 160, LEFT + 320, TOP)], crs=UTM)
    mask.to_file(tmp_path / 'mask.gpkg')
    classify_tiles(image, bundle, output, mask=tmp_path / 'mask.gpkg')
    assert [*read(output)['class']] == ['dark', 'grey']
    classify_tiles(image, bundle, output, extent=f'{LEFT + 320},{TOP - 320},{LEFT + 480},{TOP}')
    assert [*read(output)['class']] == ['bright', 'dark']
    classify_tiles(
        image, bundle, output, tile_size=32, extent=f'{LEFT},{TOP - 320},{LEFT + 320},{TOP}'
    )
    (tile,) = read(output).itertuples()
    assert tile.geometry.area == 320**2
    assert tile._2 == 'grey'


def test_a_turned_image(bundle, tmp_path):
    turned = Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(10, -10)
    image = write_raster(tmp_path / 'i.tif', np.full((16, 32), 50, 'uint8'), transform=turned)
    output = tmp_path / 'o.gpkg'
    classify_tiles(image, bundle, output)
    corners = np.array(read(output).geometry[1].exterior.coords)
    np.testing.assert_allclose(
        sorted(map(tuple, corners[:4])),
        sorted(turned @ place for place in [(16, 0), (32, 0), (16, 16), (32, 16)]),
    )


def test_models_of_several_classes_at_once(image, tmp_path):
    bundle = make_bundle(tmp_path / 'several', output_activation='sigmoid', multilabel=True)
    output = tmp_path / 'o.gpkg'
    result = classify_tiles(image, bundle, output, threshold=0.53, top=1)
    frame = read(output)
    # of brightness 40, dark has sigmoid(0.8) and grey sigmoid(-0.2)
    assert [*frame['classes'][:3]] == ['dark', 'dark, grey', 'grey, bright']
    assert frame['probability'][0] == pytest.approx(1 / (1 + np.exp(-0.8)), rel=1e-5)
    assert json.loads(result.class_counts)['grey'] == sum('grey' in c for c in frame['classes'])


def test_models_of_a_single_score(image, tmp_path):
    bundle = make_bundle(
        tmp_path / 'one', levels=1, classes=CLASSES[:2], output_activation='sigmoid'
    )
    output, raster = tmp_path / 'o.gpkg', tmp_path / 'o.tif'
    for threshold, expected in ((0.5, 'dark'), (0.4, 'grey')):
        classify_tiles(image, bundle, output, threshold=threshold, raster=raster)
        frame = read(output)
        chance = 1 / (1 + np.exp(0.2))
        assert frame['class'][1] == expected
        other = 1 - chance
        assert frame['probability'][1] == pytest.approx(
            chance if expected == 'grey' else other, rel=1e-5
        )
        with rasterio.open(raster) as dataset:
            assert dataset.read(1)[0, 1] == {'dark': 2, 'grey': 4}[expected]


@pytest.fixture
def fields(tmp_path):
    """A narrow one in the first tile, one over two tiles, one without data, one elsewhere."""
    frame = geopandas.GeoDataFrame(
        {'class': ['a', 'b', 'c', 'd'], 'number': [10, 20, 30, 40]},
        geometry=[
            box(LEFT + 31, TOP - 81, LEFT + 59, TOP - 69),
            box(LEFT + 10, TOP - 150, LEFT + 310, TOP - 10),
            box(LEFT + 200, TOP - 280, LEFT + 280, TOP - 200),
            box(LEFT + 90_000, TOP, LEFT + 90_100, TOP + 100),
        ],
        crs=UTM,
    )
    path = tmp_path / 'fields.gpkg'
    frame.to_crs('EPSG:4326').to_file(path, layer='fields')
    return path


def test_polygons(bundle, image, fields, tmp_path, caplog):
    output = tmp_path / 'o.gpkg'
    result = classify_tiles(image, bundle, output, polygons=fields, top=1)
    frame = read(output)
    assert [*frame['class']] == ['a', 'b', 'c', 'd']
    assert [*frame['number']] == [10, 20, 30, 40]
    assert frame.crs == 'EPSG:4326'
    # the square around the second reaches beyond the image and into the tile without data
    assert [*frame['class_2']] == ['dark', 'grey', 'unknown', 'unknown']
    assert frame['value'].isna().tolist() == [False, False, True, True]
    assert frame['probability'][0] == pytest.approx(float(softmax(40.0).max()), rel=1e-4)
    assert frame['seen'].tolist() == pytest.approx([1, frame['seen'][1], 0, 0])
    assert 0.5 < frame['seen'][1] < 1
    assert (result.classified_count, result.unknown_count) == (2, 2)
    assert result.styles['output']['field'] == 'class_2'
    assert result.styles['output']['classes'][-1]['name'] == 'unknown'
    assert "have a field 'class' already; ours is called 'class_2'" in caplog.text
    assert '3 of 4 features of polygons lie on the image' in caplog.text


def test_squares_of_one_size_are_read_as_they_are(bundle, image, tmp_path):
    """The middle of a polygon is that of a tile, so what is seen there is the tile itself."""
    frame = geopandas.GeoDataFrame(
        geometry=[box(LEFT + 230, TOP - 90, LEFT + 250, TOP - 70)], crs=UTM
    )
    frame.to_file(tmp_path / 'f.gpkg')
    output = tmp_path / 'o.gpkg'
    classify_tiles(image, bundle, output, polygons=tmp_path / 'f.gpkg', tile_size=SIZE)
    (found,) = read(output).to_dict('records')
    assert (found['class'], found['seen']) == ('grey', 1)
    assert found['probability'] == pytest.approx(float(softmax(90.0).max()), rel=1e-6)


def test_from_a_checkpoint_to_classes(image, tmp_path):
    torch.manual_seed(0)
    task = SceneClassification(
        model='tu-lcnet_050', in_channels=1, num_classes=3, labels=['a', 'b', 'c']
    ).eval()
    path = checkpoint(tmp_path / 'scenes.ckpt', task)
    made = create_bundle(path, tmp_path / 'model', mean='100', std='50', tile_size=SIZE)
    assert made.task == 'classification'
    output = tmp_path / 'o.gpkg'
    classify_tiles(image, made.output, output, augmentation='d4')
    frame = read(output)
    with rasterio.open(image) as dataset:
        tile = torch.from_numpy(dataset.read()[:, :SIZE, :SIZE].astype('float32'))
    with torch.inference_mode():  # a tile of one value looks the same from all sides
        scores = task((tile[None] - 100) / 50).softmax(1)[0]
    assert frame['class'][0] == 'abc'[scores.argmax()]
    assert frame['probability'][0] == pytest.approx(float(scores.max()), rel=1e-4)
    assert frame[['probability', 'top2_probability', 'top3_probability']].sum(axis=1).values == (
        pytest.approx(1, rel=1e-5)
    )


def test_what_does_not_fit(bundle, image, fields, tmp_path):
    output = tmp_path / 'o.gpkg'
    with pytest.raises(BadParameter, match=r'mask: .* for the tiles of an image, but polygons'):
        classify_tiles(image, bundle, output, polygons=fields, mask=fields)
    with pytest.raises(BadParameter, match=r'raster: .* for the tiles of an image, but polygons'):
        classify_tiles(image, bundle, output, polygons=fields, raster=tmp_path / 'o.tif')
    with pytest.raises(BadInput, match='does segmentation'):
        classify_tiles(image, tiny_bundle(tmp_path / 'segments'), output)
    elsewhere = tmp_path / 'e.gpkg'
    geopandas.GeoSeries([box(0, 0, 1, 1)], crs=UTM).to_file(elsewhere)
    with pytest.raises(BadInput, match=r'polygons: none of the 1 features of .* on the image'):
        classify_tiles(image, bundle, output, polygons=elsewhere)
    assert not output.exists()


@pytest.mark.parametrize('polygons', [False, True])
def test_canceling_leaves_nothing(bundle, image, fields, tmp_path, polygons):
    def cancel(fraction, text, **_):
        if fraction > 0:
            raise Canceled

    output = tmp_path / 'o.gpkg'
    with pytest.raises(Canceled):
        classify_tiles(
            image, bundle, output, polygons=fields if polygons else None, progress=cancel
        )
    assert not output.exists()


def test_a_model_may_read_where_tiles_lie(tmp_path):
    """Images of the same grey: the farther east a tile, the likelier is the last class."""
    torch.manual_seed(0)
    options = {'in_channels': 1, 'num_classes': 3, 'labels': ['west', 'middle', 'east']}
    task = LocatedClassification('location_wrap', model='eurosat_baseline3', **options).eval()
    path = checkpoint(tmp_path / 'places.ckpt', task)
    made = create_bundle(path, tmp_path / 'model', mean='100', std='50', tile_size=SIZE)
    assert made.bands == 'band 1, longitude, latitude'
    values = np.full((2 * SIZE, 2 * SIZE + 4), 90, 'uint8')
    places = Affine(1.0, 0, -17.0, 0, -1.0, 12.0)  # tiles of 16 degrees
    image = write_raster(tmp_path / 'grey.tif', values, crs='EPSG:4326', transform=places)
    output = tmp_path / 'o.gpkg'
    classify_tiles(image, made.output, output, top=3)
    frame = read(output)
    tile = torch.full((1, 1, SIZE, SIZE), (90 - 100) / 50)
    edges = frame.bounds
    middles = (edges[['minx', 'miny']].to_numpy() + edges[['maxx', 'maxy']].to_numpy()) / 2
    for number, place in enumerate(middles):
        with torch.inference_mode():
            scores = task.model(tile, torch.from_numpy(place)[None]).softmax(1)[0]
        assert frame['class'][number] == options['labels'][scores.argmax()]
        assert frame['probability'][number] == pytest.approx(float(scores.max()), rel=1e-4)
    assert frame['probability'].nunique() == len(frame)  # no two places are the same
    around = tmp_path / 'around.gpkg'
    geopandas.GeoSeries([box(-17, -4, -1, 12)], crs='EPSG:4326').to_file(around)
    classify_tiles(image, made.output, tmp_path / 'p.gpkg', polygons=around)
    assert read(tmp_path / 'p.gpkg')['probability'][0] == (
        pytest.approx(frame['probability'][0], rel=1e-4)
    )
    nowhere = write_raster(tmp_path / 'nowhere.tif', values, crs=None)
    with pytest.raises(BadInput, match='no coordinate reference system'):
        classify_tiles(nowhere, made.output, output)
