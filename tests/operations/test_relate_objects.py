"""relate_objects: pairs, rules, and relations that are learned from a table."""

import csv
import json

import numpy as np
import pyogrio
import pytest
import shapely

from tests.datasets.makers import CORNER, write_polygons
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import relate_objects

X, Y = CORNER


def box(left, bottom, width, height):
    return shapely.box(X + left, Y + bottom, X + left + width, Y + bottom + height)


@pytest.fixture
def few(tmp_path):
    """A dock with a ship beside it, a crane on it and a ship far off, parallel."""
    shapes = [box(0, 0, 100, 20), box(10, 21, 60, 8), box(80, 5, 5, 5), box(10, 60, 60, 8),
              box(1000, 0, 9, 9)]  # fmt: skip
    return write_polygons(
        tmp_path / 'few.gpkg', shapes, kind=['dock', 'ship', 'crane', 'ship', 'boat'],
        name=['d', 's1', 'c', 's2', 'b'],
    )  # fmt: skip


def lines(path):
    return pyogrio.read_dataframe(path, layer=path.stem)


def test_rules_tell_how_objects_lie(few, tmp_path):
    output, table = tmp_path / 'o.gpkg', tmp_path / 't.csv'
    result = relate_objects(
        few, output, class_field='kind', id_field='name', distance=45, table=table
    )
    found = lines(output).set_index(['from', 'to'])
    told = found['relation'].to_dict()
    assert told == {
        ('c', 'd'): 'inside', ('s1', 'd'): 'adjacent to', ('s1', 's2'): 'parallel to',
        ('c', 's1'): 'near', ('s2', 'd'): 'parallel to',
    }  # fmt: skip
    assert result.relations_count == 5
    assert json.loads(result.counts)['near'] == 1
    assert np.isnan(result.mean_recall)
    ship = found.loc[('s1', 'd')]
    assert ship['distance_m'] == pytest.approx(1, rel=2e-3)
    assert ship['size_ratio'] == pytest.approx(480 / 2000, rel=2e-3)
    assert ship['alignment'] == 'parallel'
    assert (ship['from_class'], ship['to_class']) == ('ship', 'dock')
    # the dock's middle is 10 m to the east and 15 m to the south
    assert ship['direction'] == pytest.approx(180 - np.degrees(np.arctan2(10, 15)), abs=1)
    crane = found.loc[('c', 'd')]
    assert crane['share_inside'] == pytest.approx(1)
    assert crane['alignment'] == ''
    assert crane['overlap'] == pytest.approx(25 / 2000, rel=1e-3)
    ends = shapely.get_coordinates(ship.geometry)
    assert ends == pytest.approx(np.array([[X + 40, Y + 25], [X + 50, Y + 10]]))
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row['from'], row['relation'], row['to']) for row in rows] == [
        (a, kind, b) for (a, b), kind in told.items()
    ]


def test_distances_in_a_local_system(few, tmp_path):
    frame = pyogrio.read_dataframe(few)
    local = write_polygons(
        tmp_path / 'l.gpkg', frame.geometry, 'LOCAL_CS["site",UNIT["foot",0.3048]]', name=frame.name
    )
    output = tmp_path / 'o.gpkg'
    foot = 0.3048
    assert relate_objects(local, output, id_field='name', distance=45 * foot).relations_count == 5
    found = lines(output).set_index(['from', 'to'])
    assert found.loc[('s1', 'd'), 'distance_m'] == pytest.approx(foot)


def test_only_the_nearest_and_only_the_near(few, tmp_path):
    output = tmp_path / 'o.gpkg'
    assert relate_objects(few, output, distance=5000).relations_count == 10
    one = relate_objects(few, output, distance=5000, neighbours=1, id_field='name')
    assert one.pairs == 5
    assert relate_objects(few, output, distance=0.5).relations_count == 1
    # without a field, identifiers of the layer and one class
    assert set(lines(output)['from_class']) == {'object'}
    assert [*lines(output)[['from', 'to']].iloc[0]] == ['3', '1']
    assert relate_objects(few, output, distance=0, class_field='kind').relations_count == 1


def harbour(tmp_path, places=12, seed=0):
    """Docks with a ship that is moored and one that passes by; only what is moored is known."""
    random = np.random.default_rng(seed)
    shapes, kinds, names, known = [], [], [], []
    for place in range(places):
        left, bottom = 400 * (place % 4), 400 * (place // 4)
        gap, away = random.uniform(0, 3), random.uniform(25, 60)
        long = random.uniform(40, 60)
        shapes += [box(left, bottom, 100, 20), box(left + 10, bottom + 20 + gap, long, 8),
                   box(left + 10, bottom - away, long, 8)]  # fmt: skip
        kinds += ['dock', 'ship', 'ship']
        names += [f'd{place}', f'm{place}', f'p{place}']
        known.append((f'm{place}', f'd{place}', 'moored at'))
    layer = write_polygons(tmp_path / f'h{seed}.gpkg', shapes, kind=kinds, name=names)
    return layer, known


def write_known(path, rows, header=('from', 'to', 'relation')):
    with path.open('w', newline='') as file:
        csv.writer(file).writerows([header, *rows])
    return path


FIELDS = {'class_field': 'kind', 'id_field': 'name'}


def test_relations_are_learned_and_told_of_another_layer(tmp_path):
    layer, known = harbour(tmp_path)
    passing = [(f'p{number}', f'm{number}', 'passes') for number in range(12)]
    table = write_known(tmp_path / 'k.csv', [*known, *passing])
    kept = tmp_path / 'm.json'
    result = relate_objects(
        layer, tmp_path / 'o.gpkg', **FIELDS, distance=120, known=table, model_output=kept
    )
    assert result.mean_recall > 0.9
    assert set(json.loads(result.recall)) == {'moored at', 'passes'}
    stored = json.loads(kept.read_text())
    assert stored['relations'] == ['moored at', 'none', 'passes']
    assert len(stored['features']) == len(stored['weights'][0])
    other, expected = harbour(tmp_path, seed=7)
    relate_objects(other, tmp_path / 'p.gpkg', **FIELDS, model=kept)
    found = lines(tmp_path / 'p.gpkg')
    moored = found[found['relation'] == 'moored at']
    assert {(a, b) for a, b in zip(moored['from'], moored['to'], strict=True)} == {
        (a, b) for a, b, _ in expected
    }
    assert found['probability'].between(0.5, 1).all()


def test_two_kinds_of_pairs_have_one_line_between_them(tmp_path):
    """scikit-learn keeps a single score then."""
    layer, known = harbour(tmp_path)
    result = relate_objects(
        layer, tmp_path / 'o.gpkg', **FIELDS, distance=120,
        known=write_known(tmp_path / 'k.csv', known), model_output=tmp_path / 'm.json',
    )  # fmt: skip
    found = lines(tmp_path / 'o.gpkg')
    ends = {*zip(found['from'], found['to'], strict=True)}
    # of pairs of a dock and its moored ship those from ship to dock
    assert ends >= {(ship, dock) for ship, dock, _ in known}
    assert not ends & {(dock, ship) for ship, dock, _ in known}
    again = relate_objects(layer, tmp_path / 'p.gpkg', **FIELDS, model=tmp_path / 'm.json')
    assert again.counts == result.counts


def test_what_cannot_be_related_is_explained(few, tmp_path):
    output = tmp_path / 'o.gpkg'
    frame = pyogrio.read_dataframe(few)
    frame.to_file(tmp_path / 'plain.shp')
    (tmp_path / 'plain.prj').unlink()
    with pytest.raises(BadInput, match='no coordinate reference system'):
        relate_objects(tmp_path / 'plain.shp', output)
    empty = write_polygons(tmp_path / 'empty.gpkg', [])
    with pytest.raises(BadInput, match='has no features'):
        relate_objects(empty, output)
    with pytest.raises(BadParameter, match=r"class_field: .*no field 'sort'"):
        relate_objects(few, output, class_field='sort')
    with pytest.raises(BadParameter, match='model_output'):
        relate_objects(few, output, model_output=tmp_path / 'm.json')
    table = write_known(tmp_path / 'k.csv', [('s1', 'x', 'moored at')])
    with pytest.raises(BadInput, match="names 'x'"):
        relate_objects(few, output, id_field='name', known=table)
    alone = write_known(tmp_path / 'a.csv', [('s1', 'd', 'at'), ('d', 's1', 'at')])
    with pytest.raises(BadInput, match='two are needed'):
        relate_objects(few, output, id_field='name', known=alone)
    with pytest.raises(BadInput, match='no column from'):
        relate_objects(few, output, known=write_known(tmp_path / 'w.csv', [(1, 2, 3)], 'abc'))
    (tmp_path / 'b.json').write_text('{"format": 1}')
    with pytest.raises(BadInput, match='no model of relations'):
        relate_objects(few, output, model=tmp_path / 'b.json')
    with pytest.raises(BadParameter, match='both given'):
        relate_objects(few, output, known=table, model=tmp_path / 'b.json')
    assert not output.exists()


def test_objects_without_neighbours_leave_an_empty_layer(tmp_path):
    layer = write_polygons(tmp_path / 'l.gpkg', [box(0, 0, 9, 9), box(900, 0, 9, 9)])
    result = relate_objects(layer, tmp_path / 'o.gpkg')
    assert (result.relations_count, result.pairs) == (0, 0)
    assert lines(tmp_path / 'o.gpkg').empty
