"""Names and colours of classes that a raster carries, or that lie in files beside it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pyogrio
from pyogrio.errors import DataSourceError

from torchgeo_ext.inference.reader import WindowReader

log = logging.getLogger(__name__)

#: What GDAL calls the columns of a raster attribute table (GDALRATFieldUsage).
_NAME, _VALUE, _RED, _GREEN, _BLUE = '2', '5', '6', '7', '8'

#: What the columns of tables are called where nothing says what they are for.
_VALUES = ('value', 'val', 'class_id', 'code', 'id')
_NAMES = ('name', 'class_name', 'classname', 'class', 'label', 'category', 'description')


class ClassTable(NamedTuple):
    """What is known of classes, by value.

    Args:
        names: Their names.
        colors: Their colours, ``#rrggbb``.
    """

    names: dict[int, str]
    colors: dict[int, str]


def class_table(path: str, reader: WindowReader) -> ClassTable:
    """Gather names and colours of the classes of a raster.

    They come from its colour table; the category names and the attribute table that GDAL keeps in
    ``.aux.xml``; the attribute table of ArcGIS (``.vat.dbf``); and a style of QGIS (``.qml``) of
    the same name. Of several names of a class the first counts.

    Args:
        path: The raster.
        reader: The same, open.
    """
    try:
        table = reader.dataset.colormap(reader.bands[0])
    except ValueError:
        table = {}
    names: dict[int, str] = {}
    colors = {value: f'#{r:02x}{g:02x}{b:02x}' for value, (r, g, b, _) in table.items()}
    for sidecar, read in _SIDECARS.items():
        # rasterio has no access to these
        file = Path(path).with_suffix('.qml') if sidecar == '.qml' else Path(path + sidecar)
        if not file.is_file():
            continue
        try:
            found = read(file)
        except (ElementTree.ParseError, DataSourceError, IndexError, ValueError):
            log.warning('The classes in %s cannot be read.', file)
            continue
        names, colors = found.names | names, found.colors | colors
    return ClassTable(names, colors)


def _of_aux(file: Path) -> ClassTable:
    # expat 2.4 and later limit how much entities may grow
    root = ElementTree.parse(file).getroot()  # noqa: S314
    band = "PAMRasterBand[@band='1']/"
    categories = root.findall(f'{band}CategoryNames/Category')
    names = {value: entry.text for value, entry in enumerate(categories) if entry.text}
    attributes = root.find(f'{band}GDALRasterAttributeTable')
    if attributes is None:
        return ClassTable(names, {})
    found = _of_attributes(attributes)
    return ClassTable(found.names | names, found.colors)


def _of_attributes(table: ElementTree.Element) -> ClassTable:
    columns = sorted(table.findall('FieldDefn'), key=lambda column: int(column.get('index', 0)))
    titles = [(column.findtext('Name') or '').lower() for column in columns]
    usages = [column.findtext('Usage') for column in columns]
    rows = [[cell.text or '' for cell in row.findall('F')] for row in table.findall('Row')]

    def position(usage: str, words: tuple[str, ...] = ()) -> int | None:
        if usage in usages:
            return usages.index(usage)
        return next((titles.index(word) for word in words if word in titles), None)

    value = position(_VALUE, _VALUES)
    name = position(_NAME, _NAMES)
    if value is None:
        return ClassTable({}, {})
    values = [int(float(row[value])) for row in rows]
    names = {} if name is None else _known(zip(values, (row[name] for row in rows), strict=True))
    parts = [position(usage) for usage in (_RED, _GREEN, _BLUE)]
    colors = {
        number: '#' + ''.join(f'{int(float(row[part])):02x}' for part in parts if part is not None)
        for number, row in zip(values, rows, strict=True)
        if None not in parts
    }
    return ClassTable(names, colors)


def _of_dbf(file: Path) -> ClassTable:
    table = pyogrio.read_dataframe(file, read_geometry=False)
    titles = {str(column).lower(): column for column in table.columns}
    value = next((titles[word] for word in _VALUES if word in titles), None)
    name = next((titles[word] for word in _NAMES if word in titles), None)
    if value is None or name is None:
        return ClassTable({}, {})
    pairs = zip(table[value].astype(int), table[name].fillna('').astype(str), strict=True)
    return ClassTable(_known(pairs), {})


def _of_style(file: Path) -> ClassTable:
    root = ElementTree.parse(file).getroot()  # noqa: S314  # see above
    entries = root.findall(".//rasterrenderer[@type='paletted']/colorPalette/paletteEntry")
    values = [int(float(entry.get('value', ''))) for entry in entries]
    titles = [entry.get('label', '') for entry in entries]
    shades = [entry.get('color', '')[:7] for entry in entries]
    # QGIS labels an entry by its number until someone names it
    names = {v: title for v, title in zip(values, titles, strict=True) if title not in ('', str(v))}
    return ClassTable(names, _known(zip(values, shades, strict=True)))


def _known(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    return {value: text for value, text in pairs if text}


#: What lies beside a raster, those first that are most certainly about it.
_SIDECARS: Mapping[str, Callable[[Path], ClassTable]] = {
    '.aux.xml': _of_aux,
    '.vat.dbf': _of_dbf,
    '.qml': _of_style,
}
