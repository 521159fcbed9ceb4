"""Spectral indices by name, from bands known by name, role or wavelength.

Formulas are those of the Awesome Spectral Indices catalogue (https://doi.org/10.1038/s41597-023-02096-0)
as the library spyndex carries it; they are read as arithmetic, never evaluated as Python.
"""

import ast
import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._bands import (
    Bands,
    centre_wavelengths,
    count_bands,
    positions,
    shared_wavelengths,
)
from torchgeo_ext.transforms._base import Sample, SampleTransform, fold_valid
from torchgeo_ext.transforms._formula import evaluate, parse, read_letters

#: Polarisations that radar indices are made of; spyndex's table of bands has optical ones only.
_POLARISATIONS = ('HH', 'HV', 'VH', 'VV')
_KERNEL = re.compile(r'k([A-Z])([A-Z])')
#: Bands of formulas of one's own: ``nm865`` or ``nm865_2``.
_WAVELENGTH = re.compile(r'nm(\d+(?:_\d+)?)')


class AppendIndices(SampleTransform):
    """Append spectral indices as channels.

    Most formulas want reflectance from 0 to 1 (see :class:`ToPhysical`); normalised differences
    also do with numbers proportional to it. Appended channels are 0 at invalid pixels and their
    ``wavelengths`` are NaN.

    Example:
        >>> append = AppendIndices(['NDVI', 'SAVI'], bands=['red', 'nir'], constants={'L': 0.5})
        >>> append(torch.rand(8, 2, 64, 64)).shape
        torch.Size([8, 4, 64, 64])

    Args:
        indices: Names in the catalogue, for instance ``NDVI``, or formulas (see
            :func:`find_index`).
        bands: Bands of the image: a sensor or its name, or names, roles or centre wavelengths in
            micrometres. By default the ``wavelengths`` of the sample tell.
        constants: Values for the letters of formulas that are not bands, such as ``L`` of SAVI;
            the others have the catalogue's defaults.

    Raises:
        BadParameter: If there is no such index or constant, or a band it needs is missing.
    """

    def __init__(
        self,
        indices: Sequence[str],
        bands: Bands | None = None,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.indices = tuple(indices)
        self.bands = bands
        self.constants = dict(constants or {})
        for name in self.indices:
            index = find_index(name)
            if bands is not None:
                _resolve(index, bands, self.constants)

    def transform(self, sample: Sample) -> Sample:
        """Append the indices to the image, and NaN to the wavelengths."""
        image = sample['image']
        bands = shared_wavelengths('AppendIndices', sample) if self.bands is None else self.bands
        pixels, valid = image, fold_valid(sample)
        if valid is not None:
            valid = valid.reshape(image[..., :1, :, :].shape)
            # what is missing may be NaN, which would spoil gradients even where it is not used
            pixels = torch.where(valid, image, 0)
        appended = torch.stack(
            [compute_index(name, pixels, bands, self.constants) for name in self.indices], dim=-3
        )
        if valid is not None:
            appended = torch.where(valid, appended, 0)
        sample['image'] = torch.cat((image, appended), dim=-3)
        if (wavelengths := sample.get('wavelengths')) is not None:
            unknown = wavelengths.new_full((*wavelengths.shape[:-1], len(self.indices)), math.nan)
            sample['wavelengths'] = torch.cat((wavelengths, unknown), dim=-1)
        return sample


def compute_index(
    index: str, image: Tensor, bands: Bands, constants: Mapping[str, float] | None = None
) -> Tensor:
    """Compute a spectral index.

    Differentiable. Where a denominator is 0, or a fractional power is taken of a negative number,
    that term and its gradient are 0.

    Args:
        index: Name in the catalogue, for instance ``NDVI``, or a formula (see
            :func:`find_index`).
        image: (..., c, h, w) reflectance (backscatter for radar indices).
        bands: Bands of the image: a sensor or its name, or names, roles or centre wavelengths in
            micrometres.
        constants: Values for the letters of the formula that are not bands. Kernel indices use the
            RBF kernel of length ``sigma``.

    Returns:
        (..., h, w) index.

    Raises:
        BadParameter: If there is no such index or constant, or a band it needs is missing.
        BadInput: If the image has fewer channels than bands were named; it may have more behind.
    """
    resolved = resolve_index(index, bands, constants)
    if image.shape[-3] < count_bands(bands):
        raise BadInput(
            f'The image has {image.shape[-3]} channels, but {count_bands(bands)} bands were named.',
            'Name the bands of the image in its order.',
        )
    return resolved.compute(image[..., list(resolved.channels), :, :])


@dataclasses.dataclass(frozen=True)
class ResolvedIndex:
    """A spectral index, and what its letters stand for in some image.

    Attributes:
        index: The index.
        channels: Positions of the bands that it needs among those of the image.
        letters: What the formula calls them, in the same order.
        values: Values of the letters that are no bands.
    """

    index: 'SpectralIndex'
    channels: tuple[int, ...]
    letters: tuple[str, ...]
    values: Mapping[str, float]

    def compute(self, image: Tensor) -> Tensor:
        """Compute the index, (..., h, w), of an image that has just its bands (..., c, h, w)."""
        known: dict[str, Tensor | float] = dict(self.values)
        known |= dict(zip(self.letters, image.unbind(-3), strict=True))
        for kernel in (letter for letter in self.index.letters if _KERNEL.fullmatch(letter)):
            known[kernel] = _rbf(known[kernel[1]], known[kernel[2]], known['sigma'])
        result = torch.as_tensor(evaluate(self.index.formula, known))
        return result.to(image).expand(image.shape[:-3] + image.shape[-2:])


def resolve_index(
    index: str, bands: Bands, constants: Mapping[str, float] | None = None
) -> ResolvedIndex:
    """Find the bands and constants that a spectral index needs, see :func:`compute_index`.

    Raises:
        BadParameter: If there is no such index or constant, or a band it needs is missing.
    """
    found = find_index(index)
    channels, values = _resolve(found, bands, constants or {})
    return ResolvedIndex(found, tuple(channels.values()), tuple(channels), values)


@dataclasses.dataclass(frozen=True)
class SpectralIndex:
    """An entry of the catalogue.

    Attributes:
        name: Short name, for instance ``NDVI``.
        title: Long name.
        domain: What it is for: vegetation, water, burn, snow, soil, urban, clouds, radar, kernel.
        text: The formula.
        letters: Bands and constants of the formula.
        reference: Where it was published.
    """

    name: str
    title: str
    domain: str
    text: str
    letters: tuple[str, ...]
    reference: str

    @functools.cached_property
    def formula(self) -> ast.expr:
        """The formula, taken apart."""
        return parse(self.text)


def find_index(name: str) -> SpectralIndex:
    """Look up a spectral index, or read a formula.

    Formulas are arithmetic (``+ - * / **`` and brackets) with ``sqrt``, ``exp``, ``log``, ``abs``,
    ``minimum`` and ``maximum`` of numbers, bands and the catalogue's constants, for instance
    ``(nir - red) / (nir + red)``. Bands are called by roles, by the catalogue's letters (``N``,
    ``R``), or by wavelengths in nanometres (``nm865``).

    Raises:
        BadParameter: If there is none; the message names near matches.
    """
    known = catalogue()
    if name in known:
        return known[name]
    if not re.fullmatch(r'\w+', name.strip()):
        return SpectralIndex(name, name, 'formula', name, read_letters(name), '')
    by_letters = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_letters, n=3, cutoff=0.5)
    raise BadParameter(
        f'No spectral index is called {name!r}.',
        f'Did you mean {" or ".join(by_letters[each] for each in near)}?'
        if near
        else 'All are listed at https://github.com/awesome-spectral-indices/spyndex.',
    )


@functools.cache
def catalogue() -> Mapping[str, SpectralIndex]:
    """All spectral indices by name."""
    return {
        name: SpectralIndex(
            name,
            entry.long_name,
            entry.application_domain,
            entry.formula,
            tuple(entry.bands),
            entry.reference,
        )
        for name, entry in _spyndex().indices.items()
    }


def computable_indices(bands: Bands) -> tuple[str, ...]:
    """Name the indices that can be computed from bands, constants being those of the catalogue."""
    names = []
    for name, index in catalogue().items():
        try:
            _resolve(index, bands, {})
        except BadParameter:
            continue
        names.append(name)
    return tuple(names)


def _spyndex() -> Any:
    # not at the top: it imports pandas and requests
    import spyndex

    return spyndex


def _resolve(
    index: SpectralIndex, bands: Bands, constants: Mapping[str, float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Find what the letters of a formula stand for: positions of bands, and numbers."""
    table = _spyndex()
    for name in constants:
        if name not in table.constants:
            raise BadParameter(
                f'constants: no formula has {name!r}; there are {", ".join(table.constants)}.'
            )
    letters = dict.fromkeys(index.letters)
    for kernel in filter(None, map(_KERNEL.fullmatch, index.letters)):
        letters |= dict.fromkeys((*kernel.groups(), 'sigma'))
        del letters[kernel.group()]
    channels, values = {}, {}
    for letter in letters:
        if letter in table.constants:
            values[letter] = _constant(index, letter, bands, constants)
        else:
            channels[letter] = _channel(index, letter, bands)
    return channels, values


def _constant(
    index: SpectralIndex, letter: str, bands: Bands, constants: Mapping[str, float]
) -> float:
    entry = _spyndex().constants[letter]
    if letter in constants:
        return float(constants[letter])
    if entry.default is not None:
        return float(entry.default)
    if letter.startswith('lambda'):
        nanometres = (
            centre_wavelengths(bands)[_channel(index, letter.removeprefix('lambda'), bands)] * 1000
        )
        if not math.isnan(nanometres):
            return nanometres
    raise BadParameter(
        f'{index.name} needs a value for {letter}: {entry.description}.',
        f'Give constants={{{letter!r}: ...}}.',
    )


def _channel(index: SpectralIndex, letter: str, bands: Bands) -> int:
    """Position of the band that a formula calls by a letter, a role or a wavelength."""
    if not isinstance(bands, str) and isinstance(bands, Sequence) and letter in bands:
        return list(bands).index(letter)
    role: str | float
    if letter in _POLARISATIONS:
        role, words = letter, 'polarisation'
    elif nanometres := _WAVELENGTH.fullmatch(letter):
        role, words = float(nanometres[1].replace('_', '.')) / 1000, 'its wavelength'
    elif letter not in _spyndex().bands:
        role, words = letter, 'its role'
    else:
        entry = _spyndex().bands[letter]
        role = entry.common_name
        words = f'{entry.long_name}, {entry.min_wavelength} to {entry.max_wavelength} nm'
    try:
        return positions([role], bands)[0]
    except BadParameter as error:
        raise BadParameter(
            f'{index.name} needs the band {role} ({letter}: {words}). {error.message}', error.hint
        ) from error


def _rbf(a: Tensor | float, b: Tensor | float, sigma: float | Tensor) -> Tensor:
    """Radial basis function kernel: exp(-(a - b)² / (2 σ²))."""
    return torch.exp(-(torch.as_tensor(a - b) ** 2) / (2 * sigma**2))
