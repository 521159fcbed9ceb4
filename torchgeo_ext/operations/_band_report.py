"""Writes how good the bands of a cube are."""

import math
from pathlib import Path

import numpy as np

from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.inference.spectral.quality import BandQuality, Quality
from torchgeo_ext.operations._cube import ranges
from torchgeo_ext.operations._operation import StrPath
from torchgeo_ext.operations._profiles import matrix, profiles
from torchgeo_ext.operations._tables import Table, write_table
from torchgeo_ext.staging import staged
from torchgeo_ext.tasks._page import page, sentences, table

_HEADER = (
    'band', 'wavelength (nm)', 'verdict', 'valid share', 'mean', 'std', 'minimum', 'maximum',
    'noise', 'SNR', 'correlation with neighbours',
)  # fmt: skip
_NOTES = (
    'Noise is what a regression of a band on all other bands cannot explain (standard deviation). '
    'It is told where there are at least ten pixels for each band.',
    'SNR is the mean divided by the noise, over all pixels of the image; it depends on how bright '
    'the scene is, so compare sensors on like scenes.',
    'Lines are of the good bands. Grey: water vapour.',
)
_BLUE, _GREEN = '#4477aa', '#228833'


def write_report(path: StrPath, cube: Cube, found: Quality) -> None:
    """Write a page.

    Args:
        path: The page.
        cube: The bands.
        found: How good they are.
    """
    good = np.array([band.verdict == 'good' for band in found.bands])
    nothing = np.full(len(good), np.nan)
    mean = np.where(good, [band.summary.mean for band in found.bands], nothing)
    ends = [
        np.where(good, [b.summary.quantiles.get(q, math.nan) for b in found.bands], nothing)
        for q in (0.02, 0.98)
    ]
    snr = np.where(good, [band.snr for band in found.bands], nothing)
    lead = f'{Path(cube.source.path).name}: {int(good.sum())} of {len(good)} bands are good.'
    sections = {
        'Spectral profile': profiles(
            cube, mean[None], ['mean'], [_BLUE], label='mean, 2 % to 98 %',
            spread=(ends[0], ends[1]),
        ),
        'Signal-to-noise ratio': profiles(cube, snr[None], ['SNR'], [_GREEN], label='SNR'),
        'Bad bands': sentences(_bad(found)) if not good.all() else '<p>None.</p>',
        'Correlation of the bands': matrix(cube, found.correlation),
        'Bands': table([_HEADER, *(_row(band) for band in found.bands)]),
        'What to know': sentences(_NOTES),
    }  # fmt: skip
    if not good.any():
        del sections['Spectral profile'], sections['Signal-to-noise ratio']
    with staged(path, 'report') as part:
        part.write_text(page('Bands', lead, sections), encoding='utf-8')


def write_rows(path: StrPath, found: Quality) -> None:
    """Write the table of the bands as CSV; what is not known is empty."""
    write_table(path, Table('Bands', _HEADER, [_row(band) for band in found.bands]), 'table')


def _bad(found: Quality) -> list[str]:
    reasons: dict[str, list[int]] = {}
    for band in found.bands:
        reasons.setdefault(band.verdict, []).append(band.number)
    return [f'{why}: {ranges(them)}' for why, them in reasons.items() if why != 'good']


def _row(band: BandQuality) -> tuple[str, ...]:
    summary = band.summary
    numbers = (
        band.valid, summary.mean, summary.std, summary.minimum, summary.maximum, band.noise,
        band.snr, band.correlation,
    )  # fmt: skip
    centre = '' if math.isnan(band.wavelength) else f'{band.wavelength * 1000:.6g}'
    told = ('' if math.isnan(number) else f'{number:.6g}' for number in numbers)
    return (str(band.number), centre, band.verdict, *told)
