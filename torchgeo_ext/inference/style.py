"""How outputs look in QGIS: a ``.qml`` file beside a raster, a style table in a GeoPackage.

QGIS loads both by itself. A style is a small dictionary, either the classes ::

    {'type': 'classes', 'classes': [{'value': 1, 'name': 'water', 'color': '#1f78b4'}]}

of a class raster or, with ``'field': 'class'`` naming the attribute that has the class names, of
polygons or points; or a range of values with one of Matplotlib's colour maps ::

    {'type': 'range', 'minimum': 0.0, 'maximum': 1.0, 'unit': '', 'ramp': 'viridis'}

of a raster or, with ``field``, of points.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from torchgeo_ext.staging import disk_full, staged

#: The oldest QGIS that the styles are made for; newer ones convert them.
_QGIS = '3.22'
#: Colours a range is drawn with, between which QGIS interpolates.
_STOPS = 9
#: Beyond all values.
_FAR = 1e300
#: Polygons let the image below them shine through.
_FILL_OPACITY = 0.6

# As QGIS makes it, column by column.
_STYLE_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256),
    styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN,
    description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""
# without it the table would not be a part of the GeoPackage
_STYLE_CONTENTS = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)
VALUES ('layer_styles', 'attributes', 'layer_styles', '', 0)
"""
# QGIS looks for an empty catalog and schema, not for NULL
_STYLE = """
INSERT INTO layer_styles (
    f_table_catalog, f_table_schema, f_table_name, f_geometry_column,
    styleName, styleQML, styleSLD, useAsDefault, description, owner
)
VALUES ('', '', ?, ?, 'default', ?, '', 1, ?, '')
"""


def write_style(path: str | os.PathLike[str], style: Mapping[str, Any]) -> None:
    """Give an output a style that QGIS applies when it opens the layer.

    Args:
        path: A GeoPackage with polygons or points; any other file is taken for a raster.
        style: What to draw (see the head of this module).

    Raises:
        ValueError: If the style has an unknown type, or polygons shall be drawn by a range.
        NoSpace: If the disk is full.
    """
    path = Path(path)
    if path.suffix.lower() == '.gpkg':
        _store_style(path, style)
        return
    pipe = Element('pipe')
    pipe.append(_raster(style))
    with staged(path.with_suffix('.qml')) as part:
        part.write_text(_document(pipe), encoding='utf-8')


def _document(content: Element) -> str:
    root = Element('qgis', version=_QGIS, styleCategories='Symbology')
    root.append(content)
    indent(root)
    text = tostring(root, encoding='unicode')
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n"


def _raster(style: Mapping[str, Any]) -> Element:
    if style['type'] == 'classes':
        return _palette(style)
    if style['type'] == 'range':
        return _ramp(style)
    raise ValueError(f'type: {style["type"]!r} is neither classes nor range')


def _palette(style: Mapping[str, Any]) -> Element:
    renderer = Element('rasterrenderer', type='paletted', band='1', opacity='1', alphaBand='-1')
    palette = SubElement(renderer, 'colorPalette')
    for entry in style['classes']:
        SubElement(
            palette,
            'paletteEntry',
            value=str(entry['value']),
            label=entry['name'],
            color=entry['color'],
            alpha='255',
        )
    return renderer


def _ramp(style: Mapping[str, Any]) -> Element:
    low, high = float(style['minimum']), float(style['maximum'])
    limits = {'classificationMin': repr(low), 'classificationMax': repr(high)}
    renderer = Element(
        'rasterrenderer',
        limits,
        type='singlebandpseudocolor',
        band='1',
        opacity='1',
        alphaBand='-1',
    )
    shader = SubElement(
        SubElement(renderer, 'rastershader'),
        'colorrampshader',
        colorRampType='INTERPOLATED',
        classificationMode='1',
        clip='0',
        minimumValue=repr(low),
        maximumValue=repr(high),
    )
    fractions = [step / (_STOPS - 1) for step in range(_STOPS)]
    colors = _ramp_colors(style.get('ramp', 'viridis'), fractions)
    shader.append(_gradient(fractions, colors))
    unit = f' {style["unit"]}' if style.get('unit') else ''
    for fraction, color in zip(fractions, colors, strict=True):
        value = low + fraction * (high - low)
        SubElement(
            shader, 'item', value=repr(value), label=f'{value:.4g}{unit}', color=color, alpha='255'
        )
    SubElement(shader, 'rampLegendSettings', useContinuousLegend='1', orientation='2', suffix=unit)
    return renderer


def _ramp_colors(name: str, fractions: list[float]) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[name](fraction)) for fraction in fractions]


def _gradient(fractions: list[float], colors: list[str]) -> Element:
    """Describe the ramp itself, which QGIS uses when the user classifies anew."""
    numbers = [_channels(color) for color in colors]
    inner = zip(fractions[1:-1], numbers[1:-1], strict=True)
    ramp = Element('colorramp', type='gradient', name='[source]')
    _options(
        ramp,
        color1=numbers[0],
        color2=numbers[-1],
        discrete='0',
        rampType='gradient',
        stops=':'.join(f'{fraction};{color}' for fraction, color in inner),
    )
    return ramp


def _features(style: Mapping[str, Any], geometry: str) -> Element:
    """Draw features of a type of geometry, as a GeoPackage calls it."""
    points = 'POINT' in geometry
    if points and style['type'] == 'range':
        return _graduated(style)
    if style['type'] != 'classes':
        raise ValueError(f'type: polygons are drawn by classes, not by {style["type"]!r}')
    field = style.get('field', 'class')
    renderer = Element('renderer-v2', type='categorizedSymbol', attr=field)
    categories = SubElement(renderer, 'categories')
    symbols = SubElement(renderer, 'symbols')
    for number, entry in enumerate(style['classes']):
        SubElement(
            categories,
            'category',
            value=str(entry['value' if field == 'value' else 'name']),
            label=entry['name'],
            symbol=str(number),
            render='true',
        )
        symbols.append((_marker if points else _fill)(str(number), entry['color']))
    return renderer


def _graduated(style: Mapping[str, Any]) -> Element:
    """Draw points by steps of one width; the outer ones take what lies beyond."""
    low, high = float(style['minimum']), float(style['maximum'])
    renderer = Element(
        'renderer-v2', type='graduatedSymbol', attr=style['field'], graduatedMethod='GraduatedColor'
    )
    ranges = SubElement(renderer, 'ranges')
    symbols = SubElement(renderer, 'symbols')
    ends = [low + (high - low) * step / _STOPS for step in range(_STOPS + 1)]
    colors = _ramp_colors(
        style.get('ramp', 'viridis'), [step / (_STOPS - 1) for step in range(_STOPS)]
    )
    for number, color in enumerate(colors):
        SubElement(
            ranges,
            'range',
            lower=repr(ends[number] if number else -_FAR),
            upper=repr(ends[number + 1] if number < _STOPS - 1 else _FAR),
            label=f'{ends[number]:.4g} - {ends[number + 1]:.4g}',
            symbol=str(number),
            render='true',
        )
        symbols.append(_marker(str(number), color))
    return renderer


def _marker(name: str, color: str) -> Element:
    symbol = Element('symbol', type='marker', name=name, alpha='1', clip_to_extent='1')
    layer = SubElement(symbol, 'layer', {'class': 'SimpleMarker', 'enabled': '1', 'pass': '0'})
    _options(
        layer,
        name='circle',
        color=_channels(color),
        outline_color='35,35,35,255',
        outline_style='solid',
        outline_width='0.1',
        outline_width_unit='MM',
        size='2.2',
        size_unit='MM',
    )
    return symbol


def _fill(name: str, color: str) -> Element:
    symbol = Element('symbol', type='fill', name=name, alpha='1', clip_to_extent='1')
    layer = SubElement(symbol, 'layer', {'class': 'SimpleFill', 'enabled': '1', 'pass': '0'})
    _options(
        layer,
        color=_channels(color, _FILL_OPACITY),
        style='solid',
        outline_color=_channels(color),
        outline_style='solid',
        outline_width='0.3',
        outline_width_unit='MM',
    )
    return symbol


def _options(parent: Element, **values: str) -> None:
    options = SubElement(parent, 'Option', type='Map')
    for name, value in values.items():
        SubElement(options, 'Option', name=name, type='QString', value=value)


def _channels(color: str, opacity: float = 1.0) -> str:
    """Turn ``#rrggbb`` into QGIS's ``red,green,blue,alpha``."""
    return ','.join(str(number) for number in (*bytes.fromhex(color[1:]), round(255 * opacity)))


def _store_style(path: Path, style: Mapping[str, Any]) -> None:
    """Put a style into a GeoPackage as the default of its layers, in one transaction."""
    try:
        with closing(sqlite3.connect(path)) as database, database:
            layers = database.execute(
                'SELECT table_name, column_name, geometry_type_name FROM gpkg_geometry_columns'
            ).fetchall()
            database.execute('BEGIN')
            database.execute(_STYLE_TABLE)
            database.execute(_STYLE_CONTENTS)
            for table, column, geometry in layers:
                qml = _document(_features(style, geometry))
                database.execute('DELETE FROM layer_styles WHERE f_table_name = ?', (table,))
                database.execute(_STYLE, (table, column, qml, f'Style of {table}'))
    except sqlite3.OperationalError as error:
        if 'full' in str(error):
            raise disk_full(path) from error
        raise
