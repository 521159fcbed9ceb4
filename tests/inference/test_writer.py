"""Writing GeoTIFFs."""

from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window

from tests.inference.disks import small_disk
from torchgeo_ext.errors import BadParameter, NoSpace
from torchgeo_ext.inference import writer as module
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import open_raster
from torchgeo_ext.inference.writer import RasterLayout, RasterWriter, overview_factors

UTM = CRS.from_epsg(32633)
#: Krovak-like, of nobody's register.
OWN = CRS.from_proj4('+proj=laea +lat_0=47.3 +lon_0=11.7 +x_0=12345.6 +ellps=bessel +units=m')
#: A globe turned around: GeoTIFF has no words for it.
TURNED = CRS.from_proj4('+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +to_meter=0.0174532925199433')  # noqa: E501 # fmt: skip
NORTH_UP = Affine(0.3, 0, 499_995.3, 0, -0.3, 4_649_685.22)
GRID = Grid(UTM, NORTH_UP, 600, 300)
BYTES = RasterLayout(count=1, dtype=np.dtype('uint8'), nodata=255)


def write(path, values, grid=GRID, layout=BYTES, windows=None):
    with RasterWriter(path, grid, layout) as writer:
        for window in windows or [grid.window]:
            rows, columns = window.toslices()
            writer.write(window, values[:, rows, columns])
        writer.finish()


def noise(grid=GRID, count=1, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, *grid.shape), 'uint8')


@pytest.mark.parametrize(
    'transform',
    [NORTH_UP, Affine(0.3, 0, 499_995.3, 0, 0.3, 4_649_685.22),
     Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -2),
     Affine(1, 0, 0, 0, -1, 0), Affine.identity()],
    ids=['north up', 'south up', 'rotated', 'flipped identity', 'identity'],
)  # fmt: skip
@pytest.mark.parametrize('crs', [UTM, CRS.from_epsg(4326), OWN, TURNED, None],
                         ids=['utm', 'degrees', 'own', 'turned', 'none'])  # fmt: skip
def test_grid_comes_back_exactly(tmp_path, transform, crs):
    grid = Grid(crs, transform, 6, 3)
    path = tmp_path / 'a.tif'
    write(path, noise(grid), grid)
    with open_raster(str(path)) as dataset:
        found = Grid.of(dataset)
    assert (found.transform, found.shape) == (grid.transform, grid.shape)
    assert found.crs == crs
    assert not [p for p in tmp_path.iterdir() if '.part' in p.name]


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'int32', 'float32', 'float64'])
def test_values_come_back(tmp_path, dtype):
    values = noise(count=3).astype(dtype)
    layout = RasterLayout(
        3, np.dtype(dtype), -9 if dtype[0] in 'if' else 255, descriptions=('a', 'b', 'c'),
        unit='m', tags={'model': 'm'},
    )  # fmt: skip
    write(tmp_path / 'a.tif', values, layout=layout)
    with rasterio.open(tmp_path / 'a.tif') as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.descriptions == ('a', 'b', 'c')
        assert dataset.units == ('m', 'm', 'm')
        assert dataset.nodata == layout.nodata
        assert dataset.tags()['model'] == 'm'
        assert dataset.profile['compress'] == 'deflate'
        assert dataset.block_shapes[0] == (256, 256)
        assert dataset.overviews(3) == [2, 4]


def test_overviews_of_classes_are_nearest_and_of_numbers_average(tmp_path):
    values = np.tile(np.array([[0, 100], [100, 200]], 'uint8'), (150, 300))[None]
    for method, expected in ((Resampling.nearest, {0}), (Resampling.average, {100})):
        layout = RasterLayout(1, np.dtype('uint8'), 255, overviews=method)
        write(tmp_path / 'a.tif', values, layout=layout)
        with rasterio.open(tmp_path / 'a.tif', overview_level=0) as dataset:
            assert set(np.unique(dataset.read())) == expected


def test_last_overview_fits_into_a_block():
    for size in (1, 256, 257, 512, 513, 8192, 100_000):
        factors = overview_factors(Grid(None, Affine.identity(), size, 3))
        assert size / (factors[-1] if factors else 1) <= 256
        assert factors == [2**n for n in range(1, len(factors) + 1)]
        assert not factors or size / (factors[-1] / 2) > 256


def test_classes_have_colours_and_names(tmp_path):
    layout = RasterLayout(
        1, np.dtype('uint8'), 255, colors={1: '#1f78b4', 3: '#33a02c'},
        categories={1: 'water & ice', 3: 'forêt'},
    )  # fmt: skip
    write(tmp_path / 'a.tif', noise(), layout=layout)
    with rasterio.open(tmp_path / 'a.tif') as dataset:
        colors = dataset.colormap(1)
        assert (colors[1], colors[3]) == ((31, 120, 180, 255), (51, 160, 44, 255))
        assert colors[255] == (0, 0, 0, 0)
    names = ElementTree.parse(tmp_path / 'a.tif.aux.xml').findall('.//Category')
    assert [name.text or '' for name in names] == ['', 'water & ice', '', 'forêt']
    assert {p.name for p in tmp_path.iterdir()} == {'a.tif', 'a.tif.aux.xml'}


def test_what_belonged_to_an_earlier_raster_goes_with_it(tmp_path):
    for name in ('a.tif', 'a.tif.aux.xml', 'a.tif.ovr', 'a.tif.msk', 'b.tif'):
        (tmp_path / name).write_text('old')
    write(tmp_path / 'a.tif', noise())
    assert {p.name for p in tmp_path.iterdir()} == {'a.tif', 'b.tif'}


@pytest.mark.parametrize('size', [(600, 300), (50, 70), (256, 256), (601, 1), (123, 45)])
def test_every_block_is_written_once_however_pixels_come(tmp_path, size, monkeypatch):
    blocks = []
    plain = RasterWriter._write_block

    def spy(self, block, values):
        blocks.append((block.row_off, block.col_off))
        plain(self, block, values)

    monkeypatch.setattr(RasterWriter, '_write_block', spy)
    values = noise(count=2)
    width, height = size
    windows = [
        Window(c, r, min(width, 600 - c), min(height, 300 - r))
        for r in range(0, 300, height) for c in range(0, 600, width)
    ]  # fmt: skip
    order = np.random.default_rng(1).permutation(len(windows))
    layout = RasterLayout(2, np.dtype('uint8'), 255)
    write(tmp_path / 'a.tif', values, layout=layout, windows=[windows[i] for i in order])
    assert len(blocks) == len(set(blocks)) == 6
    with rasterio.open(tmp_path / 'a.tif') as dataset:
        np.testing.assert_array_equal(dataset.read(), values)


def test_missing_pixels_are_noticed(tmp_path):
    with pytest.raises(RuntimeError, match='incomplete'):
        write(tmp_path / 'a.tif', noise(), windows=[Window(0, 0, 600, 299)])
    with pytest.raises(RuntimeError, match='not finished'), RasterWriter(
        tmp_path / 'a.tif', GRID, BYTES
    ):  # fmt: skip
        pass
    assert not list(tmp_path.iterdir())


def test_existing_raster_survives_a_failure(tmp_path):
    path = tmp_path / 'a.tif'
    path.write_text('old')

    def fail_after_a_block():
        with RasterWriter(path, GRID, BYTES) as writer:
            writer.write(Window(0, 0, 600, 256), noise()[:, :256])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_block()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_only_geotiffs_are_written(tmp_path):
    with pytest.raises(BadParameter, match=r'probabilities: .*a\.png is not the name of a GeoTIFF'):
        RasterWriter(tmp_path / 'a.png', GRID, BYTES, 'probabilities')


def test_missing_folder(tmp_path):
    with pytest.raises(BadParameter, match=r'output: the folder .*nowhere does not exist'):
        write(tmp_path / 'nowhere' / 'a.tif', noise())


def test_a_file_cut_short_is_not_passed_off_as_whole(tmp_path):
    write(tmp_path / 'a.tif', noise())
    module._check_blocks(tmp_path / 'a.tif')
    whole = (tmp_path / 'a.tif').read_bytes()
    (tmp_path / 'a.tif').write_bytes(whole[:-500])
    with pytest.raises(OSError, match='cut short'):
        module._check_blocks(tmp_path / 'a.tif')


def test_full_disk_at_any_moment(tmp_path, capfd):
    # about 180 kB and 60 kB of overviews: blocks, directory, overviews, names run out of space
    values = noise()
    layout = RasterLayout(1, np.dtype('uint8'), 255, categories={1: 'water'})
    outcomes = set()
    with small_disk(tmp_path / 'disk', 400) as disk:
        path = disk / 'a.tif'
        for spare in range(4, 400, 12):
            (disk / 'ballast').write_bytes(bytes((400 - spare) * 1024))
            try:
                write(path, values, layout=layout)
            except NoSpace as error:
                outcomes.add(str(path) in error.message)
                assert {p.name for p in disk.iterdir()} == {'ballast'}
            else:
                with rasterio.open(path) as dataset:
                    np.testing.assert_array_equal(dataset.read(), values)
                with rasterio.open(path, overview_level=1) as dataset:
                    dataset.read()
                assert (disk / 'a.tif.aux.xml').exists()
                outcomes.add('written')
                path.unlink()
                (disk / 'a.tif.aux.xml').unlink()
    capfd.readouterr()  # libtiff talks
    assert outcomes == {True, 'written'}


def test_other_write_errors_name_argument_and_path(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(module, '_check_blocks', fail)
    with pytest.raises(BadParameter, match=r'output: .*a\.tif cannot be written .*Input/output'):
        write(tmp_path / 'a.tif', noise())
    assert not list(tmp_path.iterdir())
