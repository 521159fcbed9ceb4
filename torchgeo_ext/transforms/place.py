"""Tells where samples lie."""

from typing import ClassVar

import pyproj
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._base import Sample, SampleTransform


class AddPoint(SampleTransform):
    """Add ``point``, longitude and latitude of the middle in degrees, float64, from ``bounds``.

    For datasets of TorchGeo, as their ``transforms``; ours add it by themselves. TorchGeo's bounds
    are float32, half a metre apart in UTM, which does not matter here.

    Args:
        crs: Reference system of the dataset, as an identifier such as ``EPSG:32633`` or WKT.

    Raises:
        BadParameter: If it is not known.
    """

    needs_sample: ClassVar[bool] = True

    def __init__(self, crs: str) -> None:
        super().__init__()
        self.crs = crs
        try:
            self._degrees = pyproj.Transformer.from_crs(crs, 'EPSG:4326', always_xy=True)
        except pyproj.exceptions.CRSError as error:
            raise BadParameter(
                f'crs: {crs!r} is not known ({error}).', 'Give for instance EPSG:32633.'
            ) from error

    def transform(self, sample: Sample) -> Sample:
        """Add the middle of each image (2,) or (b, 2)."""
        if 'bounds' not in sample:
            raise BadInput(
                f'AddPoint needs bounds in the sample, which has {", ".join(sample)}.',
                'Use it with a dataset of georeferenced images.',
            )
        # joined datasets have those of each part, one after the other
        bounds = sample['bounds'].double()
        x, y = (bounds[..., first : first + 2].mean(dim=-1).cpu().numpy() for first in (0, 3))
        point = torch.stack([torch.as_tensor(v) for v in self._degrees.transform(x, y)], dim=-1)
        sample['point'] = point.to(bounds)
        return sample
