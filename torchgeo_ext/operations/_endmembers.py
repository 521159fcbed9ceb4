"""Spectra of pure materials, where they came from, and how much of each there is."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.datasets._classes import make_classes
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference import RasterOutput, RasterSource, band_statistics
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.inference.spectral.endmembers import Method, find_endmembers
from torchgeo_ext.inference.spectral.unmixing import Method as Constraint
from torchgeo_ext.inference.spectral.unmixing import Unmixing
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.operations._cube import run_cube
from torchgeo_ext.operations._operation import StrPath, Styles
from torchgeo_ext.operations._predict import probability_style
from torchgeo_ext.operations._spectra import LibraryChoice, known_spectra
from torchgeo_ext.operations._spectra_report import write_spectra
from torchgeo_ext.progress import Progress, portion
from torchgeo_ext.sensors import SpectralLibrary, write_library
from torchgeo_ext.staging import staged

#: Residuals above that of this share of the pixels are drawn alike.
_STRETCH = 0.98


class Endmembers(NamedTuple):
    """Endmembers.

    Attributes:
        cube: The bands of the image that all of them have.
        spectra: Values (c, p) in the units of the image.
        names: Names.
        origin: Where they came from, for people.
        argument: The argument they came from, for messages.
        places: Column and row (p, 2) of those found in the image, else None.
    """

    cube: Cube
    spectra: NDArray[np.float64]
    names: tuple[str, ...]
    origin: str
    argument: str
    places: NDArray[np.intp] | None = None


class Mapped(NamedTuple):
    """What was mapped.

    Attributes:
        abundances: Mean abundance of each endmember.
        residual: Mean of what they do not explain.
        styles: A style for each output.
    """

    abundances: list[float]
    residual: float
    styles: Styles


def choose_endmembers(
    cube: Cube,
    library: LibraryChoice,
    examples: Any,
    class_field: str | None,
    extraction: Method,
    count: int,
    seed: int,
    progress: Progress,
) -> Endmembers:
    """Take endmembers from a library or from places on the image, or find them in the image.

    Args:
        cube: The bands to use of the image.
        library: The library, if its path is not None.
        examples: Places, if not None.
        class_field: Their field with the material.
        extraction: How to find endmembers.
        count: How many.
        seed: Of the directions.
        progress: Told how far it is.

    Raises:
        BadParameter: If both a library and examples are given.
        BadInput: If they cannot be read, or there are too few pixels.
    """
    if library.path is not None and examples is not None:
        raise BadParameter(
            f'Both library ({library.path}) and examples ({examples}) are given.',
            'Give one of them, or none to find endmembers in the image.',
        )
    if library.path is not None or examples is not None:
        known = known_spectra(cube, library, examples, class_field)
        origin = Path(str(examples or library.path)).name
        argument = 'library' if examples is None else 'examples'
        return Endmembers(known.cube, known.means, known.names, origin, argument)
    given = {'library_field': library.field, 'spectra': library.names, 'class_field': class_field}
    for name, value in given.items():
        if value is not None:
            raise BadParameter(
                f'{name} is {value!r}, but there is neither a library nor examples.',
                'Leave it out, or give one of them.',
            )
    found = find_endmembers(cube, count, extraction, seed=seed, progress=progress)
    names = tuple(f'endmember {number}' for number in range(1, count + 1))
    return Endmembers(cube, found.spectra, names, extraction, 'endmembers', found.places)


def map_abundances(
    found: Endmembers, method: Constraint, output: Any, residual: Any, progress: Progress
) -> Mapped:
    """Write abundances, and what they do not explain if that is wanted.

    Args:
        found: The endmembers.
        method: What abundances are bound to.
        output: Raster of abundances to write.
        residual: Raster to write, or None.
        progress: Told how far it is.
    """
    count = len(found.names)
    tags = {'model': f'{method} with {found.origin}'}
    with TemporaryDirectory() as folder:
        rest = str(residual or Path(folder) / 'residual.tif')
        outputs = [
            RasterOutput(
                str(output), 'values', part=slice(0, count), descriptions=found.names, tags=tags
            ),
            RasterOutput(
                rest, 'values', part=slice(count, count + 1), descriptions=['residual'],
                tags=tags, argument='residual',
            ),
        ]  # fmt: skip
        run_cube(Unmixing(found.spectra, method), found.cube, outputs, portion(progress, 0, 0.9))
        means = band_statistics([RasterSource(str(output), argument='output')], quantiles=())
        (left,) = band_statistics([RasterSource(rest)], quantiles=(_STRETCH,)).bands
    styles: Styles = {'output': probability_style()}
    write_style(output, styles['output'])
    if residual is not None:
        styles['residual'] = {
            'type': 'range', 'minimum': 0.0, 'maximum': max(left.quantiles[_STRETCH], 1e-12),
            'unit': '', 'ramp': 'magma',
        }  # fmt: skip
        write_style(residual, styles['residual'])
    return Mapped(list(means.mean), left.mean, styles)


def write_table(path: StrPath, found: Endmembers) -> None:
    """Write endmembers as a library, with their places on the map if they have any."""
    fields = {}
    if found.places is not None:
        x, y = _on_map(found)
        fields = {'x': tuple(f'{v:.10g}' for v in x), 'y': tuple(f'{v:.10g}' for v in y)}
    with staged(path, 'table') as part:
        write_library(part, SpectralLibrary(found.names, found.spectra.T, found.cube.bands, fields))


def describe(path: StrPath, found: Endmembers, mapped: Mapped) -> None:
    """Write a page with a plot of the endmembers and how much there is of each.

    Args:
        path: The page.
        found: The endmembers.
        mapped: How much there is.
    """
    rows: list[Sequence[str]] = [('endmember', 'mean abundance', 'x', 'y')]
    places = zip(*_on_map(found), strict=True) if found.places is not None else ()
    shown = [(f'{x:.10g}', f'{y:.10g}') for x, y in places] or [('', '')] * len(found.names)
    for name, mean, place in zip(found.names, mapped.abundances, shown, strict=True):
        rows.append((name, f'{mean:.4f}', *place))
    lead = (
        f'{len(found.names)} endmembers from {found.origin}, {len(found.cube.bands)} bands of '
        f'{Path(found.cube.source.path).name}. Mean residual: {mapped.residual:.6g}.'
    )
    legend = make_classes(range(1, len(found.names) + 1), dict(enumerate(found.names, 1)))
    write_spectra(path, 'Spectral unmixing', lead, found.cube, found.spectra, legend, rows)


def _on_map(found: Endmembers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the coordinates of the middles of pixels."""
    from torchgeo_ext.inference.grid import transform_points

    columns, rows = np.asarray(found.places, float).T + 0.5
    x, y = transform_points(found.cube.grid.transform, columns, rows)
    return x, y
