"""What bands of one set say about bands of another one, as a matrix.

A spectrum that was measured with bands of known centres is taken as linear between them. A band
that is asked for weighs this spectrum with a Gaussian response; the integral of a line times a
Gaussian has a closed form, so the weights are exact::

    target_i = Σ_j W_ij source_j,   W_ij = ∫ g_i(λ) h_j(λ) dλ

with h_j, which is 1 at the centre of source band j and falls to 0 at its neighbours; beyond the
outer bands the spectrum stays as it is there. The source has blurred the spectrum already, so g_i
is only as wide as brings it to the width asked for (widths of Gaussians add in squares).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.sensors import BandWavelengths

Floats = NDArray[np.float64]

#: Standard deviation of a Gaussian, as a share of its full width at half maximum.
_SIGMA = 1 / math.sqrt(8 * math.log(2))
#: Smallest standard deviation in micrometres: nothing but interpolation.
_NARROWEST = 1e-9
#: Centres nearer than this, in micrometres, are the same.
_SAME = 1e-6


def response_matrix(source: BandWavelengths, target: BandWavelengths) -> tuple[Floats, Floats]:
    """Compute the weights of source bands in target bands.

    Args:
        source: Bands that were measured, in any order; bad ones and those of unknown wavelength
            have no weight.
        target: Bands that are asked for.

    Returns:
        Weights (target, source), rows of which add up to 1, and coverage (target,): which share of
        a band's response lies where the source has measured, which is within a full width at half
        maximum of one of its centres.

    Raises:
        BadParameter: If no source band can be used, or the wavelength of a target is not known.
    """
    used = [i for i in source.order if source.good[i]]
    if not used:
        raise BadParameter('The source has no good band of known wavelength.')
    if len(target.order) < len(target):
        unknown = [name for i, name in enumerate(target.names) if i not in target.order]
        raise BadParameter(f'target: the wavelengths of {", ".join(unknown)} are not known.')
    centres, widths = (np.array(values)[used] for values in (source.centre, source.widths))
    nodes, groups = _merged(centres)
    wanted, blur = np.array(target.centre), np.array(target.widths)
    added = np.sqrt(np.maximum(blur**2 - np.interp(wanted, centres, widths) ** 2, 0))
    spread = np.maximum(added * _SIGMA, _NARROWEST)
    weights = _hats(wanted, spread, nodes)
    shared = weights[:, groups] / np.bincount(groups)[groups]
    matrix = np.zeros((len(target), len(source)))
    matrix[:, used] = shared
    return matrix, _coverage(wanted, blur * _SIGMA, centres - widths, centres + widths)


def _merged(centres: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Give the different centres, and of each band which one it has."""
    groups = np.concatenate([[0], np.cumsum(np.diff(centres) > _SAME)])
    nodes: Floats = np.bincount(groups, centres) / np.bincount(groups)
    return nodes, groups


def _hats(wanted: Floats, spread: Floats, nodes: Floats) -> Floats:
    """Integrate responses times what is 1 at one node and falls to 0 at its neighbours."""
    z = (nodes - wanted[:, None]) / spread[:, None]
    # ∫ g and ∫ λ g of each segment between nodes
    mass = np.diff(ndtr(z))
    moment = wanted[:, None] * mass - spread[:, None] * np.diff(_density(z))
    upper = (moment - nodes[:-1] * mass) / np.diff(nodes)
    weights = np.zeros((len(wanted), len(nodes)))
    weights[:, 1:] += upper
    weights[:, :-1] += mass - upper
    weights[:, 0] += ndtr(z[:, 0])
    weights[:, -1] += ndtr(-z[:, -1])
    return weights


def _density(z: Floats) -> Floats:
    density: Floats = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return density


def _coverage(wanted: Floats, spread: Floats, low: Floats, high: Floats) -> Floats:
    """Share of each response in the union of intervals."""
    spread = np.maximum(spread, _NARROWEST)[:, None]
    order = np.argsort(low)
    low, high = low[order], high[order]
    reached = np.maximum.accumulate(np.concatenate([[-np.inf], high[:-1]]))
    start = np.maximum(low, reached)
    inside = high > start
    ends = ((end[inside] - wanted[:, None]) / spread for end in (start, high))
    below, above = (ndtr(z) for z in ends)
    covered: Floats = (above - below).sum(1)
    return covered
