r"""Shares of materials in pixels: linear unmixing.

A pixel :math:`x` is taken for a mixture :math:`E a` of endmembers, the spectra of pure materials in
the columns of :math:`E`, and the abundances :math:`a` minimise :math:`\|E a - x\|^2`: not negative
(NNLS, non-negative least squares), or not negative with a sum of one (FCLS, fully constrained).
Both are found exactly, by the primal active-set method, for many pixels at once: pixels whose
abundances are positive for the same endmembers share one small system of equations.

References:
    Lawson, C. L. & Hanson, R. J. (1974). Solving least squares problems. Prentice-Hall, chapter 23.
    Heinz, D. C. & Chang, C.-I (2001). Fully constrained least squares linear spectral mixture
    analysis method for material quantification in hyperspectral imagery. IEEE Transactions on
    Geoscience and Remote Sensing 39(3), 529-545. https://doi.org/10.1109/36.911111

Arrays: c bands, n pixels, p endmembers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import linalg
from numpy.typing import NDArray

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.moments import Floats
from torchgeo_ext.inference.spectral.cube import PixelModel

Method = Literal['fcls', 'nnls']

#: Which endmembers are used fits into the bits of an integer.
MOST_ENDMEMBERS = 60
#: A step of the active-set method is done when no gradient is below this share of its size.
_TOLERANCE = 1e-10
#: Rounds for each endmember at most.
_ROUNDS = 10
#: Endmembers whose scaled Gram matrix has a smaller eigenvalue cannot be told apart.
_SINGULAR = 1e-12


@dataclass(frozen=True)
class Unmixing(PixelModel):
    """Computes the abundances of endmembers and what they leave unexplained.

    Args:
        endmembers: Spectra (c, p).
        method: How, see above.
    """

    endmembers: Floats
    method: Method = 'fcls'

    def abundances(self, pixels: Floats) -> Floats:
        """Compute the abundances (p, n) of pixels (c, n)."""
        return constrained_least_squares(self.endmembers, pixels, self.method == 'fcls')

    def scores(self, pixels: Floats) -> Floats:
        """Compute abundances and, below them, the root mean square of the residual (p + 1, n)."""
        found = self.abundances(pixels)
        residual = np.sqrt(np.square(self.endmembers @ found - pixels).mean(0))
        return np.concatenate([found, residual[None]])


def check_endmembers(endmembers: Floats, names: tuple[str, ...], argument: str) -> None:
    """Refuse endmembers that cannot be told apart.

    Args:
        endmembers: Spectra (c, p).
        names: Their names.
        argument: The argument they came from, for messages.

    Raises:
        BadInput: If there are too many, or one is a mixture of the others.
    """
    bands, count = endmembers.shape
    if not 1 <= count <= min(bands, MOST_ENDMEMBERS):
        raise BadInput(
            f'{argument}: there are {count} endmembers; with {bands} bands 1 to '
            f'{min(bands, MOST_ENDMEMBERS)} can be told apart.',
            'Name some of them, or use more bands.',
        )
    lengths = linalg.norm(endmembers, axis=0)
    if not lengths.all():
        zero = names[int(np.argmin(lengths))]
        raise BadInput(f'{argument}: {zero} is zero in all bands.', 'Leave it out.')
    scaled = endmembers / lengths
    values, vectors = linalg.eigh(scaled.T @ scaled)
    if values[0] < _SINGULAR:
        share = np.abs(vectors[:, 0])
        involved = [name for name, part in zip(names, share, strict=True) if part > 0.01]
        raise BadInput(
            f'{argument}: {", ".join(involved)} are mixtures of each other, so their shares '
            'cannot be told apart.',
            'Leave one of them out.',
        )


def constrained_least_squares(endmembers: Floats, pixels: Floats, sum_to_one: bool) -> Floats:
    """Minimise the residuals of mixtures whose abundances are not negative.

    Args:
        endmembers: Linearly independent spectra (c, p).
        pixels: Spectra (c, n).
        sum_to_one: Whether the abundances of each pixel shall add up to one.

    Returns:
        Abundances (p, n).
    """
    # one scale for all, so that tolerances mean the same for reflectances and digital numbers
    scale = float(np.sqrt(np.square(endmembers).mean())) or 1.0
    gram = endmembers.T @ endmembers / scale**2
    right = endmembers.T @ pixels / scale**2
    return _ActiveSet(gram, right, sum_to_one).solve()


class _ActiveSet:
    """The primal active-set method for many right-hand sides at once.

    Abundances stay feasible. In each round those in use are moved to where the residual is least
    without regard to their sign; if any would become negative, only as far as the first of them
    reaches zero, which is then no longer in use. A pixel that arrives takes in the endmember that
    lowers its residual fastest; if there is none, it is done.

    Args:
        gram: Scalar products of endmembers (p, p).
        right: Scalar products of endmembers and pixels (p, n).
        sum_to_one: Whether abundances add up to one.
    """

    def __init__(self, gram: Floats, right: Floats, sum_to_one: bool) -> None:
        self._gram, self._right, self._sum = gram, right, sum_to_one
        self._found = np.zeros(right.shape)
        self._used = np.zeros(right.shape, bool)
        # a smaller gradient is rounding
        self._least = _TOLERANCE * (np.abs(right).max(0, initial=0.0) + np.diag(gram).max())
        if sum_to_one:
            # begin with the endmember that is nearest
            nearest = (np.diag(gram)[:, None] - 2 * right).argmin(0), np.arange(right.shape[1])
            self._found[nearest] = 1.0
            self._used[nearest] = True

    def solve(self) -> Floats:
        """Give the abundances (p, n)."""
        todo = np.arange(self._right.shape[1])
        # as every round lowers the residual it ends by itself; rounding must not keep it going
        for _ in range(_ROUNDS * (len(self._gram) + 1)):
            if not len(todo):
                break
            target, multiplier = self._targets(todo)
            blocked = self._used[:, todo] & (target <= 0)
            stopped = blocked.any(0)
            self._step(todo[stopped], target[:, stopped], blocked[:, stopped])
            there = todo[~stopped]
            self._found[:, there] = target[:, ~stopped]
            taken = self._take_in(there, multiplier[~stopped])
            todo = np.sort(np.concatenate([todo[stopped], there[taken]]))
        return self._found

    def _targets(self, pixels: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Find where the residual is least with the endmembers in use, whatever the signs.

        Returns:
            Abundances (p, m), and the Lagrange multiplier (m) of their sum.
        """
        used, size = self._used[:, pixels], len(self._gram)
        _, first, place = np.unique(
            (1 << np.arange(size, dtype=np.int64)) @ used, return_index=True, return_inverse=True
        )
        chosen = used[:, first].T.astype(float)
        system = np.zeros((len(first), size + self._sum, size + self._sum))
        system[:, :size, :size] = chosen[:, :, None] * self._gram * chosen[:, None, :]
        # of those not in use nothing is asked but to be zero
        system[:, range(size), range(size)] += 1 - chosen
        right = np.where(used, self._right[:, pixels], 0.0)
        if self._sum:
            system[:, :size, size] = system[:, size, :size] = chosen
            right = np.concatenate([right, np.ones((1, len(pixels)))])
        solved = np.einsum('nij,jn->in', linalg.inv(system)[place], right)
        return solved[:size], solved[size] if self._sum else np.zeros(len(pixels))

    def _step(self, pixels: NDArray[np.intp], target: Floats, blocked: NDArray[np.bool_]) -> None:
        """Go towards targets until the first abundance of each pixel is zero, and drop it."""
        found = self._found[:, pixels]
        way = np.where(blocked, found - target, 1.0)
        ratio = np.where(blocked, found / np.where(way > 0, way, 1.0), np.inf)
        nearest = ratio.min(0)
        dropped = blocked & (ratio <= nearest)
        self._found[:, pixels] = np.where(dropped, 0.0, found + nearest * (target - found))
        self._used[:, pixels] &= ~dropped

    def _take_in(self, pixels: NDArray[np.intp], multiplier: Floats) -> NDArray[np.bool_]:
        """Use the endmember that lowers the residual fastest, and tell which pixels had one."""
        descent = self._right[:, pixels] - self._gram @ self._found[:, pixels] - multiplier
        descent[self._used[:, pixels]] = -np.inf
        best = descent.argmax(0)
        taken: NDArray[np.bool_] = descent.max(0, initial=-np.inf) > self._least[pixels]
        self._used[best[taken], pixels[taken]] = True
        return taken
