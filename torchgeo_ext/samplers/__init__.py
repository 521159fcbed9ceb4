"""Where to take patches from: TorchGeo samplers that know their exact pixels."""

from torchgeo_ext.samplers._patches import Location, Patch
from torchgeo_ext.samplers._roles import Roles, Separation
from torchgeo_ext.samplers.balanced_change import BalancedChangeSampler
from torchgeo_ext.samplers.blocked_split import BlockedSplit, BlockLattice, BlockRoles
from torchgeo_ext.samplers.cell_weights import (
    CellWeights,
    ClassBalance,
    FeatureDensity,
    RasterWeight,
    class_weights,
)
from torchgeo_ext.samplers.coverage import coverage, plot_coverage
from torchgeo_ext.samplers.dates import TwoPhases, TwoSeasons, greenness_dates, two_dates
from torchgeo_ext.samplers.disjoint_patches import DisjointPatches, disjoint_patches
from torchgeo_ext.samplers.hard_example import HardExampleSampler
from torchgeo_ext.samplers.polygon import PolygonSampler
from torchgeo_ext.samplers.seeded_random import SeededRandomSampler
from torchgeo_ext.samplers.seeded_time import SeededPeriodSampler, SeededTimedeltaSampler
from torchgeo_ext.samplers.stratified import StratifiedSampler
from torchgeo_ext.samplers.tiled import TiledSampler
from torchgeo_ext.samplers.tuples import PairSampler, TripletSampler, TupleDataset
from torchgeo_ext.samplers.weighted import WeightedSampler

__all__ = (
    'BalancedChangeSampler',
    'BlockLattice',
    'BlockRoles',
    'BlockedSplit',
    'CellWeights',
    'ClassBalance',
    'DisjointPatches',
    'FeatureDensity',
    'HardExampleSampler',
    'Location',
    'PairSampler',
    'Patch',
    'PolygonSampler',
    'RasterWeight',
    'Roles',
    'SeededPeriodSampler',
    'SeededRandomSampler',
    'SeededTimedeltaSampler',
    'Separation',
    'StratifiedSampler',
    'TiledSampler',
    'TripletSampler',
    'TupleDataset',
    'TwoPhases',
    'TwoSeasons',
    'WeightedSampler',
    'class_weights',
    'coverage',
    'disjoint_patches',
    'greenness_dates',
    'plot_coverage',
    'two_dates',
)
