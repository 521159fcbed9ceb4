"""Brings models and images of whatever sensor together, in one place for all operations."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from torchgeo_ext.bundles import Band, Bundle, match_bands
from torchgeo_ext.bundles.other_sensor import goes_by_wavelength, on_other_bands, tell_of_bands
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference import RasterSource
from torchgeo_ext.inference.located import LocatedMixedSource, LocatedSource
from torchgeo_ext.inference.mixed import MixedSource
from torchgeo_ext.operations._cube import MANY, open_cube
from torchgeo_ext.operations._predict import Image
from torchgeo_ext.operations._spectral import mixing, not_twice, of_bands
from torchgeo_ext.sensors import read_wavelengths
from torchgeo_ext.transforms._response import response_matrix
from torchgeo_ext.transforms.spectral_bands import COVERED

#: Share of the bands of a model that an image has to show; the others are guessed.
_ENOUGH = 0.5


class Adapted(NamedTuple):
    """A model and the images it is to see.

    Attributes:
        bundle: The model; one that goes by wavelengths is told those of the images.
        sources: What it reads, one for each date.
    """

    bundle: Bundle
    sources: list[RasterSource]


def adapt(bundle: Bundle, images: Sequence[Image], resampling: str = 'bilinear') -> Adapted:
    """Fit a model and images to each other, whatever sensor the images are of.

    Bands that the model was trained on are found by name, wavelength or order. Where they are not
    all there, the image is of another sensor. Then a model that goes by wavelengths is told those
    of the image; and for a model that was trained on the many bands of a cube these are computed
    from the spectra of the image. A warning says so, and which wavelengths the image does not show.

    Args:
        bundle: The model.
        images: An image for each date, with the bands the user chose.
        resampling: How images are brought onto another grid.

    Raises:
        BadInput: If the bands cannot be found, or the image shows too little of what the model was
            trained on.
        BadParameter: If the bands the user chose do not fit.
    """
    if bundle.card.dates == 1 and goes_by_wavelength(bundle.card):
        [image] = images
        bundle, images = _by_wavelength(bundle, image)
    return Adapted(
        bundle, [_source(bundle, date, image, resampling) for date, image in enumerate(images)]
    )


def _source(bundle: Bundle, date: int, image: Image, resampling: str) -> RasterSource:
    card = bundle.card
    wanted = card.image_bands if card.located else card.bands_of(date)
    return image_source(
        wanted,
        image,
        card.name,
        fill=bundle.fill(date)[: len(wanted)],
        resampling=resampling,
        located=card.located,
    )


def image_source(
    wanted: Sequence[Band],
    image: Image,
    name: str,
    *,
    fill: tuple[float, ...],
    resampling: str = 'bilinear',
    located: bool = False,
) -> RasterSource:
    """Choose what a network of fixed bands reads of an image; see :func:`adapt`.

    Args:
        wanted: The bands of the network.
        image: The image and the bands the user chose.
        name: What the network is called, for messages.
        fill: Value given to invalid pixels, one for each band.
        resampling: How the image is brought onto another grid.
        located: Whether the network reads where a tile lies too.
    """
    try:
        bands = _matched(wanted, image)
    except BadInput:
        known = all(band.center_wavelength for band in wanted)
        source = _resampled(wanted, image, name, located) if known and len(wanted) > MANY else None
        if source is None:
            raise
        return dataclasses.replace(source, resampling=resampling, fill=fill)
    return (LocatedSource if located else RasterSource)(
        str(image.path), bands=bands, resampling=resampling, fill=fill, argument=image.argument
    )


def _matched(wanted: Sequence[Band], image: Image) -> tuple[int, ...]:
    return match_bands(wanted, image.path, image.bands, image.argument, image.bands_argument)


def _by_wavelength(bundle: Bundle, image: Image) -> tuple[Bundle, list[Image]]:
    """Tell a model the wavelengths of an image, if it is of another sensor.

    It sees the bands whose wavelengths are known and that are of use, or that the user chose.
    """
    try:
        _matched(bundle.card.image_bands, image)
    except (BadInput, BadParameter):
        found = read_wavelengths(image.path, argument=image.argument)
        useful = [place for place in found.order if found.good[place]]
        places = [number - 1 for number in image.bands] if image.bands else useful
        if not set(places) <= {*found.order}:
            raise
        adapted = on_other_bands(bundle, found.select(places), image.argument)
        return adapted, [image._replace(bands=[place + 1 for place in places])]
    return bundle, [image]


def _resampled(
    wanted: Sequence[Band], image: Image, name: str, located: bool
) -> MixedSource | None:
    """Compute bands from the spectra of an image; None if it does not tell wavelengths."""
    cube = open_cube(image.path, None, argument=image.argument)
    if not cube.bands.order:
        return None
    target = of_bands(wanted, name)
    weights, coverage = response_matrix(cube.bands, target)
    seen = coverage >= COVERED
    if seen.mean() < _ENOUGH:
        raise BadInput(
            f'{image.argument}: {image.path} ({cube.bands!r}) shows {seen.sum()} of the '
            f'{len(wanted)} bands that {name} was trained on ({target!r}); at least '
            f'{_ENOUGH:.0%} of them are needed.',
            'Choose an image or a model of more of the same spectrum. What resample_spectra makes '
            'of the image with this bundle has all bands, most of them guessed.',
        )
    tell_of_bands(
        name, target.centre, seen.tolist(), len(cube.bands), image.argument,
        'sees these as they follow from those of the image',
    )  # fmt: skip
    reading, mixture = mixing(not_twice(cube), weights, target)
    return (LocatedMixedSource if located else MixedSource)(
        str(image.path),
        reading.source.bands,
        argument=image.argument,
        weights=mixture.weights.numpy(),
        offsets=mixture.offsets.numpy()[:, 0],
    )
