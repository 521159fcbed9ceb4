"""How names of bands are compared."""

import functools
import re

#: Short names that are in common use, spelled as :func:`plain` does.
_SAME = {'r': 'red', 'g': 'green', 'b': 'blue', 'n': 'nir', 'nearinfrared': 'nir'}


@functools.lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """Spell a band's name so that B02, b2 and ``Band_2`` are equal, and R and red."""
    word = re.sub(r'[\W_]+', '', name.casefold())
    word = re.sub(r'^band(?=\d)', 'b', word)
    # zeros that only fill up: B02, but not B10 or 2020
    word = re.sub(r'(?<![\d])0+(?=\d)', '', word)
    return _SAME.get(word, word)


def first_part(name: str) -> str:
    """The name before an explanation: ``B4, central wavelength 665 nm`` or ``B4 (red)``."""
    return re.split(r'[,:;(]', name, maxsplit=1)[0].rstrip()


def plain_start(name: str) -> str:
    """The same, spelled as :func:`plain` does."""
    return plain(first_part(name))
