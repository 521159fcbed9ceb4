"""What bands of one set say about bands of another one, as a matrix.

A spectrum that was measured with bands of known centres is taken as linear between them. A band
that is asked for weighs this spectrum with a Gaussian response; the integral of a line times a
Gaussian has a closed form, so the weights are exact::

    target_i = Σ_j W_ij source_j,   W_ij = ∫ g_i(λ) h_j(λ) dλ / ∫ g_i(λ) dλ

with h_j, which is 1 at the centre of source band j and falls to 0 at its neighbours, and both
integrals from one end of the source to the other. The source has blurred the spectrum already, so
g_i is only as wide as brings it to the width asked for (widths of Gaussians add in squares).
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
        Weights (target, source), rows of which add up to 1 (0 where nothing was measured), and
        coverage (target,): which share of a band's response lies where the source has measured,
        which is within a full width at half maximum of one of its centres.

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
    weights = _hats(wanted, spread, nodes, centres[0] - widths[0], centres[-1] + widths[-1])
    shared = weights[:, groups] / np.bincount(groups)[groups]
    matrix = np.zeros((len(target), len(source)))
    matrix[:, used] = shared
    return matrix, _coverage(wanted, blur * _SIGMA, centres - widths, centres + widths)


def _merged(centres: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Give the different centres, and of each band which one it has."""
    groups = np.concatenate([[0], np.cumsum(np.diff(centres) > _SAME)])
    nodes: Floats = np.bincount(groups, centres) / np.bincount(groups)
    return nodes, groups


def _hats(wanted: Floats, spread: Floats, nodes: Floats, first: float, last: float) -> Floats:
    """Integrate responses times what is 1 at one node and 0 at the others, rows adding up to 1."""
    edges = np.concatenate([[first], nodes, [last]])
    z = (edges - wanted[:, None]) / spread[:, None]
    # of each segment between edges: ∫ g and ∫ λ g
    mass = np.diff(ndtr(z))
    moment = wanted[:, None] * mass - spread[:, None] * np.diff(_density(z))
    inner, gaps = slice(1, -1), np.diff(nodes)
    right = (moment[:, inner] - nodes[:-1] * mass[:, inner]) / gaps
    weights = np.zeros((len(wanted), len(nodes)))
    # beyond the outer nodes the spectrum stays as it is there
    weights[:, 0] += mass[:, 0]
    weights[:, -1] += mass[:, -1]
    weights[:, 1:] += right
    weights[:, :-1] += mass[:, inner] - right
    total = weights.sum(1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 1e-12)


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
