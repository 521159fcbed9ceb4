"""What must hold for every transform that the room exports.

A new transform needs one line in CASES.
"""

import copy
import inspect
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import kornia.augmentation as K
import pytest
import torch

from torchgeo_ext import transforms as t
from torchgeo_ext.errors import BadInput
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.sensors import Sensor, SensorBand
from torchgeo_ext.transforms._base import SampleTransform

BANDS = ('blue', 'green', 'red', 'nir')
WAVELENGTHS = [0.49, 0.56, 0.665, 0.842]
HEIGHT, WIDTH = 12, 16
NODATA = -9999.0
#: One image, a batch of them, one pair (or series) and a batch of pairs.
FORMS = {'image': (), 'batch': (4,), 'pair': (None,), 'pairs': (3, None)}
SENSOR = Sensor(
    'made up',
    '',
    'toa_radiance',
    tuple(SensorBand(band, planck=(607.76, 1260.56)) for band in BANDS),
    scale=2.0,
    offset=-0.1,
)
FLIPS = (K.RandomHorizontalFlip(), K.RandomVerticalFlip())
MOVED = 'labels valid invalid'


@dataclass(frozen=True)
class Case:
    """A transform to test.

    make: Builds it.
    forms: Which of FORMS it takes.
    changes: What it changes beside values of valid pixels: 'sizes' and number of channels or dates,
        'labels', 'valid' pixels, values of 'invalid' ones. Nothing else may change.
    adds: Keys it adds to the sample.
    dates: Number of dates of the series it is given.
    within: Range of its output.
    moves: Whether it moves pixels together with their masks.
    noisy: Whether dates differ even if they share parameters.
    differentiable: Whether its output follows small changes of most pixels.
    """

    make: Callable[..., SampleTransform]
    forms: str = 'image batch pair pairs'
    changes: str = ''
    adds: str = ''
    dates: int = 2
    within: tuple[float, float] = (-1e6, 1e6)
    moves: bool = False
    noisy: bool = False
    differentiable: bool = True

    @property
    def name(self) -> str:
        return getattr(self.make, 'func', self.make).__name__


CASES = [
    Case(partial(t.AddPoint, 'EPSG:4326'), adds='point', within=(0, 1)),
    Case(partial(t.AppendIndices, ('NDVI', 'EVI'), BANDS), changes='sizes'),
    Case(partial(t.BandDropout, p=0.7), within=(0, 1)),
    Case(partial(t.BandDropout, fill='mean', reach=0.1, bands=WAVELENGTHS, p=0.7), within=(0, 1)),
    Case(partial(t.BrightnessTemperature, SENSOR), within=(0, 400)),
    Case(partial(t.ContinuumRemoval, WAVELENGTHS), within=(0, 1.001)),
    Case(partial(t.Degrade, 2), changes='sizes labels valid invalid', within=(0, 1)),
    Case(t.ClassMix, 'batch pairs', 'labels valid invalid', within=(0, 1), moves=True),
    Case(t.CutMix, 'batch pairs', 'labels valid invalid', within=(0, 1), moves=True),
    Case(t.EncodeDayOfYear, 'pair pairs', adds='doy_encoding'),
    Case(t.FillGaps, 'pair pairs', 'valid invalid', adds='mask_filled', dates=5, within=(0, 1)),
    Case(t.HarmonicCoefficients, 'pair pairs', 'sizes valid invalid', dates=8),
    Case(t.HarmonicFill, 'pair pairs', 'valid invalid', adds='mask_filled', dates=8),
    Case(partial(t.Misregister, 2.0, 5.0, 0.1), 'pair pairs', 'valid', within=(0, 1)),
    Case(partial(t.MaskBands, [(0.5, 0.6)], bands=WAVELENGTHS), within=(0, 1)),
    Case(t.MisregisterBands, changes='valid', within=(0, 1)),
    Case(partial(t.SeasonalMix, p=0.7), 'pair pairs', within=(0, 1)),
    Case(partial(t.SeasonalMix, 'blend', p=0.7), 'pair pairs', within=(0, 1)),
    Case(partial(t.SimulateChange, area=(0.05, 0.3)), 'pair pairs', 'labels'),
    Case(partial(t.SimulateClouds, p=0.7), adds='mask_cloud', within=(0, 1)),
    Case(partial(t.SimulateClouds, hide=True), changes='valid', adds='mask_cloud', within=(0, 1)),
    Case(partial(t.SimulateSeason, p=0.7)),
    Case(t.TemporalComposite, 'pair pairs', 'sizes valid invalid', dates=5, within=(0, 1)),
    Case(partial(t.TemporalComposite, 'medoid'), 'pair pairs', 'sizes valid invalid', 'mask_date'),
    Case(
        partial(t.TemporalComposite, 'max_ndvi'), 'pair pairs', 'sizes valid invalid', 'mask_date'
    ),
    Case(t.FromDecibel, within=(1, 1.26)),
    Case(partial(t.Haze, bands=WAVELENGTHS, p=0.7), within=(0, 1)),
    Case(partial(t.KorniaSequential, *FLIPS), 'image batch pairs', MOVED, moves=True),
    Case(partial(t.KorniaSequential, *FLIPS, series=True), 'pair pairs', MOVED, moves=True),
    Case(partial(t.LogScale, 0.1), within=(0, 2.4)),
    Case(partial(t.MinMaxScale, [0.1], [0.9]), within=(0, 1)),
    Case(partial(t.MissingLines, period=8.0, p=0.9), changes='valid', within=(0, 1)),
    Case(t.PercentileScale, within=(0, 1)),
    Case(partial(t.RadianceToReflectance, [1957.0, 1826.0, 1554.0, 1036.0], 45.0)),
    Case(partial(t.Rescale, [0.5, 1.0, 2.0, 4.0], [0.1]), within=(0.1, 4.1)),
    Case(partial(t.SavitzkyGolay, 3, 1, bands=WAVELENGTHS), within=(-1, 2)),
    Case(partial(t.ScatterCorrection, [0.1, 0.4, 0.2, 0.6])),
    Case(
        partial(t.SelectByWavelength, [0.66, 0.56], source=WAVELENGTHS),
        changes='sizes invalid',
        within=(0, 1),
    ),
    Case(partial(t.SensorNoise, p=0.7), within=(-1, 2), noisy=True),
    Case(partial(t.Speckle, p=0.7), within=(0, 50), noisy=True),
    Case(partial(t.Speckle, form='decibel', p=0.7), noisy=True),
    Case(partial(t.SpectralDerivative, bands=WAVELENGTHS)),
    Case(partial(t.SpectralJitter, bands=WAVELENGTHS, p=0.7), within=(-1, 2)),
    Case(
        partial(t.SpectralResample, [0.5, 0.55, 0.68], WAVELENGTHS),
        changes='sizes invalid',
        within=(0, 1),
    ),
    Case(t.StandardNormalVariate, within=(-2, 2)),
    Case(
        partial(t.AsPretrained, Preprocessing('other', clip=True, mean=(0.5,), std=(0.2,))),
        within=(-2.5, 2.5),
    ),
    Case(partial(t.Standardise, [0.5], [0.2]), within=(-2.5, 2.5)),
    Case(partial(t.Striping, p=0.7), within=(-1, 2)),
    Case(t.ToDecibel, within=(-50, 0)),
    Case(partial(t.ToPhysical, SENSOR), within=(-0.1, 1.9)),
]


def exported() -> Iterable[str]:
    for name in t.__all__:
        content = getattr(t, name)
        if isinstance(content, type) and issubclass(content, torch.nn.Module):
            yield name


def sample_of(form: str, dates: int = 2, nodata: float = NODATA, **options):
    """A sample with labels, gaps and everything a dataset may add."""
    generator = torch.Generator().manual_seed(7)
    leading = tuple(size or dates for size in FORMS[form])
    series = None in FORMS[form]
    batch = leading[: len(leading) - series]
    image = torch.rand(*leading, len(BANDS), HEIGHT, WIDTH, generator=generator, **options)
    valid = torch.rand(*leading, HEIGHT, WIDTH, generator=generator) > 0.2
    labels = (*batch, 1, HEIGHT, WIDTH) if series else (*batch, HEIGHT, WIDTH)
    sample = {
        'image': torch.where(valid.unsqueeze(-3), image * 0.99 + 0.01, nodata),
        'mask': torch.randint(-1, 4, labels, generator=generator),
        'mask_valid': valid,
        'wavelengths': torch.tensor(WAVELENGTHS).expand(*batch, -1),
        'bounds': torch.arange(9.0).expand(*batch, -1),
        'place': 'Para' if not batch else ['Para'] * batch[0],
    }
    if series:
        doy = torch.linspace(30, 300, dates).expand(*batch, -1)
        sample |= {'doy': doy, 'seconds': doy.double() * 86400, 'gap': torch.zeros_like(doy) > 0}
    return sample


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    return one == other


def pixelwise(mask, sample):
    """A mask of all images, shaped to go with all their channels."""
    image = sample['image']
    return mask.reshape(image[..., :1, :, :].shape).expand(image.shape)


def run(case, sample, seed=1, **options):
    torch.manual_seed(seed)
    return case.make(**options)(sample)


def is_random(case):
    """Whether a transform draws numbers at all."""
    run(case, sample_of(case.forms.split()[0], case.dates))
    after = torch.random.get_rng_state()
    torch.manual_seed(1)
    return not torch.equal(after, torch.random.get_rng_state())


def each_form(case, **options):
    """The samples a transform takes, by the name of their form."""
    for form in case.forms.split():
        yield form, sample_of(form, case.dates, **options)


def cases(wanted=lambda case: True):
    chosen = [case for case in CASES if wanted(case)]
    return pytest.mark.parametrize('case', chosen, ids=lambda case: case.name)


def takes(case, argument):
    return argument in inspect.signature(getattr(case.make, 'func', case.make)).parameters


def test_every_transform_has_a_case():
    assert set(exported()) == {case.name for case in CASES}


@cases()
def test_form_stays(case):
    for dtype in (torch.float32, torch.float64):
        for form, before in each_form(case, dtype=dtype):
            after = run(case, before)
            image, mask, valid = after['image'], after['mask'], after['mask_valid']
            assert image.dtype == dtype, form
            assert mask.dtype == torch.int64, form
            assert valid.dtype == torch.bool, form
            assert valid.shape == image.shape[:-3] + image.shape[-2:], form
            assert mask.shape == before['mask'].shape[:-2] + image.shape[-2:], form
            assert 'sizes' in case.changes or image.shape == before['image'].shape, form
            assert set(after) == {*before, *case.adds.split()}, form


@cases()
def test_nothing_else_changes(case):
    changes = case.changes.split()
    free = {'image', *case.adds.split()}
    free |= {'mask'} if 'labels' in changes else set()
    free |= {'mask_valid'} if 'valid' in changes else set()
    free |= {'wavelengths', 'bounds'} if 'sizes' in changes else set()
    for form, sample in each_form(case):
        given = copy.deepcopy(sample)
        after = run(case, sample)
        assert after is not sample, form
        assert [key for key in given if not same(sample[key], given[key])] == [], form
        assert [key for key in {*given} - free if not same(after[key], given[key])] == [], form


@cases()
def test_range(case):
    for form, sample in each_form(case):
        after = run(case, sample)
        values = after['image'][pixelwise(after['mask_valid'], after)]
        low, high = case.within
        assert ((values >= low) & (values <= high)).all(), form


@cases(lambda case: 'invalid' not in case.changes.split())
def test_invalid_pixels_stay(case):
    for form, before in each_form(case):
        after = run(case, before)
        invalid = pixelwise(~before['mask_valid'], before)
        shared = after['image'][..., : len(BANDS), :, :]
        assert torch.equal(shared[invalid], before['image'][invalid]), form
        assert not (after['mask_valid'] & ~before['mask_valid']).any(), form


@cases()
def test_nan_does_not_spread(case):
    for form, sample in each_form(case, nodata=float('nan')):
        sample['image'].requires_grad_()
        after = run(case, sample)
        values = after['image'][pixelwise(after['mask_valid'], after)]
        assert values.isfinite().all(), form
        if values.requires_grad:
            values.sum().backward()
            assert sample['image'].grad.isfinite().all(), form


@cases()
def test_chance_follows_the_seed(case):
    for form, sample in each_form(case):
        one, again = run(case, sample), run(case, sample)
        assert all(same(one[key], again[key]) for key in one), form
        others = (run(case, sample, seed) for seed in range(2, 12))
        differs = any(not same(one['image'], other['image']) for other in others)
        assert differs == is_random(case), form


@cases(lambda case: takes(case, 'p'))
def test_what_a_sample_holds_does_not_hang_on_chance(case):
    for form, sample in each_form(case):
        del sample['mask_valid']
        assert set(run(case, sample, p=0)) == set(run(case, sample, p=1)), form


@cases(lambda case: case.differentiable)
def test_gradient(case):
    *_, (_, sample) = each_form(case)
    sample['image'].requires_grad_()
    (run(case, sample)['image'] ** 2).sum().backward()
    gradient = sample['image'].grad
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.2


@cases()
def test_copies_do_the_same(case):
    *_, (_, sample) = each_form(case)
    transform = case.make()
    results = []
    for each in (transform, copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        torch.manual_seed(1)
        results.append(each(sample)['image'])
    assert same(results[0], results[1])
    assert same(results[0], results[2])


@cases(lambda case: not is_random(case))
def test_a_batch_is_its_samples(case):
    taken = case.forms.split()
    for one, many in (('image', 'batch'), ('pair', 'pairs')):
        batch = sample_of(many, case.dates)
        for i in range(len(batch['image'])) if {one, many} <= {*taken} else ():
            alone = run(case, {key: value[i] for key, value in batch.items()})
            for key in ('image', 'mask', 'mask_valid'):
                together = run(case, batch)[key][i]
                torch.testing.assert_close(together, alone[key], rtol=1e-5, atol=1e-6)


@cases()
def test_bare_image(case):
    *_, (_, sample) = each_form(case, nodata=0.5)
    if case.make().needs_sample:
        with pytest.raises(BadInput, match='whole sample'):
            run(case, sample['image'])
    else:
        expected = run(case, {'image': sample['image']})['image']
        assert same(run(case, sample['image']), expected)


@cases(lambda case: takes(case, 'same_on_time') and not case.noisy)
def test_dates_share_parameters_if_asked(case):
    image = sample_of('pairs', dates=3)['image'][:, :1].expand(-1, 3, -1, -1, -1)
    for one_series in (False, True):
        sample = {'image': image[0] if one_series else image}
        shared = run(case, sample, same_on_time=True)['image']
        assert same(shared, shared[..., :1, :, :, :].expand_as(shared))
        own = [run(case, sample, seed, same_on_time=False)['image'] for seed in range(8)]
        differ = any(not same(each, each[..., :1, :, :, :].expand_as(each)) for each in own)
        assert differ == is_random(case)


@cases(lambda case: case.moves)
def test_pixels_and_masks_move_together(case):
    for _, sample in each_form(case):
        labels, valid = sample['mask'], sample['mask_valid']
        spread = labels.expand(valid.shape)
        sample['image'] = spread.unsqueeze(-3).expand(sample['image'].shape).float()
        sample['mask_valid'] = spread > 0
        results = [run(case, sample, seed) for seed in range(6)]
        for after in results:
            told = after['mask'].expand(valid.shape)
            assert torch.equal(after['mask_valid'], told > 0)
            expected = told.unsqueeze(-3).expand(sample['image'].shape).float()
            seen = pixelwise(after['mask_valid'], after)
            torch.testing.assert_close(after['image'][seen], expected[seen])
        assert any(not same(after['mask'], labels) for after in results)
