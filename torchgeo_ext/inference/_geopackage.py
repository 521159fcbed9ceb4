"""How layers are written to GeoPackages, whatever is in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.staging import disk_full

#: Newer versions give warnings in the GDAL of older QGIS.
DATASET_OPTIONS = {'VERSION': '1.2'}

_WRITE_ERRORS = (DataLayerError, DataSourceError, FeatureError, FieldError)


def check_geopackage(path: Path, argument: str) -> None:
    """See that a file is named as a GeoPackage.

    Args:
        path: The file.
        argument: The argument it came from, for the message.

    Raises:
        BadParameter: If it is not.
    """
    if path.suffix.lower() != '.gpkg':
        raise BadParameter(
            f'{argument}: {path} is not a GeoPackage.', 'Give it a name that ends in .gpkg.'
        )


def layer_name(path: Path) -> str:
    """Name the layer of a file as the file, without the prefix that GeoPackage keeps to itself."""
    return f'layer_{path.stem}' if path.stem.lower().startswith('gpkg') else path.stem


@contextmanager
def explaining_full_disks(destination: Path) -> Iterator[None]:
    """Say so if writing fails for want of space.

    Args:
        destination: What the file will be called.

    Raises:
        NoSpace: If the disk is full.
    """
    try:
        yield
    except _WRITE_ERRORS as error:
        if 'full' in str(error):
            raise disk_full(destination) from error
        raise
