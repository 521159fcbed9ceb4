"""Rasters that are opened when first read, by each process and thread for itself.

GDAL's handles can neither be shared between threads nor carried over into a forked worker of a
DataLoader, and thousands of files cannot all stay open.
"""

import atexit
import os
import threading
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, WindowReader

#: Files a thread keeps open; systems allow a process about a thousand.
_MOST_OPEN = 256


class LazyReader:
    """Reads windows of a grid from a raster that is opened when it is needed.

    Args:
        source: The raster.
        grid: The grid.
    """

    def __init__(self, source: RasterSource, grid: Grid) -> None:
        self.source, self.grid = source, grid

    def read(
        self, window: Window, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read values (c, h, w) and validity (h, w), as :meth:`WindowReader.read`."""
        return _open.reader(self).read(window, out)

    def read_native(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read values in the raster's own type, as :meth:`WindowReader.read_native`."""
        return _open.reader(self).read_native(window)


class _OpenReaders(threading.local):
    """The open readers of one thread of one process, the one used last at the end."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._readers: OrderedDict[int, tuple[WindowReader, weakref.finalize[..., Any]]] = (
            OrderedDict()
        )

    def reader(self, lazy: LazyReader) -> WindowReader:
        if self._process != os.getpid():
            # what a forked process inherits belongs to its parent
            self._start()
        key = id(lazy)
        known = self._readers.get(key)
        if known is not None:
            self._readers.move_to_end(key)
            return known[0]
        # a dataset opened without one has an environment of its own, bound to this thread, and
        # could then not be closed by the thread that collects garbage
        with rasterio.Env():
            reader = lazy.source.open(lazy.grid)
        # the identity may be given to another one later
        forget = weakref.finalize(lazy, self._readers.pop, key, None)
        forget.atexit = False
        self._readers[key] = reader, forget
        if len(self._readers) > _MOST_OPEN:
            self._close_oldest()
        return reader

    def close(self) -> None:
        """Close all readers of this thread."""
        while self._readers:
            self._close_oldest()

    def _close_oldest(self) -> None:
        _, (reader, forget) = self._readers.popitem(last=False)
        forget.detach()
        reader.close()


_open = _OpenReaders()
# later on, half of what closing a warped raster takes is gone
atexit.register(_open.close)
