"""When an image was taken: from its tags, its file name or a pattern the user gives.

Times are UTC and, as TorchGeo's, without a time zone.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from torchgeo_ext.errors import BadInput, BadParameter

#: The period of what has no date.
ALWAYS = pd.Interval(pd.Timestamp.min, pd.Timestamp.max, closed='both')

_TAGS = ('date', 'DATE', 'ACQUISITION_DATE', 'ACQUISITIONDATETIME', 'TIFFTAG_DATETIME')
_IN_NAME = re.compile(
    r'(?<!\d)((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])[-_]?([0-2]\d|3[01])'
    r'(?:T([01]\d|2[0-3])([0-5]\d)([0-5]\d))?(?!\d)'
)
#: What each directive of strptime stands for, and what a date is exact to that ends with it.
_DIRECTIVES = {
    'Y': (r'\d{4}', 'year'),
    'y': (r'\d{2}', 'year'),
    'm': (r'\d{2}', 'month'),
    'b': (r'[A-Za-z]{3}', 'month'),
    'd': (r'\d{2}', 'day'),
    'j': (r'\d{3}', 'day'),
    'H': (r'\d{2}', 'hour'),
    'M': (r'\d{2}', 'minute'),
    'S': (r'\d{2}', 'second'),
}
_UNITS = ('year', 'month', 'day', 'hour', 'minute', 'second')


def acquired(path: str, tags: Mapping[str, str], pattern: str | None = None) -> pd.Interval | None:
    """Find out when an image was taken.

    Args:
        path: Its file; dates in the name are looked for like 20200501, 2020-05-01 or
            20200501T103021.
        tags: Its metadata, which come before the name.
        pattern: How the date is written in the file's name, with the directives of ``strptime``
            (``%Y %y %m %b %d %j %H %M %S``), such as ``_%Y%j_``. It comes before all else.

    Returns:
        From the first to the last moment the date may mean, such as a whole day; None if there is
        no date.

    Raises:
        BadInput: If the name does not hold the pattern.
        BadParameter: If the pattern has no year or an unknown directive.
    """
    if pattern is not None:
        return _by_pattern(path, pattern)
    for tag in _TAGS:
        # TIFF writes 2015:07:11 10:00:00
        text = re.sub(r'^(\d{4}):(\d\d):(\d\d)', r'\1-\2-\3', tags.get(tag, ''))
        if found := parse_time(text):
            return found
    match = _IN_NAME.search(Path(path).stem)
    if match is None:
        return None
    year, month, day, *time = match.groups()
    return parse_time(f'{year}-{month}-{day}' + (f'T{":".join(time)}' if time[0] else ''))


def parse_time(text: str | None) -> pd.Interval | None:
    """Read a date or time as ISO 8601 and TIFF write them; with a time zone it becomes UTC."""
    if not text:
        return None
    time = pd.to_datetime(text, errors='coerce', utc=True)
    if pd.isna(time):
        return None
    start = pd.Timestamp(time.tz_localize(None))
    return _lasting(start, 'day' if start == start.normalize() else 'second')


def period(times: Sequence[pd.Interval | None]) -> pd.Interval:
    """Give the time from the first to the last of some periods; all time if one is unknown."""
    known = [time for time in times if time is not None]
    if not known or len(known) < len(times):
        return ALWAYS
    return pd.Interval(
        min(time.left for time in known), max(time.right for time in known), closed='both'
    )


def _lasting(start: pd.Timestamp, unit: str) -> pd.Interval:
    end = start + pd.DateOffset(**{f'{unit}s': 1}) - pd.Timedelta(microseconds=1)
    return pd.Interval(start, end, closed='both')


def _by_pattern(path: str, pattern: str) -> pd.Interval:
    expression, unit = _compile(pattern)
    name = Path(path).name
    match = expression.search(name)
    date = pd.NaT if match is None else pd.to_datetime(match[0], format=pattern, errors='coerce')
    if pd.isna(date):
        raise BadInput(
            f'date_pattern: {name} holds no date like {pattern!r}.',
            'Change the pattern, or leave files without date out.',
        )
    return _lasting(pd.Timestamp(date), unit)


def _compile(pattern: str) -> tuple[re.Pattern[str], str]:
    """Make a regular expression of a pattern, and tell what its dates are exact to."""
    parts = re.split(r'%(.)', pattern)
    directives = parts[1::2]
    unknown = [letter for letter in directives if letter not in _DIRECTIVES]
    if unknown or not {'Y', 'y'} & set(directives):
        what = f'%{unknown[0]} is unknown' if unknown else 'it has no year'
        raise BadParameter(
            f'date_pattern: {pattern!r} cannot be used, {what}.',
            'Use %Y %y %m %b %d %j %H %M %S, for example %Y%m%d.',
        )
    text = ''.join(
        _DIRECTIVES[part][0] if odd else re.escape(part)
        for odd, part in zip([i % 2 for i in range(len(parts))], parts, strict=True)
    )
    return re.compile(text), max((_DIRECTIVES[d][1] for d in directives), key=_UNITS.index)
