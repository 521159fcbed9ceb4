"""From raster file to raster file: streaming, exact, bounded inference.

Start at :func:`torchgeo_ext.inference.predict.predict_raster`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchgeo_ext.inference.augment import TestTimeAugmentation
    from torchgeo_ext.inference.content import CLIPSegContent, SegmenterContent
    from torchgeo_ext.inference.device import available_devices, pick_device
    from torchgeo_ext.inference.grid import Grid
    from torchgeo_ext.inference.mask import MaskSource
    from torchgeo_ext.inference.outputs import RasterClass, RasterOutput
    from torchgeo_ext.inference.predict import PredictSummary, predict_raster
    from torchgeo_ext.inference.reader import RasterSource, open_raster
    from torchgeo_ext.inference.statistics import BandStatistics, band_statistics

#: Where each public name is; what needs PyTorch is imported when it is used.
_HOMES = {
    'BandStatistics': 'statistics',
    'CLIPSegContent': 'content',
    'Grid': 'grid',
    'MaskSource': 'mask',
    'PredictSummary': 'predict',
    'RasterClass': 'outputs',
    'RasterOutput': 'outputs',
    'RasterSource': 'reader',
    'SegmenterContent': 'content',
    'TestTimeAugmentation': 'augment',
    'available_devices': 'device',
    'band_statistics': 'statistics',
    'open_raster': 'reader',
    'pick_device': 'device',
    'predict_raster': 'predict',
}

__all__ = (
    'BandStatistics',
    'CLIPSegContent',
    'Grid',
    'MaskSource',
    'PredictSummary',
    'RasterClass',
    'RasterOutput',
    'RasterSource',
    'SegmenterContent',
    'TestTimeAugmentation',
    'available_devices',
    'band_statistics',
    'open_raster',
    'pick_device',
    'predict_raster',
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
