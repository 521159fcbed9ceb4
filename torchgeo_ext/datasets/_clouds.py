"""Cloud masks: which of their values say that the ground is not seen."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.errors import BadParameter


@dataclass(frozen=True)
class CloudRule:
    """Tells clouds from the values of a mask.

    Without values or bits, all but 0 is cloud. Sentinel-2's scene classification has cloud shadow,
    clouds and cirrus as values 3, 8, 9, 10; Landsat's QA_PIXEL has dilated cloud, cirrus, cloud and
    shadow as bits 1, 2, 3, 4; Fmask's classes have shadow and cloud as values 2, 4.

    Args:
        values: Values that mean cloud.
        bits: Bits, from 0, one of which being set means cloud.

    Raises:
        BadParameter: If a bit is not between 0 and 31.
    """

    values: Collection[int] = ()
    bits: Collection[int] = ()

    def __post_init__(self) -> None:
        for bit in self.bits:
            if not 0 <= bit <= 31:
                raise BadParameter(
                    f'cloud_bits: {bit} is not between 0 and 31.', 'Count bits from 0.'
                )

    def clouds(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Say which pixels are cloud."""
        if not self.values and not self.bits:
            return values != 0
        codes = values.astype(np.int64)
        found: NDArray[np.bool_] = (codes & sum(1 << bit for bit in set(self.bits))) != 0
        if self.values:
            found |= np.isin(codes, list(self.values))
        return found
