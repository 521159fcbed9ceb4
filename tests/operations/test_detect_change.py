"""detect_change: from two files to a map of change, its polygons and its numbers."""

import json
import logging
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from affine import Affine
from pyproj import Geod
from rasterio.warp import Resampling, calculate_default_transform, reproject, transform_bounds
from scipy import ndimage
from shapely.geometry import box

from tests.inference.pairs import simulate
from tests.rasters import gradient, write_raster
from tests.trained import tiny_bundle
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.inference.change import Method
from torchgeo_ext.inference.irmad import fit_irmad
from torchgeo_ext.operations import detect_change

NAMES = ('red', 'green', 'blue')


@pytest.fixture(scope='module')
def pair():
    """Smooth ground, so that resampling keeps it, with a square that changed."""
    made = simulate(3, 96, noise=0)
    smooth = ndimage.gaussian_filter(made.before, (0, 1.5, 1.5))
    other = ndimage.gaussian_filter(made.after, (0, 1.5, 1.5))
    noise = np.random.default_rng(1).normal(size=(2, 3, 96, 96)) * 0.5
    after = 40 + 1.3 * np.where(made.changed, other, smooth)
    return made._replace(
        before=(smooth + noise[0]).astype('float32'), after=(after + noise[1]).astype('float32')
    )


@pytest.fixture
def before(pair, tmp_path):
    return write_raster(tmp_path / 'before.tif', pair.before)


@pytest.fixture
def after(pair, tmp_path):
    return write_raster(tmp_path / 'after.tif', pair.after)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def polygons(path):
    return pyogrio.read_dataframe(path, layer=path.stem)


def warped(source, path, crs, resolution=None):
    """Write a raster warped to another CRS and resolution, with nodata around it."""
    with rasterio.open(source) as dataset:
        transform, columns, rows = calculate_default_transform(
            dataset.crs, crs, dataset.width, dataset.height, *dataset.bounds, resolution=resolution
        )
        values = np.full((dataset.count, rows, columns), -9999, 'float32')
        reproject(
            dataset.read(), values, src_transform=dataset.transform, src_crs=dataset.crs,
            dst_transform=transform, dst_crs=crs, dst_nodata=-9999, resampling=Resampling.cubic,
        )  # fmt: skip
    return write_raster(path, values, crs=crs, transform=transform, nodata=-9999)


def iou(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def test_irmad_finds_the_change(pair, before, after, tmp_path):
    result = detect_change(before, after, tmp_path / 'o.tif', polygons=tmp_path / 'p.gpkg')
    found = read(tmp_path / 'o.tif')
    assert set(np.unique(found)) == {0, 1}
    assert iou(found == 1, pair.changed) > 0.95
    assert result.changed_fraction == pytest.approx((found == 1).mean())
    # UTM stretches by less than a thousandth
    assert result.changed_area == pytest.approx((found == 1).sum() * 100, rel=1e-3)
    assert result.iterations > 1
    assert (result.offset_x, result.offset_y) == pytest.approx((0, 0), abs=0.25)
    frame = polygons(tmp_path / 'p.gpkg')
    assert set(frame['class']) == {'changed'}
    assert frame.area_m2.sum() == pytest.approx(result.changed_area, rel=1e-3)


def test_scores_are_those_of_the_whole_image_at_once(pair, before, after, tmp_path):
    files = {name: tmp_path / f'{name}.tif' for name in ('magnitude', 'probabilities')}
    result = detect_change(
        before, after, tmp_path / 'o.tif', threshold_by='significance', significance=0.01, **files
    )
    pixels = np.concatenate([d.reshape(3, -1) for d in (pair.before, pair.after)]).astype(float)
    fitted = fit_irmad([pixels], [''] * 6)
    magnitude, probability = fitted.scores(pixels).reshape(2, 96, 96)
    np.testing.assert_allclose(read(files['magnitude']), magnitude, rtol=1e-5)
    np.testing.assert_allclose(read(files['probabilities']), probability, atol=1e-6)
    assert result.threshold_used == pytest.approx(fitted.threshold(0.01))
    assert result.iterations == fitted.iterations
    np.testing.assert_array_equal(read(tmp_path / 'o.tif'), magnitude >= fitted.threshold(0.01))


def test_tiles_do_not_show(before, after, tmp_path):
    for size in (0, 17, 64):
        detect_change(
            before, after, tmp_path / f'{size}.tif', magnitude=tmp_path / f'm{size}.tif',
            tile_size=size,
        )  # fmt: skip
    for size in (17, 64):
        np.testing.assert_array_equal(read(tmp_path / f'm{size}.tif'), read(tmp_path / 'm0.tif'))
        np.testing.assert_array_equal(read(tmp_path / f'{size}.tif'), read(tmp_path / '0.tif'))


def test_grid_colours_tags_and_styles(before, after, tmp_path):
    result = detect_change(before, after, tmp_path / 'o.tif', magnitude=tmp_path / 'm.tif')
    with rasterio.open(before) as source, rasterio.open(tmp_path / 'o.tif') as made:
        assert (made.transform, made.crs, made.shape) == (
            source.transform,
            source.crs,
            source.shape,
        )
        assert (made.nodata, made.dtypes) == (255, ('uint8',))
        assert made.colormap(1)[1][:3] == (0xD7, 0x19, 0x1C)
        assert made.tags()['model'] == 'irmad'
        assert float(made.tags()['threshold']) == pytest.approx(result.threshold_used, rel=1e-4)
    assert [c['name'] for c in result.styles['output']['classes']] == ['unchanged', 'changed']
    assert result.styles['magnitude']['maximum'] >= result.threshold_used
    assert 'probabilities' not in result.styles
    assert (tmp_path / 'm.qml').exists()


def test_cva_finds_the_change(pair, before, after, tmp_path):
    result = detect_change(
        before, after, tmp_path / 'o.tif', model='cva', magnitude=tmp_path / 'm.tif'
    )
    assert iou(read(tmp_path / 'o.tif') == 1, pair.changed) > 0.7
    np.testing.assert_array_equal(
        read(tmp_path / 'o.tif') == 1, read(tmp_path / 'm.tif') >= result.threshold_used
    )
    assert result.iterations == 0


def test_thresholds_can_be_chosen(before, after, tmp_path):
    def used(**settings):
        result = detect_change(before, after, tmp_path / 'o.tif', **settings)
        return result.threshold_used, result.changed_fraction

    by_otsu, by_chance = used(threshold_by='otsu'), used(threshold_by='significance')
    assert by_otsu[0] > by_chance[0]
    assert by_otsu[1] < by_chance[1]
    assert used(threshold=3.5)[0] == 3.5
    assert used(threshold=1e6)[1] == 0
    assert used(model='cva', threshold=0.0)[1] == 1
    assert used() == by_chance


def test_only_strong_change_where_nearly_everything_changed(tmp_path, caplog):
    scene = simulate(4, 96)
    after = scene.after.copy()
    random = np.random.default_rng(0)
    # half of the scene differs a little everywhere
    after[:, 48:] += random.normal(size=(4, 48, 96)) * 6
    before = write_raster(tmp_path / 'before.tif', scene.before)
    after = write_raster(tmp_path / 'after.tif', after)
    strong = detect_change(before, after, tmp_path / 'o.tif')
    assert 'only the strongest change is reported' in caplog.text
    every = detect_change(before, after, tmp_path / 'o.tif', threshold_by='significance')
    assert every.changed_fraction > 0.25 > strong.changed_fraction


def test_no_change_between_copies(before, tmp_path):
    copy = tmp_path / 'copy.tif'
    copy.write_bytes(before.read_bytes())
    for model in ('irmad', 'cva'):
        result = detect_change(
            before, copy, tmp_path / 'o.tif', model=model, polygons=tmp_path / 'p.gpkg'
        )
        assert result.changed_fraction == result.changed_area == 0
        assert len(polygons(tmp_path / 'p.gpkg')) == 0


@pytest.mark.parametrize(
    ('crs', 'resolution'), [('EPSG:4326', None), ('EPSG:32632', 7.3), ('EPSG:3857', 22.0)]
)
def test_other_grids_are_warped(pair, before, after, tmp_path, crs, resolution):
    other = warped(after, tmp_path / 'other.tif', crs, resolution)
    result = detect_change(before, other, tmp_path / 'o.tif', resampling='cubic', threshold=8)
    found = read(tmp_path / 'o.tif')
    assert found.shape == pair.changed.shape
    inside = found != 255
    assert inside.mean() > 0.9
    assert iou((found == 1)[inside], pair.changed[inside]) > 0.7
    assert (result.offset_x, result.offset_y) == pytest.approx((0, 0), abs=0.3)


def test_dates_in_degrees_give_square_metres(before, after, tmp_path):
    dates = [warped(d, tmp_path / f'{d.stem}_4326.tif', 'EPSG:4326') for d in (before, after)]
    result = detect_change(*dates, tmp_path / 'd.tif', polygons=tmp_path / 'd.gpkg', threshold=6)
    with rasterio.open(tmp_path / 'd.tif') as made:
        changed, bounds = made.read(1) == 1, made.bounds
    whole, _ = Geod(ellps='WGS84').geometry_area_perimeter(box(*bounds))
    assert changed.mean() > 0.02
    assert result.changed_area == pytest.approx(abs(whole) * changed.mean(), rel=1e-3)
    frame = polygons(tmp_path / 'd.gpkg')
    assert frame.area_m2.sum() == pytest.approx(result.changed_area, rel=1e-4)


def test_result_covers_what_both_dates_cover(pair, before, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    shifted = Affine(10, 0, 500_200, 0, -10, 5_300_000 - 300)
    after = write_raster(tmp_path / 'after.tif', pair.after[:, 30:, 20:], transform=shifted)
    detect_change(before, after, tmp_path / 'o.tif')
    with rasterio.open(tmp_path / 'o.tif') as made:
        assert made.shape == (66, 76)
        assert made.transform == shifted
    assert '76 x 66 pixels, 54 % of those of before' in caplog.text


def test_extent_and_its_crs(before, after, tmp_path):
    detect_change(before, after, tmp_path / 'o.tif', extent='500105,5299400,500605,5299900')
    with rasterio.open(tmp_path / 'o.tif') as made:
        assert made.shape == (50, 51)
        assert made.bounds.left == 500_100
    degrees = (15.0015, 47.8450, 15.0065, 47.8490)
    text = ','.join(map(str, degrees)) + ' [EPSG:4326]'
    detect_change(before, after, tmp_path / 'o.tif', extent=text)
    with rasterio.open(tmp_path / 'o.tif') as made:
        wanted = transform_bounds('EPSG:4326', made.crs, *degrees)
        assert box(*made.bounds).covers(box(*wanted))
        np.testing.assert_allclose(made.bounds, wanted, atol=10)


def test_masked_pixels_have_no_influence(pair, before, tmp_path):
    inside = np.zeros((96, 96), 'uint8')
    inside[:, :70] = 1
    mask = write_raster(tmp_path / 'mask.tif', inside)
    results = []
    for name, garbage in (('a', 0), ('b', 1e5)):
        values = pair.after.copy()
        values[:, :, 70:] += garbage * np.random.default_rng(0).normal(size=(3, 96, 26))
        after = write_raster(tmp_path / f'{name}.tif', values.astype('float32'))
        detect_change(before, after, tmp_path / 'o.tif', mask=mask)
        results.append(read(tmp_path / 'o.tif'))
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(results[0] != 255, inside == 1)


def test_nodata_of_either_date_stays_nodata(pair, tmp_path):
    first, second = pair.before.copy(), pair.after.copy()
    first[1, 5:9, 7:20] = -1
    second[:, 80:, 80:] = np.nan
    before = write_raster(tmp_path / 'before.tif', first, nodata=-1)
    after = write_raster(tmp_path / 'after.tif', second)
    result = detect_change(before, after, tmp_path / 'o.tif')
    hole = read(tmp_path / 'o.tif') == 255
    assert hole.sum() == 4 * 13 + 16 * 16
    assert hole[5:9, 7:20].all()
    assert hole[80:, 80:].all()
    assert result.changed_fraction == (read(tmp_path / 'o.tif') == 1).sum() / (~hole).sum()
    assert result.valid_fraction == (~hole).mean()


def test_offset_is_reported_and_warned_about(tmp_path, caplog):
    random = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(random.normal(size=(2, 300, 300)), (0, 2, 2)) * 100
    before = write_raster(tmp_path / 'before.tif', ground.astype('float32'))
    moved = ndimage.shift(ground, (0, -0.3, 1.4), order=5, mode='mirror')
    after = write_raster(tmp_path / 'after.tif', moved.astype('float32'))
    result = detect_change(before, after, tmp_path / 'o.tif')
    assert (result.offset_x, result.offset_y) == pytest.approx((1.4, -0.3), abs=0.05)
    assert 'after lies 1.4' in caplog.text
    assert 'edges may look like change' in caplog.text


def test_offset_is_none_where_it_cannot_be_told(tmp_path):
    dates = [
        write_raster(tmp_path / f'{seed}.tif', np.random.default_rng(seed).normal(size=(2, 90, 90)))
        for seed in (0, 1)
    ]
    result = detect_change(*dates, tmp_path / 'o.tif')
    assert result.offset_x is result.offset_y is None


def test_bands_can_be_chosen(pair, before, tmp_path):
    more = np.concatenate((np.full((1, 96, 96), 7, 'float32'), pair.after[::-1]))
    after = write_raster(tmp_path / 'after.tif', more)
    detect_change(
        before,
        after,
        tmp_path / 'o.tif',
        model='cva',
        after_bands=[4, 3, 2],
        before_bands=[1, 2, 3],
    )
    assert iou(read(tmp_path / 'o.tif') == 1, pair.changed) > 0.7


def test_small_polygons_are_left_out(pair, before, after, tmp_path):
    detect_change(before, after, tmp_path / 'o.tif', threshold=2.5, polygons=tmp_path / 'all.gpkg')
    detect_change(
        before, after, tmp_path / 'o.tif', threshold=2.5, polygons=tmp_path / 'large.gpkg',
        minimum_area=5000,
    )  # fmt: skip
    every, large = (polygons(tmp_path / f'{n}.gpkg') for n in ('all', 'large'))
    assert 0 < len(large) < len(every)
    assert large.area_m2.min() >= 5000


def test_without_any_crs(pair, tmp_path):
    dates = [
        write_raster(tmp_path / f'{name}.tif', values, crs=None)
        for name, values in (('before', pair.before), ('after', pair.after))
    ]
    result = detect_change(*dates, tmp_path / 'o.tif')
    assert iou(read(tmp_path / 'o.tif') == 1, pair.changed) > 0.95
    assert result.changed_area == pytest.approx((read(tmp_path / 'o.tif') == 1).sum() * 100)


def test_the_command_line(before, after, tmp_path, capsys):
    words = ['detect-change', '--before', before, '--after', after, '--model', 'irmad']
    assert main([str(word) for word in (*words, '--output', tmp_path / 'c.tif', '--json')]) == 0
    printed = json.loads(capsys.readouterr().out)
    result = detect_change(before, after, tmp_path / 'o.tif')
    assert printed['changed_fraction'] == result.changed_fraction
    np.testing.assert_array_equal(read(tmp_path / 'c.tif'), read(tmp_path / 'o.tif'))


def test_canceling_leaves_nothing(before, after, tmp_path):
    def cancel(fraction, text='', *, tile=None, tiles=None):
        if tile:
            raise Canceled

    (tmp_path / 'o.tif').write_text('old')
    there = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(Canceled):
        detect_change(
            before, after, tmp_path / 'o.tif', polygons=tmp_path / 'p.gpkg', progress=cancel
        )
    assert (tmp_path / 'o.tif').read_text() == 'old'
    assert sorted(p.name for p in tmp_path.iterdir()) == there


def test_progress_only_rises(before, after, tmp_path):
    seen = []
    detect_change(
        before, after, tmp_path / 'o.tif', polygons=tmp_path / 'p.gpkg',
        progress=lambda fraction, text='', **rest: seen.append(fraction),
    )  # fmt: skip
    assert seen == sorted(seen)
    assert 0 <= seen[0] < 0.1 < 0.8 < seen[-1] <= 1


@pytest.fixture(scope='module')
def change_bundle(tmp_path_factory):
    return tiny_bundle(
        tmp_path_factory.mktemp('bundles') / 'pair', dates=2, classes=('same', 'other')
    )


@pytest.fixture
def dates(tmp_path):
    random = np.random.default_rng(0)
    values = np.kron(random.integers(0, 60_000, (2, 3, 8, 8)), np.ones((8, 8))).astype('uint16')
    return [
        write_raster(tmp_path / f'{name}.tif', image, names=NAMES)
        for name, image in zip(('before', 'after'), values, strict=True)
    ]


def scores(bundle, dates):
    """What the model says of the whole pair at once."""
    pair = []
    for date in dates:
        with rasterio.open(date) as dataset:
            pair.append(torch.from_numpy(dataset.read().astype('float32')))
    with torch.inference_mode():
        return read_bundle(bundle).build()(torch.stack(pair)[None])[0].numpy()


def test_a_bundle_gives_its_classes(change_bundle, dates, tmp_path):
    expected = scores(change_bundle, dates)[0]
    limit = float(np.quantile(expected, 0.6))
    result = detect_change(
        *dates, tmp_path / 'o.tif', bundle=change_bundle, threshold=limit,
        probabilities=tmp_path / 'p.tif', polygons=tmp_path / 'p.gpkg',
    )  # fmt: skip
    clear = np.abs(expected - limit) > 1e-4
    found = read(tmp_path / 'o.tif')
    np.testing.assert_array_equal(found[clear], np.where(expected >= limit, 2, 1)[clear])
    np.testing.assert_allclose(read(tmp_path / 'p.tif'), expected, atol=1e-4)
    assert result.changed_fraction == (found == 2).mean()
    assert result.changed_area == pytest.approx((found == 2).sum() * 100, rel=1e-3)
    assert set(polygons(tmp_path / 'p.gpkg')['class']) == {'other'}
    assert (result.threshold_used, result.iterations) == (limit, 0)
    assert {'output', 'probabilities', 'polygons'} == set(result.styles)


def test_bands_of_a_bundle_are_found_by_name(change_bundle, dates, tmp_path):
    with rasterio.open(dates[1]) as dataset:
        swapped = write_raster(tmp_path / 's.tif', dataset.read()[::-1], names=NAMES[::-1])
    for number, after in enumerate((dates[1], swapped)):
        detect_change(
            dates[0], after, tmp_path / f'{number}.tif', bundle=change_bundle,
            probabilities=tmp_path / f'p{number}.tif',
        )  # fmt: skip
    np.testing.assert_array_equal(read(tmp_path / 'p0.tif'), read(tmp_path / 'p1.tif'))


def test_a_bundle_with_several_kinds_of_change(dates, tmp_path):
    bundle = tiny_bundle(tmp_path / 'kinds', dates=2, classes=('same', 'built', 'felled'))
    result = detect_change(*dates, tmp_path / 'o.tif', bundle=bundle)
    found = read(tmp_path / 'o.tif')
    best = scores(bundle, dates)
    clear = np.subtract(*np.sort(best, 0)[[-1, -2]]) > 1e-4
    np.testing.assert_array_equal(found[clear], best.argmax(0)[clear] + 1)
    assert result.changed_fraction == (found > 1).mean()
    assert result.threshold_used is None
    with pytest.raises(BadParameter, match=r'threshold is 0\.3, but tiny tells 3 classes apart'):
        detect_change(*dates, tmp_path / 'o.tif', bundle=bundle, threshold=0.3)


@pytest.mark.parametrize(
    ('builder', 'weights', 'order'),
    [('TinyCD', 'LEVIR_CD', [0, 1, 2]), ('CFNet', 'SYSU_CD', [2, 1, 0])],
)
def test_published_weights_run_by_name(tmp_path, monkeypatch, builder, weights, order):
    """With weights of our own in place of the published ones, which need a network."""
    from torchgeo_ext import hub, models

    torch.manual_seed(0)
    model = getattr(models, builder)().eval()
    published = getattr(models, f'{builder}_Weights')[weights]
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(hub, 'known_hash', lambda weights: '')
    hub.weights_folder().mkdir(parents=True)
    torch.save(model.state_dict(), hub.weights_folder() / Path(published.url).name)
    random = np.random.default_rng(0)
    place = {'transform': Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000)}
    pixels = [random.integers(0, 256, (3, 64, 64), dtype=np.uint8) for _ in range(2)]
    paths = [
        write_raster(tmp_path / f'{name}.tif', values, names=['red', 'green', 'blue'], **place)
        for name, values in zip(('before', 'after'), pixels, strict=True)
    ]
    result = detect_change(
        *paths,
        tmp_path / 'change.tif',
        model=f'{builder}_Weights.{weights}',
        probabilities=tmp_path / 'p.tif',
        tile_size=64,
    )
    normalised = published.transforms(torch.tensor(np.stack(pixels)).float()[:, order])
    with torch.no_grad():
        expected = model(normalised[None]).sigmoid()[0, 0].numpy()
    np.testing.assert_allclose(read(tmp_path / 'p.tif'), expected, atol=2e-3)
    assert result.threshold_used == 0.5


def test_bundles_that_do_not_fit(change_bundle, dates, tmp_path):
    single = tiny_bundle(tmp_path / 'single')
    with pytest.raises(BadInput, match=r'does segmentation with 1 image\(s\), but change with 2'):
        detect_change(*dates, tmp_path / 'o.tif', bundle=single)
    with pytest.raises(BadParameter, match='magnitude: a trained model gives none'):
        detect_change(
            *dates, tmp_path / 'o.tif', bundle=change_bundle, magnitude=tmp_path / 'm.tif'
        )
    two = write_raster(tmp_path / 'two.tif', gradient(2, 64, 64), names=['red', 'green'])
    with pytest.raises(BadInput, match=r'(?s)after: .*two.tif.*after_bands|after'):
        detect_change(dates[0], two, tmp_path / 'o.tif', bundle=change_bundle)
    assert not (tmp_path / 'o.tif').exists()


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'model': 'mad'}, 'model is .mad., which is not known'),
        ({'model': 'cva', 'probabilities': 'p.tif'}, 'probabilities: cva gives none'),
        ({'model': 'cva', 'threshold_by': 'significance'}, 'cva knows no probabilities'),
        ({'significance': 2}, 'significance is 2'),
        ({'threshold': -1}, 'threshold is -1'),
        ({'before_bands': [1, 9]}, 'before: band 9 does not exist'),
        ({'overlap': 64, 'tile_size': 64}, 'overlap is 64'),
        ({'extent': (0, 0, 10, 10)}, 'lies outside of the image'),
        ({'resampling': 'gauss'}, 'resampling is .gauss.'),
    ],
)
def test_arguments_that_do_not_fit(before, after, tmp_path, settings, said):
    if 'probabilities' in settings:
        settings = settings | {'probabilities': tmp_path / 'p.tif'}
    with pytest.raises(BadParameter, match=said):
        detect_change(before, after, tmp_path / 'o.tif', **settings)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['after.tif', 'before.tif']


def test_methods_that_do_not_exist():
    with pytest.raises(BadParameter, match="'mad' is no method"):
        Method('mad')


def test_dates_of_different_places(pair, before, tmp_path):
    far = Affine(10, 0, 600_000, 0, -10, 5_300_000)
    after = write_raster(tmp_path / 'after.tif', pair.after, transform=far)
    with pytest.raises(BadInput, match=r'before .*500000.* and after .*600000.* do not overlap'):
        detect_change(before, after, tmp_path / 'o.tif')


def test_extent_where_only_one_date_is(pair, before, tmp_path):
    aside = Affine(10, 0, 500_500, 0, -10, 5_300_000)
    after = write_raster(tmp_path / 'after.tif', pair.after, transform=aside)
    with pytest.raises(BadInput, match='part of before that is wanted covers 500000'):
        detect_change(
            before, after, tmp_path / 'o.tif', extent=(500_000, 5_299_500, 500_300, 5_300_000)
        )


@pytest.mark.parametrize(
    ('first', 'second', 'said'),
    [
        ({'crs': None}, {}, 'before: .* has no coordinate reference system, but after'),
        ({}, {'crs': None}, 'after: .* has no coordinate reference system, but before'),
        (
            {'crs': None},
            {'crs': None, 'transform': Affine(9, 0, 500_000, 0, -9, 5_300_000)},
            'no coordinate reference system',
        ),
    ],
)
def test_missing_crs(pair, tmp_path, first, second, said):
    before = write_raster(tmp_path / 'before.tif', pair.before, **first)
    after = write_raster(tmp_path / 'after.tif', pair.after, **second)
    with pytest.raises(BadInput, match=said):
        detect_change(before, after, tmp_path / 'o.tif')


def test_numbers_of_bands_differ(pair, before, tmp_path):
    after = write_raster(tmp_path / 'after.tif', pair.after[:2])
    with pytest.raises(BadInput, match='before has 3 bands, but after has 2') as caught:
        detect_change(before, after, tmp_path / 'o.tif')
    assert 'before_bands and after_bands' in caught.value.hint


def test_bands_in_another_order(pair, before, tmp_path):
    names = ['red', 'green', 'blue']
    ordered = write_raster(tmp_path / 'ordered.tif', pair.before, names=names)
    after = write_raster(tmp_path / 'after.tif', pair.after[::-1], names=names[::-1])
    with pytest.raises(
        BadInput,
        match='before has the bands red, green, blue, but after has them in the order blue',
    ) as caught:
        detect_change(ordered, after, tmp_path / 'o.tif')
    assert 'before_bands and after_bands' in caught.value.hint
    # who chooses them knows, and a raster whose bands have no names may be in any order
    detect_change(ordered, after, tmp_path / 'o.tif', after_bands=[3, 2, 1])
    detect_change(before, after, tmp_path / 'o.tif')


def test_dates_that_share_less_than_a_tile(change_bundle, dates, tmp_path):
    with rasterio.open(dates[1]) as dataset:
        values, names = dataset.read(), dataset.descriptions
    aside = Affine(10, 0, 500_000 + 10 * 58, 0, -10, 5_300_000)
    after = write_raster(tmp_path / 'aside.tif', values, names=names, transform=aside)
    result = detect_change(dates[0], after, tmp_path / 'o.tif', bundle=change_bundle, tile_size=64)
    assert read(tmp_path / 'o.tif').shape == (64, 6)
    assert result.valid_fraction == 1.0


def test_files_that_are_no_use(pair, before, tmp_path):
    def refused(after, said):
        with pytest.raises(BadInput, match=said):
            detect_change(before, after, tmp_path / 'o.tif')

    refused(tmp_path / 'missing.tif', r'after: .*missing\.tif does not exist')
    (tmp_path / 'text.tif').write_text('no raster')
    refused(tmp_path / 'text.tif', r'after: .*text\.tif cannot be opened as a raster')
    empty = write_raster(tmp_path / 'empty.tif', np.zeros((3, 96, 96)), nodata=0)
    refused(empty, 'before and after have no valid pixel in common')
    few = np.full((3, 96, 96), -1.0)
    few[:, :5, :5] = pair.after[:, :5, :5]
    few = write_raster(tmp_path / 'few.tif', few, nodata=-1)
    refused(few, 'only 25 valid pixels in common; at least 60 are needed')
    flat = pair.after.copy()
    flat[1] = 5
    flat = write_raster(tmp_path / 'flat.tif', flat)
    refused(flat, 'only one value in band 2 of after')
    double = pair.after.copy()
    double[2] = double[0]
    double = write_raster(tmp_path / 'double.tif', double, names=['nir', 'red', 'nir again'])
    refused(double, r'band 1 \(nir\) of after, band 3 \(nir again\) of after depend on each other')
    cut = write_raster(tmp_path / 'cut.tif', pair.after, compress='deflate')
    cut.write_bytes(cut.read_bytes()[:60_000])
    refused(cut, r'after: .*cut\.tif')
    assert not (tmp_path / 'o.tif').exists()
