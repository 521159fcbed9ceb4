"""Which bands to show images by."""

from collections.abc import Sequence

from torchgeo.datasets import RGBBandsMissingError


def rgb_places(bands: Sequence[str], rgb_bands: Sequence[str]) -> list[int]:
    """Give the places of red, green and blue among the bands.

    Args:
        bands: Names of the bands there are.
        rgb_bands: Those of red, green and blue.

    Raises:
        RGBBandsMissingError: If one of them is missing.
    """
    if not set(rgb_bands) <= set(bands):
        raise RGBBandsMissingError
    return [bands.index(band) for band in rgb_bands]
