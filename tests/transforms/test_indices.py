import itertools
import math

import numpy as np
import pytest
import spyndex
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import sensor
from torchgeo_ext.transforms import AppendIndices, computable_indices, compute_index
from torchgeo_ext.transforms._formula import evaluate
from torchgeo_ext.transforms.indices import SpectralIndex, catalogue

#: spyndex's letters for bands, and radar's.
LETTERS = (*spyndex.bands, 'VV', 'VH', 'HH', 'HV')
#: Constants without a default in the catalogue; wavelengths must differ.
GIVEN = {
    name: 500.0 + 100 * i
    for i, name in enumerate(n for n in spyndex.constants if spyndex.constants[n].default is None)
}


@pytest.fixture(scope='module')
def spectra():
    generator = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(len(LETTERS), 4, 5, generator=generator, dtype=torch.float64)


def by_spyndex(names, spectra):
    constants = {n: spyndex.constants[n].default for n in spyndex.constants} | GIVEN
    known = dict(zip(LETTERS, spectra.numpy(), strict=True)) | constants
    for a, b in itertools.product('NRBGL', repeat=2):
        known[f'k{a}{b}'] = spyndex.computeKernel('RBF', a=known[a], b=known[b], sigma=0.5)
    with np.errstate(invalid='ignore'):
        return spyndex.computeIndex(names, known, returnOrigin=False)


def test_all_indices_are_those_of_spyndex(spectra):
    assert len(catalogue()) >= 280
    names = list(catalogue())
    for name, theirs in zip(names, by_spyndex(names, spectra), strict=True):
        ours = compute_index(name, spectra, LETTERS, GIVEN).numpy()
        # roots of negative numbers are NaN there and 0 here
        np.testing.assert_allclose(ours, np.nan_to_num(theirs), rtol=1e-9, err_msg=name)


def test_ndvi_of_known_reflectance():
    image = torch.tensor([0.1, 0.5]).reshape(2, 1, 1)
    ndvi = compute_index('NDVI', image, ('red', 'nir'))
    assert ndvi.item() == pytest.approx(0.4 / 0.6)


@pytest.mark.parametrize(
    'bands',
    [
        ('blue', 'green', 'red', 'nir'),
        ('B', 'G', 'R', 'N'),
        (0.49, 0.56, 0.665, 0.842),
        [0.49, 0.56, 0.665, 0.842],
    ],
)
def test_bands_by_role_letter_or_wavelength(bands):
    image = torch.rand(3, 4, 5, 6)
    expected = (image[:, 3] - image[:, 2]) / (image[:, 3] + image[:, 2])
    torch.testing.assert_close(compute_index('NDVI', image, bands), expected)


@pytest.mark.parametrize('bands', ['sentinel2_l2a', sensor('sentinel2_l2a')])
def test_bands_of_a_sensor(bands):
    image = torch.rand(12, 5, 6)
    expected = (image[7] - image[3]) / (image[7] + image[3])
    torch.testing.assert_close(compute_index('NDVI', image, bands), expected)
    narrow = (image[8] - image[10]) / (image[8] + image[10])
    assert not torch.equal(compute_index('NDMI', image, bands), narrow)


def test_near_infrared_of_landsat_8_is_its_narrow_one():
    image = torch.rand(7, 5, 6)
    expected = (image[4] - image[3]) / (image[4] + image[3])
    torch.testing.assert_close(compute_index('NDVI', image, 'landsat8_l2_sr'), expected)


def test_radar_and_kernels():
    image = torch.tensor([0.2, 0.05]).reshape(2, 1, 1)
    assert compute_index('VHVVR', image, ('VV', 'VH')).item() == pytest.approx(0.25)
    kernel = math.exp(-(0.15**2) / (2 * 0.5**2))
    kndvi = compute_index('kNDVI', image, ('nir', 'red'))
    assert kndvi.item() == pytest.approx((1 - kernel) / (1 + kernel))
    narrow = compute_index('kNDVI', image, ('nir', 'red'), {'sigma': 0.1})
    assert narrow.item() == pytest.approx(math.tanh((0.15 / 0.2) ** 2), rel=1e-5)


def test_constants():
    image = torch.tensor([0.1, 0.5]).reshape(2, 1, 1)
    half = compute_index('SAVI', image, ('red', 'nir'), {'L': 0.5})
    assert half.item() == pytest.approx(1.5 * 0.4 / 1.1)
    with pytest.raises(BadParameter, match="no formula has 'l'"):
        compute_index('SAVI', image, ('red', 'nir'), {'l': 0.5})
    with pytest.raises(BadParameter, match='needs a value for lambda'):
        compute_index('NIRvH2', image, ('red', 'nir'))


def test_central_wavelengths_come_from_the_bands():
    image = torch.rand(2, 3, 3)
    known = compute_index('NIRvH2', image, (0.665, 0.842), {'k': 2.0})
    given = {'k': 2.0, 'lambdaR': 665.0, 'lambdaN': 842.0}
    torch.testing.assert_close(known, compute_index('NIRvH2', image, ('red', 'nir'), given))


def test_what_is_missing_is_named():
    image = torch.rand(2, 3, 3)
    with pytest.raises(BadParameter, match=r"called 'NDWIX'.*NDWI"):
        compute_index('NDWIX', image, ('red', 'nir'))
    with pytest.raises(BadParameter, match=r'NDSI needs the band green \(G: .*510 to 600 nm'):
        compute_index('NDSI', image, ('red', 'nir'))
    with pytest.raises(BadParameter, match='EVI needs the band blue'):
        AppendIndices(('NDVI', 'EVI'), ('red', 'nir'))
    with pytest.raises(BadInput, match='2 channels, but 3 bands'):
        compute_index('NDVI', image, ('blue', 'red', 'nir'))
    with pytest.raises(BadInput, match='has no wavelengths'):
        AppendIndices(('NDVI',))({'image': image})


def test_zero_denominators_and_roots_give_zero_and_no_slope():
    image = torch.zeros(2, 1, 3, requires_grad=True)
    for name in ('NDVI', 'SR', 'TDVI', 'RDVI', 'AVI', 'DVI'):
        value = compute_index(name, image, ('red', 'nir'))
        assert value.isfinite().all(), name
        (slope,) = torch.autograd.grad(value.sum(), image)
        assert slope.isfinite().all(), name
    assert (compute_index('NDVI', image, ('red', 'nir')) == 0).all()


def test_slopes_are_those_of_the_formulas(spectra):
    image = spectra[:, :1, :1].clone().requires_grad_()
    for name in ('NDVI', 'EVI', 'MCARI2', 'BAIS2', 'GDVI', 'kNDVI', 'AVI'):
        assert torch.autograd.gradcheck(
            lambda image, name=name: compute_index(name, image, LETTERS), image
        )


def test_append_to_a_batch_by_its_own_wavelengths():
    image = torch.rand(3, 2, 4, 5)
    valid = torch.rand(3, 4, 5) > 0.5
    sample = {
        'image': image,
        'mask_valid': valid,
        'wavelengths': torch.tensor([[0.665, 0.842]]).expand(3, 2),
    }
    result = AppendIndices(('NDVI', 'DVI'))(sample)
    assert result['image'].shape == (3, 4, 4, 5)
    assert torch.equal(result['image'][:, :2], image)
    dvi = torch.where(valid, image[:, 1] - image[:, 0], 0)
    torch.testing.assert_close(result['image'][:, 3], dvi)
    assert result['wavelengths'].shape == (3, 4)
    assert result['wavelengths'][:, 2:].isnan().all()
    again = AppendIndices(('SR',))(result)
    assert again['image'].shape == (3, 5, 4, 5)


def test_a_batch_of_several_sensors_is_refused():
    wavelengths = torch.tensor([[0.665, 0.842], [0.66, 0.83]])
    with pytest.raises(BadInput, match='different wavelengths'):
        AppendIndices(('NDVI',))({'image': torch.rand(2, 2, 4, 4), 'wavelengths': wavelengths})


def test_what_can_be_computed():
    names = computable_indices(('red', 'nir'))
    assert 'NDVI' in names
    assert 'kNDVI' in names
    assert not {'EVI', 'NDWI', 'VHVVR'} & set(names)
    assert len(names) < len(computable_indices('sentinel2_l2a'))


@pytest.mark.parametrize(
    'text', ["__import__('os')", 'N.shape', '[N for N in (1,)]', 'N if R else 1']
)
def test_a_formula_is_arithmetic_only(text):
    index = SpectralIndex('X', '', '', text, ('N', 'R'), '')
    with pytest.raises(BadParameter, match='no arithmetic'):
        evaluate(index.formula, {'N': 1.0, 'R': 1.0})
