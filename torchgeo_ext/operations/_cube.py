"""The bands of a cube that are of use, and where they lie in the spectrum."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._operation import ADVANCED, Label, bands_of, within
from torchgeo_ext.operations._predict import choose_grid
from torchgeo_ext.sensors import WATER_VAPOUR, BandWavelengths, read_wavelengths
from torchgeo_ext.sensors._wavelengths import of_file

if TYPE_CHECKING:
    from torchgeo_ext.inference import Grid
    from torchgeo_ext.inference.spectral.cube import Cube
    from torchgeo_ext.inference.spectral.quality import Verdict

log = logging.getLogger(__name__)

# parameters that operations on cubes have in common
CubeBands = Annotated[list[int], bands_of('image')]
Wavelengths = Annotated[str, Label('Wavelengths (CSV or sensor)'), ADVANCED]
Regularisation = Annotated[float, within(0.0, 1.0), ADVANCED]

#: Windows in which bands are looked at for whether they have any data.
_LOOKS = 16
#: Images of more bands are cubes, some of whose bands nobody wants.
MANY = 30
#: Images to learn from whose bands are looked at, at most.
_FILES = 32


def open_cube(
    image: Any,
    bands: Sequence[int] | None,
    *,
    extent: Any = None,
    mask: Any = None,
    wavelengths: str | None = None,
    argument: str = 'image',
) -> 'Cube':
    """Choose the bands of an image, and say in the log which are left out and why.

    Args:
        image: The raster.
        bands: Numbers of the bands the user wants; None for all that are of use.
        extent: Only this part, as users give it.
        mask: Raster or polygons that say where, or None.
        wavelengths: Table of wavelengths, or name of a sensor, if the image has none.
        argument: The argument the image came from, for messages.

    Raises:
        BadInput: If no band is of use.
    """
    whole = whole_cube(image, extent=extent, mask=mask, wavelengths=wavelengths, argument=argument)
    if not bands:
        return _of_use(whole)
    numbers = whole.source.bands or ()
    known = {number: position for position, number in enumerate(numbers)}
    places = [known.get(number, -1) for number in bands]
    if -1 not in places:
        return whole.select(places)
    raise BadParameter(
        f'bands: band {next(n for n in bands if n not in known)} does not exist; {image} has '
        f'bands {ranges(numbers)}.',
        'Choose bands that exist.',
    )


def bands_of_use(
    image: Any, bands: Sequence[int] | None, grid: 'Grid', argument: str = 'image'
) -> tuple[int, ...] | None:
    """Choose the bands of an image that may be a cube, or an embedding, or of a few bands.

    Args:
        image: The raster.
        bands: Numbers of the bands the user wants; None for all that are of use.
        grid: The part of it that counts.
        argument: The argument the image came from, for messages.

    Returns:
        What the user wants; else those that are of use, if there are as many as in a cube; None,
        for all, if there are fewer.

    Raises:
        BadInput: If no band is of use.
    """
    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.inference.spectral.cube import Cube

    if bands:
        return tuple(bands)
    source = RasterSource(str(image), argument=argument)
    with source.open(grid) as reader:
        numbers = reader.bands
        if len(numbers) <= MANY:
            return None
        found = of_file(reader.dataset).select([number - 1 for number in numbers])
    return _of_use(Cube(dataclasses.replace(source, bands=numbers), grid, found)).source.bands


def _of_use(whole: 'Cube') -> 'Cube':
    """Leave out bands that are of no use, and say in the log which and why."""
    source = whole.source
    numbers = source.bands or ()
    useless = useless_bands(whole)
    kept = [position for position in range(len(numbers)) if position not in useless]
    if not kept:
        raise BadInput(
            f'{source.argument}: no band of {source.path} is of use: {_listed(numbers, useless)}.',
            'Look at the nodata value of the file, and at extent. If bands are good nevertheless, '
            'name them with bands.',
        )
    if useless:
        log.info(
            '%d of %d bands are used. Left out: %s',
            len(kept), len(numbers), _listed(numbers, useless),
        )  # fmt: skip
    return whole.select(kept)


def bands_to_learn_from(images: Mapping[str, Any]) -> list[int] | None:
    """Choose the bands of images to train on.

    Args:
        images: Rasters as users give them - files, folders or patterns - by the argument they came
            from.

    Returns:
        Numbers of those that are of use in all of the images, if there are as many as in a cube;
        None, for all, if there are fewer. Of more than 32 images some are looked at.

    Raises:
        BadInput: If no band is of use.
    """
    from torchgeo_ext.datasets._files import find_images

    numbers: list[int] | None = None
    for argument, given in images.items():
        found = find_images(given, None, argument)
        for files in found[:: -(-len(found) // _FILES)]:
            if len(files.paths) > 1:
                return None
            path = files.paths[0]
            useful = bands_of_use(path, None, choose_grid(path, None, argument), argument)
            if useful is None:
                return None
            numbers = [n for n in useful if numbers is None or n in numbers]
    if numbers == []:
        raise BadInput(
            f'{", ".join(images)}: no band is of use in all images.',
            'Name bands to use with bands.',
        )
    return numbers


def whole_cube(
    image: Any,
    *,
    extent: Any = None,
    mask: Any = None,
    wavelengths: str | None = None,
    argument: str = 'image',
) -> 'Cube':
    """Give all bands of an image, whether they are of use or not."""
    from torchgeo_ext.inference import MaskSource, RasterSource
    from torchgeo_ext.inference.spectral.cube import Cube

    grid = choose_grid(image, extent, argument)
    source = RasterSource(str(image), argument=argument)
    with source.open(grid) as reader:
        numbers, count = reader.bands, reader.dataset.count
    source = RasterSource(str(image), bands=numbers, argument=argument)
    return Cube(
        source,
        grid,
        _wavelengths(image, wavelengths, count, argument).select(
            [number - 1 for number in numbers]
        ),
        None if mask is None else MaskSource(str(mask)),
    )


def _wavelengths(image: Any, table: str | None, count: int, argument: str) -> BandWavelengths:
    try:
        return read_wavelengths(str(image), table, argument=argument)
    except BadInput as error:
        if table is not None:
            raise
        log.info('%s Until then bands in which water vapour hides the ground count too.', error)
        return BandWavelengths((float('nan'),) * count)


def useless_bands(cube: 'Cube') -> 'dict[int, Verdict]':
    """Tell which bands are of no use whatever is done with them, by their positions, and why."""
    vapour = cube.bands.without(WATER_VAPOUR)
    useless: dict[int, Verdict] = {}
    empty = _without_data(cube)
    for position in range(len(cube.bands)):
        if empty[position]:
            useless[position] = 'no data'
        elif not cube.bands.good[position]:
            useless[position] = 'marked as bad'
        elif not vapour.good[position]:
            useless[position] = 'water vapour'
    return useless


def _without_data(cube: 'Cube') -> Any:
    """Tell which bands have no data in windows spread over the image."""
    import numpy as np

    windows = list(cube.grid.windows(cube.tile_size))
    seen = np.zeros(len(cube.bands), bool)
    with cube.source.open(cube.grid) as reader:
        chosen = np.linspace(0, len(windows) - 1, min(_LOOKS, len(windows))).astype(int)
        for number in chosen:
            _, valid = reader.read_each(windows[number])
            seen |= valid.any((1, 2))
            if seen.all():
                break
    return ~seen


def _listed(numbers: Sequence[int], useless: 'dict[int, Verdict]') -> str:
    """List bands by what is wrong with them."""
    reasons: dict[str, list[int]] = {}
    for position, reason in useless.items():
        reasons.setdefault(reason, []).append(numbers[position])
    return '; '.join(f'{ranges(found)} ({reason})' for reason, found in reasons.items())


def ranges(numbers: Sequence[int]) -> str:
    """Write numbers in order, those that follow each other as ranges: ``1-3, 7``."""
    return ', '.join(
        f'{first}' if first == last else f'{first}-{last}' for first, last in _runs(numbers)
    )


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    cuts = [i for i, (a, b) in enumerate(pairwise(numbers), 1) if b != a + 1]
    for start, stop in pairwise([0, *cuts, len(numbers)]):
        yield numbers[start], numbers[stop - 1]


def run_cube(
    model: Any, cube: 'Cube', outputs: Any, progress: Any, *, halo: int = 0, device: str = 'cpu'
) -> None:
    """Run a model over the pixels of a cube and write what it gives.

    Args:
        model: From bands (b, c, h, w) to scores (b, k, h, w).
        cube: The cube.
        outputs: What to write.
        progress: Told how far it is.
        halo: Pixels around each pixel that the model looks at.
        device: Where to compute.
    """
    from torchgeo_ext.inference import predict_raster

    predict_raster(
        model,
        cube.source,
        cube.grid,
        outputs,
        tile_size=cube.tile_size + 2 * halo,
        overlap=2 * halo,
        merge='crop',
        device=device,
        mask=cube.mask,
        progress=progress,
    )
