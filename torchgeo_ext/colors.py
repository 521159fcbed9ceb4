"""Colours of classes nobody gave a colour."""

import colorsys
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

#: Paul Tol's "muted" and "bright" schemes, which people with colour blindness can tell apart.
#: https://sronpersonalpages.nl/~pault/
PALETTE = (
    '#117733', '#ddcc77', '#88ccee', '#cc6677', '#332288', '#999933', '#44aa99', '#882255',
    '#aa4499', '#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#bbbbbb',
)  # fmt: skip

#: What maps usually draw in a certain colour: words in a class name, and the colour.
CONVENTIONS = (
    (('water', 'river', 'lake', 'sea'), '#4477aa'),
    (('wetland', 'marsh', 'swamp'), '#44aa99'),
    (('forest', 'tree', 'wood'), '#117733'),
    (('grass', 'meadow', 'pasture'), '#ccbb44'),
    (('shrub', 'schrub', 'scrub', 'bush', 'heath'), '#999933'),
    (('crop', 'cultivated', 'agricult', 'arable', 'field'), '#ddcc77'),
    (('urban', 'built', 'artificial', 'building', 'settlement', 'impervious', 'roof'), '#cc6677'),
    (('road', 'pavement'), '#882255'),
    (('bare', 'soil', 'sand', 'rock'), '#bbbbbb'),
    (('snow', 'ice', 'glacier'), '#88ccee'),
)


#: Colours of the levels of damage, from none to destroyed, by their number.
DAMAGE_COLORS = {
    4: ('#1a9641', '#ffd43b', '#f58518', '#d7191c'),
    3: ('#1a9641', '#f58518', '#d7191c'),
}


def choose_colors(names: Sequence[str], known: Mapping[int, str] | None = None) -> list[str]:
    """Give each class a colour of its own.

    Args:
        names: Names of the classes. Where maps have a convention it is kept: water is blue.
        known: Colours that are given, by position.

    Returns:
        One colour ``#rrggbb`` per name.
    """
    chosen = dict(known or {})
    for position, name in enumerate(names):
        usual = _usual(name)
        if usual and position not in chosen and usual not in chosen.values():
            chosen[position] = usual
    free = (color for color in _palette() if color not in chosen.values())
    return [chosen.get(position) or next(free) for position in range(len(names))]


def _usual(name: str) -> str:
    for words, color in CONVENTIONS:
        if any(re.search(rf'\b{word}', name.casefold()) for word in words):
            return color
    return ''


def _palette() -> Iterator[str]:
    """Yield colours without end: a palette for few classes, any hues beyond it."""
    yield from PALETTE
    for position in itertools.count(len(PALETTE)):
        # steps of the golden ratio never come back to the same hue
        red, green, blue = colorsys.hsv_to_rgb(position * 0.618034 % 1, 0.65, 0.85)
        yield f'#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}'
