"""assess_damage: the damage to buildings, found or known, on real files."""

import csv
import json
import warnings

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import rasterio
import torch
from shapely.geometry import LineString, Point, box
from torch import nn

from tests.rasters import UTM, write_raster
from tests.tasks.pairs import register
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import assess_damage, detect_change

LEVELS = ('no damage', 'minor damage', 'major damage', 'destroyed')
COLORS = ('#1a9641', '#ffd43b', '#f58518', '#d7191c')
#: How bright roofs of each level are afterwards.
BRIGHT = (150, 125, 100, 75)
GROUND = 50
NODATA = 255
LEFT, TOP, PIXEL = 500_000, 5_300_000, 10


class Brightness(nn.Module):
    """Bright before is a building; the darker it is afterwards, the more it is damaged."""

    def __init__(self, levels=4):
        super().__init__()
        self.steep = nn.Parameter(torch.tensor(20.0))
        self.levels = levels

    def forward(self, x):
        before, after = x[:, 0, 0], x[:, 1, 0]
        building = torch.stack([torch.zeros_like(before), self.steep * before], dim=1)
        centres = [(bright - 100) / 50 for bright in BRIGHT[: self.levels]]
        near = [-self.steep * (after - centre) ** 2 for centre in centres]
        return building, torch.stack([torch.zeros_like(before), *near], dim=1)


def brightness(in_chans=1, levels=4):
    return Brightness(levels)


def make_bundle(folder, levels=4):
    card = BundleCard(
        name='brightness', description='', task='building_damage', dates=2,
        classes=tuple(ModelClass(10 * i, LEVELS[i], COLORS[i]) for i in range(levels)),
        bands=(Band('gray', mean=100.0, std=50.0),), tile_size=32, halo=4,
        architecture={'class': 'brightness', 'arguments': {'levels': levels}},
        output_activation='softmax',
    )  # fmt: skip
    return write_bundle(folder, card, Brightness(levels))


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, brightness)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / 'bundle')


#: Rows and columns of the buildings.
HOUSES = (
    (slice(5, 10), slice(5, 10)),
    (slice(20, 30), slice(20, 40)),
    (slice(40, 44), slice(50, 60)),
)


@pytest.fixture
def pair(tmp_path):
    """Three houses: whole, partly destroyed, and half under a cloud; the rest fell to pieces."""
    before = np.full((50, 70), GROUND, 'uint16')
    after = before.copy()
    for house in HOUSES:
        before[house] = 150
    after[HOUSES[0]] = BRIGHT[0]
    after[HOUSES[1]] = BRIGHT[3]
    after[20:30, 20:29] = BRIGHT[1]
    after[HOUSES[2]] = BRIGHT[2]
    after[40:44, 55:62] = 0
    files = tmp_path / 'before.tif', tmp_path / 'after.tif'
    for path, values in zip(files, (before, after), strict=True):
        write_raster(path, values, resolution=PIXEL, nodata=0)
    return files


def damage_of_pixels():
    """What the model is to say of each pixel of the houses."""
    damage = np.zeros((50, 70), int)
    damage[HOUSES[0]], damage[HOUSES[1]], damage[HOUSES[2]] = 1, 4, 3
    damage[20:30, 20:29] = 2
    damage[40:44, 55:62] = NODATA
    return damage


def on_the_ground(rows, columns, by=0.0):
    """A house as a polygon, drawn a little smaller."""
    return box(
        LEFT + PIXEL * columns.start + by, TOP - PIXEL * rows.stop + by,
        LEFT + PIXEL * columns.stop - by, TOP - PIXEL * rows.start - by,
    )  # fmt: skip


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_buildings_that_the_model_finds(bundle, pair, tmp_path):
    files = {'probabilities': tmp_path / 'p.tif', 'summary': tmp_path / 's.csv'}
    result = assess_damage(*pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', **files)
    np.testing.assert_array_equal(read(tmp_path / 'o.tif'), damage_of_pixels())
    chance = read(files['probabilities'])
    assert chance[7, 7] > 0.99 > 0.01 > chance[0, 0]
    assert np.isnan(chance[41, 57])

    frame = pyogrio.read_dataframe(tmp_path / 'b.gpkg', layer='b').sort_values('damage')
    assert list(frame) == [
        'damage', 'damage_name', 'share_no_damage', 'share_minor_damage', 'share_major_damage',
        'share_destroyed', 'seen', 'area_m2', 'geometry',
    ]  # fmt: skip
    assert frame['damage'].tolist() == [1, 3, 4]
    assert frame['damage_name'].tolist() == ['no damage', 'major damage', 'destroyed']
    np.testing.assert_allclose(frame['share_minor_damage'], [0, 0, 0.45])
    np.testing.assert_allclose(frame['seen'], 1)
    np.testing.assert_allclose(frame['area_m2'], [2500, 2000, 20_000], rtol=2e-3)

    rows = list(csv.reader(files['summary'].read_text(encoding='utf-8').splitlines()))
    assert rows[0] == ['damage', 'buildings', 'hectares', 'share of known']
    assert [row[:2] for row in rows[1:]] == [
        ['no damage', '1'], ['minor damage', '0'], ['major damage', '1'], ['destroyed', '1'],
        ['unknown', '0'], ['all', '3'],
    ]  # fmt: skip
    assert float(rows[4][2]) == pytest.approx(2, rel=2e-3)
    assert rows[4][3] == '0.3333'
    assert (result.building_count, result.damaged_count, result.destroyed_count) == (3, 2, 1)
    assert result.unknown_count == 0
    assert result.damaged_fraction == pytest.approx(2 / 3)
    assert result.damaged_area == pytest.approx(22_000, rel=2e-3)
    assert json.loads(result.level_counts)['destroyed'] == 1
    assert result.styles.keys() == {'output', 'buildings', 'probabilities'}
    assert [c['value'] for c in result.styles['output']['classes']] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('crs', [None, 'LOCAL_CS["site", UNIT["foot", 0.3048]]'])
def test_without_a_place_on_earth_areas_are_planar(crs, bundle, pair, tmp_path):
    places = [tmp_path / 'local_before.tif', tmp_path / 'local_after.tif']
    for file, place in zip(pair, places, strict=True):
        write_raster(place, read(file), crs=crs, resolution=PIXEL, nodata=0)
    outputs = tmp_path / 'o.tif', tmp_path / 'b.gpkg'
    result = assess_damage(*places, bundle, *outputs)
    assert result.damaged_area == pytest.approx(22_000 * (0.3048**2 if crs else 1))
    again = tmp_path / 'o2.tif', tmp_path / 'b2.gpkg'
    footprints = f'{outputs[1]}|layername=b'
    assert assess_damage(*places, bundle, *again, footprints=footprints)[4:-1] == result[4:-1]


def test_small_buildings_are_left_out(bundle, pair, tmp_path):
    result = assess_damage(
        *pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', minimum_area=2200
    )
    assert result.building_count == 2


def test_no_building_at_all(bundle, pair, tmp_path):
    result = assess_damage(
        *pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', summary=tmp_path / 's.html',
        extent=(LEFT, TOP - 40, LEFT + 40, TOP),
    )  # fmt: skip
    assert (result.building_count, result.damaged_fraction) == (0, 0.0)
    assert len(pyogrio.read_dataframe(tmp_path / 'b.gpkg', layer='b')) == 0
    assert '<th style="border-right: 4px solid #d7191c">destroyed</th>' in (
        tmp_path / 's.html'
    ).read_text(encoding='utf-8')


@pytest.fixture
def footprints(tmp_path):
    """The houses, a shed of less than a pixel, one elsewhere, one across the edge, nothing."""
    houses = [on_the_ground(*house, by=1.0) for house in HOUSES]
    x, y = LEFT + 207, TOP - 217
    others = [
        box(x, y, x + 2, y + 2), box(0, 0, 10, 10),
        box(LEFT - 100, TOP - 300, LEFT + 100, TOP - 200),
    ]  # fmt: skip
    frame = geopandas.GeoDataFrame(
        {
            'owner': ['Ä', 'b', 'c', None, 'e', 'f', 'g'],
            'Damage': ['own'] * 7,
            'storeys': pandas.array([1, None, 3, 4, 5, 6, 7], 'Int32'),
            'built': pandas.to_datetime(['1999-12-31'] * 7).date,
        },
        geometry=[*houses, *others, None],
        crs=UTM,
    )

    def make(name, crs=UTM):
        path = tmp_path / name
        pyogrio.write_dataframe(frame.to_crs(crs), path)
        return path

    return make


@pytest.mark.parametrize(
    ('name', 'crs'), [('f.gpkg', UTM), ('f.geojson', 'EPSG:4326'), ('f.shp', 'EPSG:3857')]
)
def test_footprints_keep_what_is_known_of_them(
    name, crs, bundle, pair, footprints, tmp_path, caplog
):
    result = assess_damage(
        *pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', footprints=footprints(name, crs)
    )
    about, table = pyogrio.read_arrow(tmp_path / 'b.gpkg', layer='b')
    rows = table.to_pydict()
    assert about['crs'] == crs
    assert rows['owner'] == ['Ä', 'b', 'c', None, 'e', 'f', 'g']
    assert rows['Damage'] == ['own'] * 7
    assert [n if n is None else int(n) for n in rows['storeys']] == [1, None, 3, 4, 5, 6, 7]
    assert str(rows['built'][0]) == '1999-12-31'
    assert rows['damage_2'] == [1, 4, 3, 2, None, 4, None]
    assert "ours is called 'damage_2'" in caplog.text
    assert rows['damage_name'] == [
        'no damage', 'destroyed', 'major damage', 'minor damage', 'unknown', 'destroyed', 'unknown',
    ]  # fmt: skip
    assert rows['share_destroyed'] == [0, 0.55, 0, 0, None, 1, None]
    np.testing.assert_allclose(rows['seen'], [1, 1, 0.5, 1, 0, 0.5, 0], atol=1e-3)
    np.testing.assert_allclose(rows['area_m2'][:4], [48**2, 98 * 198, 38 * 98, 4], rtol=2e-3)
    assert rows['area_m2'][6] is None
    assert '5 of 7 features of footprints lie on both images' in caplog.text
    assert (result.building_count, result.unknown_count, result.damaged_count) == (7, 2, 4)
    found, expected = read(tmp_path / 'o.tif'), damage_of_pixels()
    expected[expected == 0] = NODATA
    expected[20:30, :10] = 4
    np.testing.assert_array_equal(found, expected)
    style = result.styles['buildings']
    assert (style['field'], style['classes'][-1]['name']) == ('damage_name', 'unknown')


def test_rare_levels_count_more_in_a_weighted_vote(bundle, pair, footprints, tmp_path):
    options = {'bundle': bundle, 'output': tmp_path / 'o.tif', 'vote': 'weighted'}
    assess_damage(*pair, buildings=tmp_path / 'b.gpkg', footprints=footprints('f.gpkg'), **options)
    # 55 % destroyed, times 11, against 45 % minor, times 38
    frame = pyogrio.read_dataframe(tmp_path / 'b.gpkg', layer='b')
    assert frame['damage_2'].tolist()[:3] == [1, 2, 3]


def test_weights_are_known_for_four_levels(pair, tmp_path):
    bundle = make_bundle(tmp_path / 'three', levels=3)
    outputs = tmp_path / 'o.tif', tmp_path / 'b.gpkg'
    with pytest.raises(BadParameter, match='this model tells 3'):
        assess_damage(*pair, bundle, *outputs, vote='weighted')
    result = assess_damage(*pair, bundle, *outputs)
    assert json.loads(result.level_counts) == {'no damage': 1, 'minor damage': 0, 'major damage': 2}


def test_what_a_mask_hides_was_not_seen(bundle, pair, footprints, tmp_path):
    clear = geopandas.GeoDataFrame(geometry=[on_the_ground(slice(15, 50), slice(0, 70))], crs=UTM)
    clear.to_file(tmp_path / 'clear.gpkg')
    result = assess_damage(
        *pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', mask=tmp_path / 'clear.gpkg',
        footprints=footprints('f.gpkg'),
    )  # fmt: skip
    frame = pyogrio.read_dataframe(tmp_path / 'b.gpkg', layer='b')
    assert frame['damage_name'].tolist()[:3] == ['unknown', 'destroyed', 'major damage']
    assert result.unknown_count == 3


@pytest.mark.parametrize(
    ('shapes', 'crs', 'message'),
    [
        ([], UTM, 'has no features'),
        ([Point(LEFT, TOP), LineString([(0, 0), (1, 1)])], UTM, 'polygons are needed'),
        ([box(0, 0, 1, 1)], UTM, r'none of the 1 features of .*f.gpkg lies on both'),
        ([box(LEFT, TOP - 50, LEFT + 50, TOP)], None, 'has no coordinate reference system'),
    ],
)
def test_footprints_that_cannot_be_used(shapes, crs, message, bundle, pair, tmp_path):
    frame = geopandas.GeoDataFrame(geometry=geopandas.GeoSeries(shapes, crs=crs))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', "'crs' was not provided")
        frame.to_file(tmp_path / 'f.gpkg')
    with pytest.raises(BadInput, match=message):
        assess_damage(
            *pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', footprints=tmp_path / 'f.gpkg'
        )
    assert not (tmp_path / 'o.tif').exists()


def test_a_raster_is_no_layer_of_footprints(bundle, pair, tmp_path):
    with pytest.raises(BadInput, match=r'footprints: .* cannot be opened as a vector layer'):
        assess_damage(*pair, bundle, tmp_path / 'o.tif', tmp_path / 'b.gpkg', footprints=pair[0])


def test_a_bundle_of_another_kind_is_refused(bundle, pair, tmp_path):
    with pytest.raises(BadInput, match='building_damage'):
        detect_change(*pair, tmp_path / 'o.tif', bundle=bundle)


def test_from_the_command_line(bundle, pair, footprints, tmp_path, capsys):
    words = {
        'before': pair[0], 'after': pair[1], 'bundle': bundle, 'output': tmp_path / 'o.tif',
        'buildings': tmp_path / 'b.gpkg', 'footprints': footprints('f.geojson', 'EPSG:4326'),
    }  # fmt: skip
    given = [f'--{name}={value}' for name, value in words.items()]
    assert main(['assess-damage', *given, '--json']) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown['damaged_count'], shown['unknown_count']) == (4, 2)
