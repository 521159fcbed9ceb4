"""Which two dates of a place to put beside each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray

from torchgeo_ext.errors import BadParameter

_YEAR = 365.25


class Dates(Protocol):
    """Chooses dates for a pair of patches."""

    def __call__(
        self, times: Sequence[pd.Interval], place: shapely.Point, random: np.random.Generator
    ) -> tuple[int, int]:
        """Choose two of the times a place was seen at.

        Args:
            times: In order; at least one.
            place: The middle of the patch in the dataset's reference system.
            random: The only source of chance.

        Returns:
            Positions in ``times`` of the anchor and of its partner; the same one twice where there
            is no other.
        """


def two_dates(
    times: Sequence[pd.Interval], place: shapely.Point, random: np.random.Generator
) -> tuple[int, int]:
    """Choose any two dates."""
    if len(times) == 1:
        return 0, 0
    first, second = random.choice(len(times), 2, replace=False).tolist()
    return first, second


@dataclass(frozen=True)
class TwoSeasons:
    """Choose two dates of different seasons, whatever the years.

    Where no date is far enough from the anchor's, the one that is farthest is taken. Seasonal
    positives are those of Manas et al. (2021), Seasonal Contrast,
    https://arxiv.org/abs/2103.16607.

    Args:
        apart: Days that the two lie apart at least within the year, 0 to 182.

    Raises:
        BadParameter: If ``apart`` is out of range.
    """

    apart: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.apart <= _YEAR / 2:
            raise BadParameter(f'apart: {self.apart} is not between 0 and {_YEAR / 2} days.')

    def __call__(
        self, times: Sequence[pd.Interval], place: shapely.Point, random: np.random.Generator
    ) -> tuple[int, int]:
        """Choose two of the times a place was seen at."""
        days = np.array([time.mid.day_of_year for time in times], dtype=np.float64)
        anchor = int(random.integers(len(times)))
        distance = _apart_in_year(days, days[anchor])
        far = np.flatnonzero(distance >= self.apart) if self.apart else np.arange(len(times))
        far = far[far != anchor]
        if not len(far):
            return anchor, int(distance.argmax())
        return anchor, int(random.choice(far))


@dataclass(frozen=True)
class TwoPhases:
    """Choose two dates of different phases of the local growing season.

    Calendar seasons mean little in the tropics or in drylands; here the vegetation of each place
    sets its dates, see :func:`greenness_dates`. Of each phase the image counts that is nearest to
    it within the year, whatever the years; of several the one nearest in time.

    Args:
        series: Gives the NDVI (n,) and dates (n,) of a place (a point in the dataset's reference
            system).
        quantiles: See :func:`greenness_dates`.
    """

    series: Callable[[shapely.Point], tuple[ArrayLike, ArrayLike]]
    quantiles: tuple[float, ...] = (0.0, 0.5, 1.0)

    def __call__(
        self, times: Sequence[pd.Interval], place: shapely.Point, random: np.random.Generator
    ) -> tuple[int, int]:
        """Choose two of the times a place was seen at."""
        phases = greenness_dates(*self.series(place), self.quantiles)
        days = np.array([np.datetime64(time.mid, 'D') for time in times])
        nearest = np.unique([_nearest_in_year(days, phase) for phase in phases])
        positions = two_dates([times[number] for number in nearest], place, random)
        return int(nearest[positions[0]]), int(nearest[positions[1]])


def greenness_dates(
    ndvi: ArrayLike,
    dates: ArrayLike,
    quantiles: Sequence[float] = (0.0, 0.5, 1.0),
    smooth: float = 30.0,
) -> NDArray[np.datetime64]:
    """Find the dates at which a place is as green as quantiles of its own greenness.

    The annual cycle is cut at its least and its greatest value; a quantile between 0 and 1 is
    looked for on the way up and on the way down. The default gives four dates: dormancy, greening,
    full green and senescence, the phases that SSL4Eco samples (Plekhanova et al., 2025,
    https://arxiv.org/abs/2504.18256), there taken from a satellite product.

    Args:
        ndvi: (n,) values of one or several years; NaN where there is none.
        dates: (n,) their dates, anything numpy takes for datetime64.
        quantiles: 0 (least green) to 1 (greenest).
        smooth: Each value is taken as the median of all within so many days of the year around it,
            whatever their year; a cloud that was overlooked is no dormancy.

    Returns:
        The dates, each one of ``dates``, without repetition and in order of time.

    Raises:
        BadParameter: If the two do not fit each other, no value is there or a quantile is out of
            range.
    """
    values = np.asarray(ndvi, dtype=np.float64)
    days = np.asarray(dates, dtype='datetime64[D]')
    if values.shape != days.shape or values.ndim != 1:
        raise BadParameter(f'ndvi: shape {values.shape} does not fit {days.shape} dates.')
    if any(not 0 <= quantile <= 1 for quantile in quantiles):
        raise BadParameter(f'quantiles: {tuple(quantiles)} are not all between 0 and 1.')
    known = np.isfinite(values)
    values, days = values[known], days[known]
    if not len(values):
        raise BadParameter('ndvi: there is no value.')
    season = _day_of_year(days)
    between = _apart_in_year(season[:, None], season)
    values = np.nanmedian(np.where(between <= smooth / 2, values, np.nan), axis=1)
    low, high = int(values.argmin()), int(values.argmax())
    # days since the least green one, in the year of the greenest
    phase = (season - season[low]) % _YEAR
    limbs = phase <= phase[high], phase >= phase[high]
    found = set()
    for quantile in quantiles:
        away = np.abs(values - np.quantile(values, quantile))
        if quantile in (0, 1):
            found.add(low if quantile == 0 else high)
        else:
            found |= {_nearest(away, limb) for limb in limbs}
    return np.sort(days[sorted(found)])


def _day_of_year(days: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Count the days since the year of each day began."""
    return (days - days.astype('datetime64[Y]')).astype(np.float64)


def _apart_in_year(days: NDArray[np.float64], others: Any) -> NDArray[np.float64]:
    """Give the distance of days of the year, the shorter way round."""
    apart: NDArray[np.float64] = np.abs((days - others + _YEAR / 2) % _YEAR - _YEAR / 2)
    return apart


def _nearest_in_year(days: NDArray[np.datetime64], phase: np.datetime64) -> int:
    in_year = _apart_in_year(_day_of_year(days), _day_of_year(np.array(phase)))
    return int(np.lexsort([np.abs((days - phase).astype(np.float64)), in_year])[0])


def _nearest(away: NDArray[Any], limb: NDArray[np.bool_]) -> int:
    return int(np.where(limb, away, np.inf).argmin())
