"""Where to take patches from: TorchGeo samplers that know their exact pixels."""

from torchgeo_ext.samplers._patches import Location, Patch
from torchgeo_ext.samplers.blocked_split import BlockedSplit, BlockLattice
from torchgeo_ext.samplers.seeded_random import SeededRandomSampler
from torchgeo_ext.samplers.tiled import TiledSampler

__all__ = (
    'BlockLattice',
    'BlockedSplit',
    'Location',
    'Patch',
    'SeededRandomSampler',
    'TiledSampler',
)
