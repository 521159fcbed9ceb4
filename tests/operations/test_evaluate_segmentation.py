"""evaluate_segmentation: predicted against known classes."""

import csv
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import box
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score, jaccard_score

from tests.rasters import UTM, write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import evaluate_segmentation

LEFT, TOP = 500_000, 5_300_000
VALUES = [2, 5, 9]


@pytest.fixture
def maps(tmp_path):
    """Prediction and labels of 40 x 60 pixels of 100 square metres, both partly without data."""
    random = np.random.default_rng(0)
    known = random.choice(VALUES, (40, 60)).astype('uint8')
    found = np.where(random.random(known.shape) < 0.7, known, known[::-1])
    found[:3], known[:, :4] = 0, 255
    return (
        write_raster(tmp_path / 'found.tif', found, nodata=0),
        write_raster(tmp_path / 'known.tif', known, nodata=255),
        found,
        known,
    )


def rows_of(path):
    return list(csv.DictReader(Path(path).read_text(encoding='utf-8').splitlines()))


def land_use(path, kinds, boxes, crs=UTM):
    frame = geopandas.GeoDataFrame({'kind': kinds}, geometry=boxes, crs=UTM).to_crs(crs)
    frame.to_file(path)
    return path


def test_scores_are_those_of_scikit_learn(maps, tmp_path):
    prediction, labels, found, known = maps
    result = evaluate_segmentation(
        prediction, labels, output=tmp_path / 'errors.tif', classes=tmp_path / 'c.csv',
        matrix=tmp_path / 'm.csv',
    )  # fmt: skip
    valid = (found != 0) & (known != 255)
    truth, said = known[valid], found[valid]
    iou = jaccard_score(truth, said, average=None)
    assert result.overall_accuracy == (truth == said).mean()
    assert result.kappa == pytest.approx(cohen_kappa_score(truth, said), rel=1e-14)
    assert result.mean_iou == pytest.approx(iou.mean(), rel=1e-15)
    assert result.mean_f1 == pytest.approx(f1_score(truth, said, average='macro'), rel=1e-15)
    assert result.compared_pixels == valid.sum()
    # 100 square metres, up to the scale of the projection
    assert result.wrong_area == pytest.approx(100 * (truth != said).sum(), rel=2e-3)
    with rasterio.open(result.output) as errors:
        np.testing.assert_array_equal(errors.read(1), np.where(valid, found != known, 255))
        assert errors.nodata == 255
        assert errors.colormap(1)[1] == (0xD7, 0x19, 0x1C, 255)
    assert [entry['name'] for entry in result.styles['output']['classes']] == ['right', 'wrong']
    rows = rows_of(result.classes)
    assert [row['value'] for row in rows] == ['2', '5', '9']
    np.testing.assert_allclose([float(row['IoU']) for row in rows], iou, atol=1e-6)
    assert [int(row['pixels known']) for row in rows] == [(truth == v).sum() for v in VALUES]
    hectares = [(said == v).sum() / 100 for v in VALUES]
    assert [float(r['hectares predicted']) for r in rows] == pytest.approx(hectares, rel=2e-3)
    names = [f'{value} class {value}' for value in VALUES]
    rows = rows_of(result.matrix)
    assert [row['prediction'] for row in rows] == names
    counts = np.array([[int(row[f'{name} (pixels)']) for name in names] for row in rows])
    np.testing.assert_array_equal(counts, confusion_matrix(truth, said).T)
    ground = np.array([[float(row[f'{name} (hectares)']) for name in names] for row in rows])
    np.testing.assert_allclose(ground, counts / 100, rtol=2e-3)


def test_labels_on_another_grid_and_in_parts(maps, tmp_path):
    prediction, _, found, known = maps
    finer = write_raster(
        tmp_path / 'finer.tif',
        known.repeat(2, 0).repeat(2, 1),
        transform=Affine(5, 0, LEFT, 0, -5, TOP),
        nodata=255,
    )
    valid = (found != 0) & (known != 255)
    result = evaluate_segmentation(prediction, finer)
    assert result.overall_accuracy == (known == found)[valid].mean()
    part = f'{LEFT},{TOP - 100},{LEFT + 200},{TOP}'
    result = evaluate_segmentation(prediction, finer, extent=part, output=tmp_path / 'e.tif')
    assert result.compared_pixels == valid[:10, :20].sum()
    with rasterio.open(result.output) as errors:
        assert errors.shape == (10, 20)


def test_polygons_elsewhere_whose_classes_a_table_tells(maps, tmp_path):
    prediction, _, found, _ = maps
    labels = land_use(
        tmp_path / 'l.gpkg',
        ['forest', 'water'],
        [box(LEFT, TOP - 400, LEFT + 300, TOP), box(LEFT + 300, TOP - 200, LEFT + 600, TOP)],
        'EPSG:4326',
    )
    mapping = [[2, 'Forest'], ['class 5', 'water'], [9, '']]
    result = evaluate_segmentation(
        prediction, labels, class_field='kind', mapping=mapping, matrix=tmp_path / 'm.html'
    )
    known = np.full(found.shape, 0)
    known[:, :30], known[:20, 30:] = 2, 5
    valid = (known != 0) & np.isin(found, [2, 5])
    # the rims of the polygons are straight in degrees
    assert result.compared_pixels == pytest.approx(valid.sum(), abs=5)
    assert result.overall_accuracy == pytest.approx((known == found)[valid].mean(), abs=5e-3)
    page = (tmp_path / 'm.html').read_text(encoding='utf-8')
    assert 'water (hectares)' in page


def test_names_count_before_values(tmp_path):
    prediction = write_raster(tmp_path / 'p.tif', np.array([[1, 1, 2, 2]], 'uint8'))
    Path(f'{prediction}.aux.xml').write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category>Water</Category>'
        '<Category>forest</Category></CategoryNames></PAMRasterBand></PAMDataset>'
    )
    boxes = [box(LEFT + x, TOP - 10, LEFT + x + 20, TOP) for x in (0, 20)]
    labels = land_use(tmp_path / 'l.gpkg', ['water', 'forest'], boxes)
    # forest comes first among the labels
    assert evaluate_segmentation(prediction, labels, class_field='kind').overall_accuracy == 1
    numbers = write_raster(tmp_path / 'n.tif', np.array([[1, 2, 2, 0]], 'uint8'))
    result = evaluate_segmentation(prediction, numbers, ignore_value=0, classes=tmp_path / 'c.csv')
    assert result.overall_accuracy == 2 / 3
    assert [row['class'] for row in rows_of(result.classes)] == ['Water', 'forest']


def test_a_class_the_labels_lack_is_wrong(maps, tmp_path, caplog):
    prediction, _, found, _ = maps
    known = np.where(found == 9, 5, found)
    labels = write_raster(tmp_path / 'l.tif', known, nodata=0)
    result = evaluate_segmentation(prediction, labels, classes=tmp_path / 'c.csv')
    assert 'has no class 9 (class 9)' in caplog.text
    assert result.overall_accuracy == pytest.approx((found != 9)[found > 0].mean())
    last = rows_of(result.classes)[-1]
    assert (last['value'], last['IoU'], last['pixels known']) == ('9', '0.000000', '0')
    left_out = evaluate_segmentation(prediction, labels, mapping=[[9, None]])
    assert (left_out.overall_accuracy, left_out.mean_iou) == (1, 1)


def test_a_class_without_any_pixel_has_no_score(maps, tmp_path):
    """The labels have 200 only where the prediction has no data."""
    prediction, _, found, _ = maps
    labels = write_raster(tmp_path / 'l.tif', np.where(found == 0, 200, found))
    result = evaluate_segmentation(prediction, labels, classes=tmp_path / 'c.csv')
    assert (result.mean_iou, rows_of(result.classes)[-1]['IoU']) == (1, '')


@pytest.mark.parametrize(
    ('mapping', 'message'),
    [
        (None, r'no class of the prediction is one of .*: 2 \(class 2\), .*against 1 \(forest\)'),
        ([[2, 'lawn']], r"label layer has no class 'lawn'; it knows 1 \(forest\), 2 \(water\)"),
        ([[2, 'water'], [2, 'forest']], '2 is there twice'),
    ],
)
def test_classes_that_do_not_fit(maps, tmp_path, mapping, message):
    boxes = [box(LEFT, TOP - 400, LEFT + 300, TOP), box(LEFT + 300, TOP - 400, LEFT + 600, TOP)]
    labels = land_use(tmp_path / 'l.gpkg', ['forest', 'water'], boxes)
    with pytest.raises(BadParameter, match=message):
        evaluate_segmentation(maps[0], labels, class_field='kind', mapping=mapping)


def test_nothing_to_compare(maps, tmp_path):
    prediction, _, _, known = maps
    known[3:] = 255
    labels = write_raster(tmp_path / 'l.tif', known, nodata=255)
    output = tmp_path / 'errors.tif'
    output.write_text('old')
    with pytest.raises(BadInput, match=r'found.tif has no pixel that has a label too'):
        evaluate_segmentation(prediction, labels, output=output)
    assert output.read_text() == 'old'


def test_what_is_no_map_of_classes(maps, tmp_path):
    _, labels, _, _ = maps
    picture = write_raster(tmp_path / 'rgb.tif', np.zeros((3, 40, 60), 'uint8'))
    with pytest.raises(BadInput, match=r'prediction: .*has 3 bands, but class labels have one'):
        evaluate_segmentation(picture, labels)
    scores = write_raster(tmp_path / 's.tif', np.full((40, 60), 0.5, 'float32'))
    with pytest.raises(BadInput, match=r'prediction: .*no whole numbers, such as 0\.5'):
        evaluate_segmentation(scores, labels)
