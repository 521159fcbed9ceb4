"""Patches per second of every transform, beside kornia's RandomGaussianNoise on the same images.

python tests/benchmarks/bench_transforms.py [--quick]

A patch is one image (c, h, w); a series of eight dates counts as eight. A ratio of 0.5 means half
as many patches per second as kornia's noise. One thread, because a data loader's worker has one.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from torchgeo_ext import transforms as t
from torchgeo_ext.sensors import Sensor, SensorBand

BANDS = ('blue', 'green', 'red', 'nir', 'swir16', 'swir22')
WAVELENGTHS = [0.49, 0.56, 0.665, 0.842, 1.61, 2.19]
THERMAL = Sensor(
    'made up', '', 'toa_radiance', tuple(SensorBand(b, planck=(607.76, 1260.56)) for b in BANDS)
)
SUN = [1957.0, 1826.0, 1554.0, 1036.0, 245.0, 79.7]

#: Looked at image by image, with p = 1 where chance has a say.
IMAGES: dict[str, Callable[[], nn.Module]] = {
    'AppendIndices NDVI': partial(t.AppendIndices, ('NDVI',), BANDS),
    'BandDropout': partial(t.BandDropout, p=1.0),
    'BrightnessTemperature': partial(t.BrightnessTemperature, THERMAL),
    'ClassMix': partial(t.ClassMix, p=1.0),
    'CutMix': partial(t.CutMix, p=1.0),
    'Degrade': partial(t.Degrade, 2),
    'FromDecibel': t.FromDecibel,
    'Haze': partial(t.Haze, bands=WAVELENGTHS, p=1.0),
    'KorniaSequential flips': partial(
        t.KorniaSequential, K.RandomHorizontalFlip(p=1.0), K.RandomVerticalFlip(p=1.0)
    ),
    'LogScale': t.LogScale,
    'MinMaxScale': partial(t.MinMaxScale, [0.1], [0.9]),
    'MisregisterBands': partial(t.MisregisterBands, p=1.0),
    'MissingLines': partial(t.MissingLines, p=1.0),
    'PercentileScale': t.PercentileScale,
    'RadianceToReflectance': partial(t.RadianceToReflectance, SUN, 45.0),
    'Rescale': partial(t.Rescale, [0.5], [0.1]),
    'SensorNoise': partial(t.SensorNoise, p=1.0),
    'SimulateClouds': partial(t.SimulateClouds, bands=WAVELENGTHS, p=1.0),
    'Speckle': partial(t.Speckle, p=1.0),
    'SpectralJitter': partial(t.SpectralJitter, bands=WAVELENGTHS, p=1.0),
    'Standardise': partial(t.Standardise, [0.5], [0.2]),
    'Striping': partial(t.Striping, p=1.0),
    'ToDecibel': t.ToDecibel,
    'ToPhysical': partial(t.ToPhysical, THERMAL),
}
#: Looked at across dates.
SERIES: dict[str, Callable[[], nn.Module]] = {
    'EncodeDayOfYear': t.EncodeDayOfYear,
    'FillGaps linear': t.FillGaps,
    'HarmonicCoefficients': t.HarmonicCoefficients,
    'HarmonicFill': t.HarmonicFill,
    'Misregister': partial(t.Misregister, p=1.0),
    'SeasonalMix exchange': partial(t.SeasonalMix, p=1.0),
    'SeasonalMix blend': partial(t.SeasonalMix, 'blend', p=1.0),
    'TemporalComposite median': t.TemporalComposite,
    'TemporalComposite max_ndvi': partial(t.TemporalComposite, 'max_ndvi', BANDS),
    'TemporalComposite medoid': partial(t.TemporalComposite, 'medoid'),
}


def make_sample(batch: int, dates: int | None, size: int) -> dict[str, Any]:
    """Make a batch of images, or of series, with a fifth of invalid pixels."""
    generator = torch.Generator().manual_seed(0)
    leading = (batch,) if dates is None else (batch, dates)
    sample = {
        'image': torch.rand(*leading, len(BANDS), size, size, generator=generator),
        'mask_valid': torch.rand(*leading, size, size, generator=generator) > 0.2,
        'mask': torch.randint(-1, 5, (batch, size, size), generator=generator),
        'wavelengths': torch.tensor(WAVELENGTHS).expand(batch, -1),
    }
    if dates is not None:
        doy = torch.linspace(20, 340, dates).expand(batch, -1)
        sample |= {'doy': doy, 'seconds': doy.double() * 86400}
    return sample


def patches_per_second(run: Callable[[], Any], patches: int, repeats: int) -> float:
    """Time a call after one to warm up; the median over repeats."""
    run()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return patches / statistics.median(seconds)


def compare(
    title: str, transforms: dict[str, Callable[[], nn.Module]], sample: dict[str, Any], repeats: int
) -> None:
    """Print a table of all transforms on one sample."""
    image: Tensor = sample['image']
    images = image.flatten(0, -4)
    noise = K.RandomGaussianNoise(p=1.0)
    base = patches_per_second(lambda: noise(images), len(images), repeats)
    print(f'{title} {tuple(image.shape)}')
    print(f'  {"kornia RandomGaussianNoise":<28}{base:10.0f} patches/s {1:8.2f} x')
    for name, make in transforms.items():
        speed = patches_per_second(partial(make(), sample), len(images), repeats)
        print(f'  {name:<28}{speed:10.0f} patches/s {speed / base:8.2f} x')


def main() -> None:
    """Print one table for images and one for series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='small patches, few repeats')
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    size, repeats = (64, 3) if quick else (256, 7)
    compare('Images', IMAGES, make_sample(16, None, size), repeats)
    compare('Series', SERIES, make_sample(2, 8, size), repeats)


if __name__ == '__main__':
    main()
