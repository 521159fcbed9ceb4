"""What products have beside their pixels: metadata files, and variables of the same container.

EnMAP and DESIS: ``...-METADATA.XML`` beside ``...-SPECTRAL_IMAGE.TIF`` (of EnMAP L1B
``..._VNIR.TIF`` and ``..._SWIR.TIF``), element ``specific/bandCharacterisation``. EMIT: variables
of the group ``sensor_band_parameters``. PRISMA: attributes such as ``List_Cw_Vnir``. Names as in
the readers EnPT (https://github.com/GFZ/enpt), HyTools (https://github.com/EnSpec/hytools) and
prismaread.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from torchgeo_ext.errors import BadInput
from torchgeo_ext.sensors._facts import BandFacts, facts
from torchgeo_ext.sensors._units import positive

#: Files larger than this are no metadata.
_LARGEST = 64 * 2**20
_IMAGE = re.compile(r'^(.*)SPECTRAL_IMAGE(_VNIR|_SWIR)?(_COG)?\.\w+$', re.IGNORECASE)
_CONTAINED = re.compile(r'^(?:NETCDF|HDF5):"?(.+?)"?:/*([^:]*)$', re.IGNORECASE)
#: What is kept in the wavelengths of detector channels that have none.
_NO_CHANNEL = BandFacts(good=False)


def product_facts(dataset: Any) -> list[BandFacts]:
    """Read what lies beside a raster about its bands; nothing is known where nothing lies."""
    if beside := metadata_file(dataset.name):
        found = list(_characterised(beside))
        return _fitting(found, dataset)
    if dataset.driver == 'netCDF':
        contained = _CONTAINED.match(dataset.name)
        found = emit_facts(contained[1] if contained else dataset.name)
        if len(found) == dataset.count:
            return found
    return [BandFacts()] * dataset.count


def container_facts(dataset: Any) -> list[BandFacts]:
    """Read what a container of several rasters says of the bands of its cube.

    EMIT in the order of the file, PRISMA the VNIR cube and then the SWIR cube.
    """
    if facts_of_prisma := prisma_facts(dataset.tags()):
        return facts_of_prisma
    return emit_facts(dataset.name) if dataset.driver == 'netCDF' else []


def metadata_file(path: str) -> Path | None:
    """Find the metadata file beside an image of EnMAP or DESIS."""
    image = _IMAGE.match(Path(path).name)
    if image is None:
        return None
    for name in (f'{image[1]}METADATA.XML', f'{image[1]}METADATA.xml'):
        beside = Path(path).with_name(name)
        if beside.is_file():
            return beside
    return None


def _characterised(path: Path) -> Iterator[BandFacts]:
    """Read the bands of a metadata file of EnMAP or DESIS."""
    if path.stat().st_size > _LARGEST:
        raise BadInput(f'{path} is too large for metadata.', 'Take it away from beside the image.')
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314  # its size is bounded
    except ElementTree.ParseError as error:
        raise BadInput(f'{path} is no XML ({error}).', 'Copy or download it again.') from error
    for band in root.iterfind('specific/bandCharacterisation/*'):
        told = {_plain(element.tag): element.text for element in band}
        yield facts(
            told.get('wavelengthcenterofband'),
            told.get('fwhmofband') or told.get('wavelengthwidthofband'),
            'nm',
            scale=told.get('gainofband'),
            offset=told.get('offsetofband'),
        )


def _plain(tag: str) -> str:
    return tag.rpartition('}')[2].lower()


def _fitting(found: list[BandFacts], dataset: Any) -> list[BandFacts]:
    """Keep the bands of one camera where each has a file of its own."""
    count = dataset.count
    if len(found) == count:
        return found
    name = Path(dataset.name).stem.upper()
    if len(found) > count and name.endswith('_VNIR'):
        return found[:count]
    if len(found) > count and name.endswith('_SWIR'):
        return found[-count:]
    return [BandFacts()] * count


def emit_facts(path: str) -> list[BandFacts]:
    """Read the bands of an EMIT file; none if it is of something else."""
    centres = _variable(path, 'wavelengths')
    if not centres:
        return []
    widths = _variable(path, 'fwhm') or [None] * len(centres)
    good = _variable(path, 'good_wavelengths') or [None] * len(centres)
    return [
        facts(centre, width, 'nm', good=flag)
        for centre, width, flag in zip(centres, widths, good, strict=True)
    ]


def _variable(path: str, name: str) -> list[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(f'NETCDF:"{path}":/sensor_band_parameters/{name}')
        except RasterioIOError:
            return []  # the file is of another kind
    with dataset:
        values: list[Any] = dataset.read(1).ravel().tolist()
        return values


def prisma_facts(tags: dict[str, str]) -> list[BandFacts]:
    """Read the bands of a PRISMA file: those of the VNIR cube, then of the SWIR cube.

    L2 reflectance is minimum + stored value (maximum - minimum) / 65535, L1 radiance stored value
    / factor - offset. Channels without a wavelength are bad.
    """
    return [band for camera in ('Vnir', 'Swir') for band in _prisma_camera(tags, camera)]


def _prisma_camera(tags: dict[str, str], camera: str) -> Iterator[BandFacts]:
    centres = tags.get(f'List_Cw_{camera}', '').split()
    widths = tags.get(f'List_Fwhm_{camera}', '').split() or [''] * len(centres)
    flags = tags.get(f'List_Cw_{camera}_Flags', '').split()
    flags = flags if len(flags) == len(centres) else ['1'] * len(centres)
    numbers = _prisma_numbers(tags, camera)
    for centre, width, flag in zip(centres, widths, flags, strict=True):
        known = facts(centre, width, 'nm', good=flag)
        yield known.or_else(numbers) if known.wavelength else _NO_CHANNEL.or_else(numbers)


def _prisma_numbers(tags: dict[str, str], camera: str) -> BandFacts:
    least, most = (tags.get(f'L2Scale{camera}{end}') for end in ('Min', 'Max'))
    if least is not None and most is not None:
        return BandFacts(scale=(float(most) - float(least)) / 65535, offset=float(least))
    divisor = positive(tags.get(f'ScaleFactor_{camera}'))
    if divisor:
        return BandFacts(scale=1 / divisor, offset=-float(tags.get(f'Offset_{camera}', 0)))
    return BandFacts()
