"""Spectra of known things, from a library or from places on the image, on the bands of a cube."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.datasets._classes import LabelClass, make_classes
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.operations._cube import ranges
from torchgeo_ext.operations._examples import read_examples
from torchgeo_ext.sensors import SpectralLibrary, read_library
from torchgeo_ext.transforms._response import response_matrix

log = logging.getLogger(__name__)

#: A library whose spectra are so many times brighter or darker than the image has other units.
_SPREAD = 20
#: A band of the image counts if the library covers so much of its response.
_COVERED = 0.5
#: Pixels of the image that are compared with the library.
_LOOK = 256


class Known(NamedTuple):
    """Known spectra.

    Attributes:
        cube: The bands of the image that all spectra have.
        spectra: Values (n, c) in the units of the image.
        classes: Position in the legend of each (n).
        legend: The classes, or the spectra themselves if they have none.
        places: Column and row (n, 2) of the middle of the example a spectrum belongs to; None for
            those of a library.
    """

    cube: Cube
    spectra: NDArray[np.float64]
    classes: NDArray[np.intp]
    legend: tuple[LabelClass, ...]
    places: NDArray[np.float64] | None

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean spectrum (c, k) of each class."""
        return np.stack(
            [self.spectra[self.classes == k].mean(0) for k in range(len(self.legend))], axis=1
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(entry.name for entry in self.legend)


class LibraryChoice(NamedTuple):
    """What the user wants of a library; arguments of operations by the same names.

    Attributes:
        path: The library.
        field: Its field with the class of each spectrum; None if each is one for itself.
        names: Names of the spectra to use, separated by commas; None for all.
        scale: Factor from values of the library to those of the image.
    """

    path: Any
    field: str | None = None
    names: str | None = None
    scale: float = 1.0


def known_spectra(
    cube: Cube, library: LibraryChoice, examples: Any, class_field: str | None, *, fewest: int = 1
) -> Known:
    """Read known spectra.

    Args:
        cube: The bands to use of the image.
        library: The library, if its path is not None.
        examples: Else places on the image.
        class_field: Their field with the class.
        fewest: Classes there must be.

    Raises:
        BadInput: If they cannot be read or brought to the bands of the image.
        BadParameter: If fields or names do not exist, or belong to what is not given.
    """
    if library.path is None:
        _check_unused({'library_field': library.field, 'spectra': library.names}, 'library')
        found = read_examples(str(examples), class_field, cube.source, cube.grid, fewest)
        spectra = found.features.astype(np.float64)
        return Known(cube, spectra, found.classes, found.legend, found.places)
    _check_unused({'class_field': class_field}, 'examples')
    chosen = read_library(library.path)
    if library.names is not None:
        words = [word.strip() for word in library.names.split(',') if word.strip()]
        chosen = chosen.select(words, 'spectra')
    titles = _titles(chosen, library.field)
    words = list(dict.fromkeys(titles))
    if len(words) < fewest:
        raise BadInput(
            f'library: {library.path} has {len(words)} classes, but at least {fewest} are needed.',
            'Name the field with the classes in library_field.',
        )
    legend = make_classes(range(1, len(words) + 1), dict(enumerate(words, 1)))
    classes = np.array([words.index(title) for title in titles], np.intp)
    fitted, spectra = _on_bands(chosen, cube)
    spectra = spectra * library.scale
    _warn_of_units(fitted, spectra)
    return Known(fitted, spectra, classes, legend, None)


def _check_unused(given: dict[str, Any], other: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise BadParameter(
                f'{name} is {value!r}, but there is no {other} that it could belong to.',
                f'Leave it out, or give {other}.',
            )


def _titles(library: SpectralLibrary, field: str | None) -> Sequence[str]:
    if field is not None:
        return library.classes(field, 'library_field')
    names = library.names
    doubled = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if doubled:
        log.warning(
            'library: several spectra are called %s; they count as one class', ', '.join(doubled)
        )
    return names


def _on_bands(library: SpectralLibrary, cube: Cube) -> tuple[Cube, NDArray[np.float64]]:
    """Bring spectra to the bands of a cube; those that they do not cover are left out."""
    missing = np.isnan(library.spectra).any(0)
    if not library.bands.order or not cube.bands.order:
        return cube, _by_number(library, missing, cube)
    good = tuple(flag and not gone for flag, gone in zip(library.bands.good, missing, strict=True))
    seen = cube.select(sorted(cube.bands.order))
    usable = dataclasses.replace(library.bands, good=good)
    weights, coverage = response_matrix(usable, seen.bands)
    kept = np.flatnonzero(coverage >= _COVERED).tolist()
    if not kept:
        raise BadInput(
            f'library: {library.source} covers no band of {cube.source.path}.',
            'Choose a library of the same part of the spectrum, and check its wavelengths.',
        )
    if len(kept) < len(cube.bands):
        numbers = cube.source.bands or ()
        used = {(seen.source.bands or ())[i] for i in kept}
        log.warning(
            'library: %s does not cover the bands %s, which are left out',
            library.source, ranges([number for number in numbers if number not in used]),
        )  # fmt: skip
    return seen.select(kept), np.nan_to_num(library.spectra) @ weights[kept].T


def _by_number(
    library: SpectralLibrary, missing: NDArray[np.bool_], cube: Cube
) -> NDArray[np.float64]:
    """Take the bands of a library by their order, where wavelengths are not known."""
    with cube.source.open(cube.grid) as reader:
        count = reader.dataset.count
    numbers = np.array(cube.source.bands) - 1
    if len(library.bands) == len(cube.bands):
        numbers = np.arange(len(cube.bands))
    elif len(library.bands) != count:
        raise BadInput(
            f'library: {library.source} has {len(library.bands)} bands and {cube.source.path} '
            f'{count}, and not for both of them wavelengths are known.',
            'Give the wavelengths of the image with wavelengths, or a library with wavelengths.',
        )
    if missing[numbers].any():
        raise BadInput(f'library: {library.source} lacks values in bands that are used.')
    return library.spectra[:, numbers]


def _warn_of_units(cube: Cube, spectra: NDArray[np.float64]) -> None:
    """Say so if library and image cannot be of the same units."""
    windows = list(cube.grid.windows(_LOOK))
    with cube.source.open(cube.grid) as reader:
        values, valid = reader.read(windows[len(windows) // 2])
    if not valid.any():
        return
    image, library = (float(np.median(np.abs(v))) for v in (values[:, valid], spectra))
    if image > 0 and not 1 / _SPREAD < library / image < _SPREAD:
        log.warning(
            'library: its values are about %.3g, those of the image %.3g; they may be of other '
            'units. Bring them together with library_scale, for example 10000 for reflectance '
            'that the image stores times 10000.',
            library, image,
        )  # fmt: skip
