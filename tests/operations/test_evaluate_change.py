"""evaluate_change: what was found against what is known."""

import csv
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import box
from sklearn.metrics import cohen_kappa_score, f1_score, jaccard_score

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import evaluate_change

PLACE = Affine(10, 0, 500_000, 0, -10, 5_300_000)


@pytest.fixture
def maps(tmp_path):
    """A prediction and labels of 40 x 60 pixels of 100 square metres, both partly without data."""
    random = np.random.default_rng(0)
    known = (random.random((40, 60)) < 0.3).astype('uint8')
    found = np.where(random.random(known.shape) < 0.8, known, 1 - known).astype('uint8')
    found[:3], known[:, :4] = 255, 255
    return (
        write_raster(tmp_path / 'found.tif', found, nodata=255),
        write_raster(tmp_path / 'known.tif', known, nodata=255),
        found,
        known,
    )


def test_scores_are_those_of_scikit_learn(maps, tmp_path):
    prediction, labels, found, known = maps
    result = evaluate_change(
        prediction, labels, output=tmp_path / 'errors.tif', matrix=tmp_path / 'm.csv'
    )
    valid = (found != 255) & (known != 255)
    truth, said = known[valid], found[valid]
    assert result.f1 == pytest.approx(f1_score(truth, said))
    assert result.iou == pytest.approx(jaccard_score(truth, said))
    assert result.kappa == pytest.approx(cohen_kappa_score(truth, said))
    assert result.overall_accuracy == pytest.approx((truth == said).mean())
    assert result.compared_pixels == valid.sum()
    # 100 square metres, up to the scale of the projection
    assert result.found_area == pytest.approx(100 * (truth & said).sum(), rel=2e-3)
    assert result.missed_area == pytest.approx(100 * (truth & ~said & 1).sum(), rel=2e-3)
    with rasterio.open(result.output) as errors:
        np.testing.assert_array_equal(errors.read(1), np.where(valid, found + 2 * known, 255))
        assert errors.colormap(1)[1] == (0xE6, 0x61, 0x01, 255)
    rows = list(csv.DictReader(Path(result.matrix).read_text().splitlines()))
    assert [row['prediction'] for row in rows] == ['0', '1']
    assert int(rows[1]['1 change (pixels)']) == (truth & said).sum()
    assert float(rows[1]['1 change (hectares)']) == pytest.approx(
        (truth & said).sum() / 100, rel=2e-3
    )


def test_polygons_and_kinds_of_change(tmp_path):
    found = np.zeros((20, 20), 'uint8')
    found[:10, :10], found[12:, 12:] = 4, 7
    prediction = write_raster(tmp_path / 'p.tif', found)
    left, top = 500_000, 5_300_000
    frame = geopandas.GeoDataFrame(
        {'kind': ['house', 'road']},
        geometry=[box(left, top - 50, left + 100, top), box(left, top - 100, left + 100, top - 50)],
        crs='EPSG:32633',
    )
    frame.to_file(tmp_path / 'l.gpkg')
    result = evaluate_change(
        prediction, tmp_path / 'l.gpkg', class_field='kind', matrix=tmp_path / 'm.csv'
    )
    assert (result.recall, result.precision) == (1, pytest.approx(100 / 164))
    rows = {
        row['prediction']: row
        for row in csv.DictReader((tmp_path / 'm.csv').read_text().splitlines())
    }
    assert int(rows['4']['1 house (pixels)']) == int(rows['4']['2 road (pixels)']) == 50
    assert int(rows['7']['0 unchanged (pixels)']) == 64


def test_a_threshold_of_probabilities(tmp_path):
    known = np.array([[0, 0, 1, 1]], 'uint8')
    prediction = write_raster(tmp_path / 'p.tif', np.array([[0.1, 0.6, 0.5, 0.9]], 'float32'))
    labels = write_raster(tmp_path / 'l.tif', known)
    assert evaluate_change(prediction, labels, threshold=0.5).recall == 1
    assert evaluate_change(prediction, labels, threshold=0.7).precision == 1


def test_labels_on_another_grid(maps, tmp_path):
    prediction, _, found, known = maps
    finer = write_raster(
        tmp_path / 'finer.tif',
        known.repeat(2, 0).repeat(2, 1),
        transform=PLACE @ Affine.scale(0.5),
        nodata=255,
    )
    valid = (found != 255) & (known != 255)
    assert evaluate_change(prediction, finer).f1 == pytest.approx(
        f1_score(known[valid], found[valid])
    )


def test_nothing_to_compare(maps, tmp_path):
    prediction, _, _, known = maps
    known[3:] = 255
    labels = write_raster(tmp_path / 'l.tif', known, nodata=255)
    output = tmp_path / 'errors.tif'
    output.write_text('old')
    with pytest.raises(BadInput, match=r'found.tif has no pixel that has a label too'):
        evaluate_change(prediction, labels, output=output)
    assert output.read_text() == 'old'
