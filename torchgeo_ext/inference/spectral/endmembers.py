r"""Spectra of pure materials found in the image itself: VCA, N-FINDR, ATGP.

All three look for the corners of the cloud of pixels. Corners are extreme in some direction, so one
pass first keeps the pixels that are extreme along one of many random directions, which takes no
more memory for a larger image; the methods then choose among these. Endmembers are real pixels, so
they have a place on the map.

References:
    Nascimento, J. M. P. & Bioucas Dias, J. M. (2005). Vertex component analysis: a fast algorithm
    to unmix hyperspectral data. IEEE Transactions on Geoscience and Remote Sensing 43(4), 898-910.
    https://doi.org/10.1109/TGRS.2005.844293

    Winter, M. E. (1999). N-FINDR: an algorithm for fast autonomous spectral end-member
    determination in hyperspectral data. Proc. SPIE 3753. https://doi.org/10.1117/12.366289

    Ren, H. & Chang, C.-I (2003). Automatic spectral target recognition in hyperspectral imagery.
    IEEE Transactions on Aerospace and Electronic Systems 39(4), 1232-1249.
    https://doi.org/10.1109/TAES.2003.1261124

Arrays: c bands, d directions, k components, n pixels, p endmembers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import linalg
from numpy.typing import NDArray

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.moments import Floats, pieces
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.inference.spectral.reduction import Reduction, fit_pca
from torchgeo_ext.progress import Progress, portion, silent

Method = Literal['vca', 'nfindr', 'atgp']

#: Random directions; both ends of each are kept.
_DIRECTIONS = 512
#: N-FINDR ends by itself; this is for ties.
_ROUNDS = 50


@dataclass(frozen=True)
class Candidates:
    """Pixels that may be pure.

    Args:
        spectra: Their bands (c, n).
        places: Column and row (n, 2) in the grid of the cube.
    """

    spectra: Floats
    places: NDArray[np.intp]

    def chosen(self, numbers: NDArray[np.intp]) -> 'Candidates':
        """Give some of them."""
        return Candidates(self.spectra[:, numbers], self.places[numbers])


def find_endmembers(
    cube: Cube, count: int, method: Method, *, seed: int = 0, progress: Progress = silent
) -> Candidates:
    """Find endmembers in two passes.

    Args:
        cube: The image.
        count: How many.
        method: How.
        seed: Of the directions.
        progress: Told how far it is.

    Raises:
        BadParameter: If there cannot be so many.
        BadInput: If there are too few pixels, or bands are constant.
    """
    if not 2 <= count <= len(cube.bands):
        raise BadParameter(
            f'endmembers is {count}, but must be between 2 and {len(cube.bands)}, the number of '
            'bands.'
        )
    pca = fit_pca(cube, progress=portion(progress, 0, 0.5))
    candidates = extreme_pixels(cube, pca, count, seed, portion(progress, 0.5, 1))
    if candidates.spectra.shape[1] < count:
        raise BadParameter(
            f'endmembers is {count}, but only {candidates.spectra.shape[1]} different pixels are '
            'extreme.',
            'Ask for fewer.',
        )
    if method == 'vca':
        numbers = vertex_components(candidates.spectra, pca, count, seed)
    elif method == 'nfindr':
        numbers = largest_simplex(candidates.spectra, pca, count)
    else:
        numbers = farthest_spectra(candidates.spectra, count)
    return candidates.chosen(numbers)


def extreme_pixels(
    cube: Cube, pca: Reduction, count: int, seed: int = 0, progress: Progress = silent
) -> Candidates:
    """Keep the pixels that are extreme along random directions, in one pass.

    Args:
        cube: The image.
        pca: Its principal components.
        count: Components to draw directions in.
        seed: Of the directions.
        progress: Told how far it is.
    """
    directions = np.random.default_rng(seed).normal(size=(_DIRECTIONS, count))
    # along whitened components no direction is rare
    used = pca.strengths[:count] > 0
    whitened = pca.axes[:count][used] / np.sqrt(pca.strengths[:count][used])[:, None]
    looking = directions[:, used] @ whitened
    highest = np.full(2 * _DIRECTIONS, -np.inf)
    spectra = np.zeros((len(cube.bands), 2 * _DIRECTIONS), np.float32)
    places = np.zeros((2 * _DIRECTIONS, 2), np.intp)
    for part in cube.windows(progress, 'Looking for pure pixels'):
        rows, columns = np.nonzero(part.valid)
        start = 0
        for pixels in pieces(part.pixels):
            # what is zero in all bands is no material, but often an error
            (lit,) = np.nonzero(pixels.any(0))
            if not len(lit):
                start += pixels.shape[1]
                continue
            along = looking @ (pixels[:, lit] - pca.mean[:, None])
            best = np.concatenate([along.argmax(1), along.argmin(1)])
            value = np.concatenate([along.max(1), -along.min(1)])
            (better,) = np.nonzero(value > highest)
            highest[better] = value[better]
            found = lit[best[better]]
            spectra[:, better] = pixels[:, found]
            places[better, 0] = part.window.col_off + columns[start + found]
            places[better, 1] = part.window.row_off + rows[start + found]
            start += pixels.shape[1]
    taken = np.flatnonzero(np.isfinite(highest))
    _, first = np.unique(places[taken], axis=0, return_index=True)
    first = taken[first]
    return Candidates(spectra[:, first].astype(float), places[first])


def vertex_components(
    spectra: Floats, pca: Reduction, count: int, seed: int = 0
) -> NDArray[np.intp]:
    """Choose endmembers by vertex component analysis.

    Each endmember is the pixel that is extreme along a random direction at right angles to all
    endmembers found before. Noisy images are projected onto p - 1 principal components, others
    onto p components through the origin and then in perspective.

    Args:
        spectra: Pixels to choose from (c, n).
        pca: Principal components of the whole image.
        count: Number p of endmembers.
        seed: Of the directions.

    Returns:
        Positions (p) of the chosen pixels.
    """
    mean = pca.mean
    correlation = pca.covariance + np.outer(mean, mean)
    axes = linalg.eigh(correlation)[1][:, ::-1][:, :count]
    projected = axes.T @ spectra
    if _signal_to_noise(pca, count) < 15 + 10 * np.log10(count):
        low = pca.components(spectra, count - 1)
        longest = linalg.norm(low, axis=0).max(initial=0.0)
        points = np.concatenate([low, np.full((1, low.shape[1]), longest)])
    else:
        points = projected / (axes.T @ mean @ projected)
    random = np.random.default_rng(seed)
    basis = np.zeros((count, count))
    basis[-1, 0] = 1
    chosen = np.zeros(count, np.intp)
    for number in range(count):
        drawn = random.normal(size=count)
        across = drawn - basis @ (linalg.pinv(basis) @ drawn)
        chosen[number] = np.abs(across @ points).argmax()
        basis[:, number] = points[:, chosen[number]]
    return chosen


def _signal_to_noise(pca: Reduction, count: int) -> float:
    """Estimate the ratio of powers in decibels, taking what p - 1 components leave for noise."""
    bands, origin = len(pca.mean), float(pca.mean @ pca.mean)
    power = float(pca.strengths.sum()) + origin
    signal = float(pca.strengths[:count].sum()) + origin
    if power <= signal:
        return np.inf
    return 10 * float(np.log10(max(signal - count / bands * power, 1e-300) / (power - signal)))


def largest_simplex(spectra: Floats, pca: Reduction, count: int) -> NDArray[np.intp]:
    """Choose endmembers by N-FINDR: the corners of the largest simplex.

    Begins with the spectra that are farthest from each other and exchanges one corner after the
    other for the pixel that makes the volume largest, until none makes it larger.

    Args:
        spectra: Pixels to choose from (c, n).
        pca: Principal components of the whole image.
        count: Number p of endmembers.

    Returns:
        Positions (p) of the chosen pixels.
    """
    low = pca.components(spectra, count - 1)
    # volumes of whitened components differ by one factor for all simplices
    low /= np.sqrt(np.maximum(pca.strengths[: count - 1], 1e-300))[:, None]
    points = np.concatenate([np.ones((1, low.shape[1])), low])
    chosen = farthest_spectra(points, count)
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for corner in range(count):
            others = np.delete(points[:, chosen], corner, axis=1)
            # the volume grows with the distance from the plane of the other corners
            across = linalg.svd(others, full_matrices=True)[0][:, -1]
            volume = np.abs(across @ points)
            if volume.max() > volume[chosen[corner]] * (1 + 1e-9):
                chosen[corner] = volume.argmax()
        if (before == chosen).all():
            break
    return chosen


def farthest_spectra(spectra: Floats, count: int) -> NDArray[np.intp]:
    """Choose endmembers by ATGP (automatic target generation process).

    The first is the longest spectrum, each next one the longest when what it has in common with
    all before is taken away.

    Args:
        spectra: Pixels to choose from (c, n).
        count: Number p of endmembers.

    Returns:
        Positions (p) of the chosen pixels.
    """
    rest = spectra.copy()
    chosen = np.zeros(count, np.intp)
    for number in range(count):
        lengths = linalg.norm(rest, axis=0)
        chosen[number] = lengths.argmax()
        longest = max(float(lengths.max()), 1e-300)
        direction = rest[:, chosen[number]] / longest
        rest -= np.outer(direction, direction @ rest)
    return chosen
