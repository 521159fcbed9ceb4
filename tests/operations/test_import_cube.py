"""import_cube: PRISMA and EMIT as GeoTIFFs with wavelengths."""

import h5py
import numpy as np
import pytest
import rasterio

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import import_cube, resample_spectra
from torchgeo_ext.sensors import read_wavelengths

ROWS, COLUMNS = 6, 5


def emit(path, leave_out=''):
    """A scan of 6 x 5 pixels that lies mirrored on the map, with an empty margin."""
    values = np.random.default_rng(0).uniform(0, 0.6, (ROWS, COLUMNS, 4)).astype('f4')
    values[1, 2] = -9999
    x, y = (np.zeros((ROWS + 2, COLUMNS + 2), 'i4') for _ in range(2))
    y[1:-1, 1:-1], x[1:-1, 1:-1] = np.meshgrid(
        np.arange(ROWS, 0, -1), np.arange(1, COLUMNS + 1), indexing='ij'
    )
    x[1, 1], y[1, 1] = -x[1, 1], -y[1, 1]
    with h5py.File(path, 'w') as file:
        for name, size in (('downtrack', ROWS), ('crosstrack', COLUMNS), ('bands', 4)):
            file.create_dataset(name, data=np.arange(size)).make_scale(name)
        cube = file.create_dataset('reflectance', data=values)
        for axis, name in enumerate(('downtrack', 'crosstrack', 'bands')):
            cube.dims[axis].attach_scale(file[name])
        group = file.create_group('sensor_band_parameters')
        for name, entries in (
            ('wavelengths', [490.0, 560.0, 1380.0, 665.0]),
            ('fwhm', [8.0, 8.5, 9.0, 8.7]),
            ('good_wavelengths', [1, 1, 0, 1]),
        ):
            group.create_dataset(name, data=np.array(entries, 'f4'))
            group[name].dims[0].attach_scale(file['bands'])
        for name, table in (('glt_x', x), ('glt_y', y)):
            if name != leave_out:
                file.create_dataset(f'location/{name}', data=table)
        file.attrs['geotransform'] = [10.0, 0.0005, 0.0, 50.0, 0.0, -0.0005]
        file.attrs['spatial_ref'] = rasterio.crs.CRS.from_epsg(4326).to_wkt()
    return path, values


def prisma(path, level='L2D'):
    vnir = np.random.default_rng(0).integers(1, 65535, (ROWS, 3, COLUMNS)).astype('u2')
    swir = np.random.default_rng(1).integers(1, 65535, (ROWS, 2, COLUMNS)).astype('u2')
    vnir[0, :, 0] = swir[0, :, 0] = 0
    with h5py.File(path, 'w') as file:
        attributes = {
            'List_Cw_Vnir': np.array([0, 943.5, 402.5], 'f4'),
            'List_Cw_Vnir_Flags': np.array([0, 1, 1], 'u1'),
            'List_Fwhm_Vnir': np.array([0, 10.5, 11.4], 'f4'),
            'List_Cw_Swir': np.array([2497.0, 930.25], 'f4'),
            'List_Fwhm_Swir': np.array([9.5, 10.25], 'f4'),
            'L2ScaleVnirMin': 0.0, 'L2ScaleVnirMax': 0.5,
            'L2ScaleSwirMin': 0.1, 'L2ScaleSwirMax': 0.9,
            'Epsg_Code': 32633,
            'Product_ULcorner_easting': 500_015.0, 'Product_ULcorner_northing': 5_300_000.0,
            'Product_LRcorner_easting': 500_015.0 + 30 * (COLUMNS - 1),
            'Product_LRcorner_northing': 5_300_000.0 - 30 * (ROWS - 1),
        }  # fmt: skip
        for name, value in attributes.items():
            file.attrs[name] = value
        fields = f'HDFEOS/SWATHS/PRS_{level}_HCO/Data Fields'
        file.create_dataset(f'{fields}/VNIR_Cube', data=vnir)
        file.create_dataset(f'{fields}/SWIR_Cube', data=swir)
    return path, vnir, swir


def test_emit_is_put_on_the_map(tmp_path):
    path, values = emit(tmp_path / 'EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc')
    result = import_cube(path, tmp_path / 'o.tif')
    assert (result.bands, result.bad_bands) == (4, 1)
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        found = dataset.read()
        assert dataset.crs.to_epsg() == 4326
        assert dataset.transform[:6] == (0.0005, 0, 10, 0, -0.0005, 50)
    inside = found[:, 1:-1, 1:-1]
    expected = np.where(values == -9999, np.nan, values)[::-1].transpose(2, 0, 1)[[0, 1, 3, 2]]
    np.testing.assert_array_equal(inside, expected)
    assert np.isnan(found[:, 0]).all()
    assert np.isnan(found[:, :, -1]).all()
    bands = read_wavelengths(tmp_path / 'o.tif')
    assert bands.centre == pytest.approx((0.49, 0.56, 0.665, 1.38))
    assert bands.fwhm == pytest.approx((0.008, 0.0085, 0.0087, 0.009))
    assert bands.good == (True, True, True, False)


def test_prisma_becomes_one_image(tmp_path):
    path, vnir, swir = prisma(tmp_path / 'PRS_L2D_STD_20200416101500_20200416101505_0001.he5')
    assert import_cube(path, tmp_path / 'o.tif').bands == 4
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        found = dataset.read()
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform[:6] == (30, 0, 500_000, 0, -30, 5_300_015)
    visible, infrared = 0.5 / 65535 * vnir, 0.1 + 0.8 / 65535 * swir
    expected = np.stack([visible[:, 2], infrared[:, 1], visible[:, 1], infrared[:, 0]])
    expected[:, 0, 0] = np.nan
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    bands = read_wavelengths(tmp_path / 'o.tif')
    assert bands.centre == pytest.approx((0.4025, 0.93025, 0.9435, 2.497))
    assert bands.scale == (1.0,) * 4


def test_what_is_imported_can_be_resampled(tmp_path):
    path, _ = emit(tmp_path / 'EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc')
    import_cube(path, tmp_path / 'cube.tif')
    table = tmp_path / 'table.csv'
    table.write_text('wavelength_nm,fwhm_nm\n560,9\n')
    assert resample_spectra(tmp_path / 'cube.tif', tmp_path / 'o.tif', table=table).bands == 1


def test_other_files(tmp_path):
    (tmp_path / 'a.nc').write_text('x')
    with pytest.raises(BadInput, match='cannot be opened as HDF5'):
        import_cube(tmp_path / 'a.nc', tmp_path / 'o.tif')
    with h5py.File(tmp_path / 'b.nc', 'w') as file:
        file.create_dataset('x', data=[1])
    with pytest.raises(BadInput, match='is neither a product of PRISMA nor of EMIT'):
        import_cube(tmp_path / 'b.nc', tmp_path / 'o.tif')
    path, *_ = prisma(tmp_path / 'PRS_L1_STD_OFFL_20200416101500_20200416101505_0001.he5', 'L1')
    with pytest.raises(BadInput, match='only L2D products of PRISMA are on a map grid'):
        import_cube(path, tmp_path / 'o.tif')
    path, _ = emit(tmp_path / 'EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc', 'glt_x')
    with pytest.raises(BadInput, match='no table'):
        import_cube(path, tmp_path / 'o.tif')
    assert not (tmp_path / 'o.tif').exists()
