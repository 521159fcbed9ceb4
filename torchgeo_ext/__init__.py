"""Deep learning on geospatial rasters: TorchGeo extensions and streaming inference.

Importing this package loads neither torch nor rasterio; each room is imported when used.
"""

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from torchgeo_ext.operations._operation import operation

__version__ = '0.1.0'

#: Marks a function as the implementation of one of the hooks in :mod:`torchgeo_ext.hookspecs`.
hookimpl = pluggy.HookimplMarker('torchgeo_ext')

__all__ = ('__version__', 'hookimpl', 'operation')


def __getattr__(name: str) -> Any:
    """Import the decorator of operations when it is first asked for."""
    if name == 'operation':
        from torchgeo_ext.operations._operation import operation

        return operation
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
