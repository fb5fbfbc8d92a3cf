"""Predicted distributions of changes, and how good they were: coverage, pinball loss, CRPS, beside past changes.

A change is that of the Close from the origin to some day ahead, as a share: a log return under window scaling, else by
the Close at the origin (`Scaler.changes`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trendlstm.evaluation.intervals import error_overlap
from trendlstm.evaluation.metrics import clustered_interval, origins_ahead
from trendlstm.evaluation.significance import TestResult, smaller_losses
from trendlstm.evaluation.walk_bands import Coverage

FloatArray = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True, eq=False)
class Distribution:
    """What is predicted of n x m numbers.

    Attributes
    ----------
    levels : tuple of float
        Q numbers above 0 and below 1, ascending; 0.5 is one of them.
    quantiles : ndarray (n, m, Q)
        Of these levels.
    scale : ndarray (n, m) or None
        The standard deviation of a normal distribution, whose mean is the quantile 0.5; None where no more than the
        quantiles is known.
    """

    levels: tuple[float, ...]
    quantiles: FloatArray
    scale: FloatArray | None = None

    @classmethod
    def normal(cls, levels: tuple[float, ...], mean: FloatArray, scale: FloatArray) -> Distribution:
        """Normal distributions, given mean and standard deviation (n, m)."""
        away = [NormalDist().inv_cdf(level) for level in levels]
        return cls(levels, mean[..., None] + scale[..., None] * np.array(away), scale)

    @classmethod
    def of(cls, levels: tuple[float, ...], quantiles: FloatArray, is_normal: bool) -> Distribution:
        """As the quantiles say; of a normal distribution they also say its scale."""
        if not is_normal:
            return cls(levels, quantiles)
        width = NormalDist().inv_cdf(levels[-1]) - NormalDist().inv_cdf(levels[0])
        return cls(levels, quantiles, (quantiles[..., -1] - quantiles[..., 0]) / width)

    @property
    def median(self) -> FloatArray:
        """The quantile 0.5, (n, m)."""
        return self.quantiles[..., self.levels.index(0.5)]

    def crps(self, actual: FloatArray) -> FloatArray:
        """The continuous ranked probability score, (n, m), of the outcomes (n, m); see `crps_normal`."""
        if self.scale is not None:
            return crps_normal(actual, self.median, self.scale)
        return crps_of_quantiles(actual, self.quantiles, self.levels)


def pinball_losses(actual: FloatArray, quantiles: FloatArray, levels: Sequence[float]) -> FloatArray:
    """What the errors of predicted quantiles cost (Koenker & Bassett 1978).

    Parameters
    ----------
    actual : ndarray (...)
    quantiles : ndarray (..., Q)
    levels : sequence of Q float

    Returns
    -------
    ndarray (..., Q)
        max(q (y - p), (q - 1) (y - p)) of the level q, its quantile p and the outcome y.
    """
    error, level = actual[..., None] - quantiles, np.array(levels)
    return np.maximum(level * error, (level - 1) * error)


def crps_of_quantiles(actual: FloatArray, quantiles: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Approximate the continuous ranked probability score by twice the mean pinball loss of a few quantiles.

    The score is twice the integral of the pinball loss over all levels (Gneiting & Ranjan 2011). Of a few levels the
    mean says little about the tails, so only scores of the same levels can be compared.

    Parameters
    ----------
    actual, quantiles, levels
        As of `pinball_losses`.

    Returns
    -------
    ndarray (...)
    """
    return 2 * pinball_losses(actual, quantiles, levels).mean(axis=-1)


def crps_normal(actual: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """The continuous ranked probability score of normal distributions (Gneiting & Raftery 2007).

    With z = (y - mean) / scale and the standard normal density and distribution function::

        scale (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))

    It is in the units of y; where all is known for certain it is the absolute error. Smaller is better.

    Parameters
    ----------
    actual, mean, scale : ndarray
        Of one shape.

    Returns
    -------
    ndarray
    """
    z = (actual - mean) / scale
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return scale * (z * _erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


def crps_of_sample(actual: FloatArray, sample: FloatArray) -> FloatArray:
    """The continuous ranked probability score of the empirical distribution of a sample.

    Parameters
    ----------
    actual : ndarray (n,)
    sample : ndarray (k,)

    Returns
    -------
    ndarray (n,)
        E|X - y| - E|X - X'| / 2, X and X' being drawn from the sample (Gneiting & Raftery 2007).
    """
    ascending = np.sort(sample)
    k = len(ascending)
    spread = 2 * float((2 * np.arange(1, k + 1) - k - 1) @ ascending) / k**2  # E|X - X'|
    return np.abs(actual[:, None] - ascending).mean(axis=1) - spread / 2


@dataclass(frozen=True)
class QuantileBand:
    """How often the outcome lay between two predicted quantiles.

    Attributes
    ----------
    step : int
        Days ahead.
    lower, upper : float
        The levels of the quantiles.
    covered, counted : int
        Test rows whose price lay between them, of all.
    low, high : float
        95 % interval of covered / counted, see `metrics.clustered_interval`, for n / `error_overlap` rows.
    """

    step: int
    lower: float
    upper: float
    covered: int
    counted: int
    low: float
    high: float

    @property
    def coverage(self) -> float:
        """Share of the test rows whose price lay between the quantiles."""
        return self.covered / self.counted

    @property
    def counts(self) -> Coverage:
        """The same as of other bands of a walk, without a half-width."""
        return Coverage(self.covered, self.counted, self.low, self.high, None)

    @property
    def nominal(self) -> float:
        """The share that should."""
        return self.upper - self.lower

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, the coverage and what it should be as a plain dict, fit for JSON."""
        return {**asdict(self), "coverage": self.coverage, "nominal": self.nominal}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> QuantileBand:
        """Restore a band from `to_dict`'s result."""
        return cls(**{name: value for name, value in state.items() if name not in ("coverage", "nominal")})


@dataclass(frozen=True)
class DistributionMetrics:
    """How good the distributions of one step were on the test rows, beside those of past changes.

    Attributes
    ----------
    step : int
        Days ahead.
    n : int
        Test rows.
    levels : tuple of float
    bands, baseline_bands : tuple of QuantileBand
        Of the lowest and the highest level, of the next ones, and so on.
    pinball, baseline_pinball : tuple of float
        Mean pinball loss by level, as a share of the price.
    crps, baseline_crps : float
        Mean continuous ranked probability score, as a share of the price.
    is_exact : bool
        Whether the scores are of whole distributions, not of the quantiles alone.
    diebold_mariano : TestResult
        Whether the expected score is smaller than the baseline's.
    """

    step: int
    n: int
    levels: tuple[float, ...]
    bands: tuple[QuantileBand, ...]
    baseline_bands: tuple[QuantileBand, ...]
    pinball: tuple[float, ...]
    baseline_pinball: tuple[float, ...]
    crps: float
    baseline_crps: float
    is_exact: bool
    diebold_mariano: TestResult

    @property
    def skill(self) -> float | None:
        """1 - CRPS / CRPS of past changes; None where that is 0."""
        return 1 - self.crps / self.baseline_crps if self.baseline_crps else None

    def row(self) -> dict[str, Any]:
        """The measures of a table."""
        return {
            "crps": self.crps,
            "baseline_crps": self.baseline_crps,
            "crps_skill": self.skill,
            "crps_diebold_mariano_p": self.diebold_mariano.p_value,
        }

    def to_dict(self) -> dict[str, Any]:
        """The measures as nested plain dicts."""
        return {
            **asdict(self),
            "bands": [band.to_dict() for band in self.bands],
            "baseline_bands": [band.to_dict() for band in self.baseline_bands],
            "skill": self.skill,
        }


class Scores(NamedTuple):
    """Distributions of one step, predicted and of past changes, beside the outcomes; n origins.

    Attributes
    ----------
    actual : ndarray (n,)
        The changes.
    quantiles, baseline_quantiles : ndarray (n, Q)
    crps, baseline_crps : ndarray (n,)
    """

    actual: FloatArray
    quantiles: FloatArray
    baseline_quantiles: FloatArray
    crps: FloatArray
    baseline_crps: FloatArray


def score_distributions(predicted: Distribution, actual: FloatArray, past: FloatArray) -> list[Scores]:
    """Score predicted distributions of changes, and persistence with the empirical distribution of past changes.

    Parameters
    ----------
    predicted : Distribution
        Of n x m changes.
    actual : ndarray (n, m)
        The changes.
    past : ndarray (k, m)
        Those of the training rows.

    Returns
    -------
    list of Scores
        One a step.
    """
    usual = np.broadcast_to(np.quantile(past, predicted.levels, axis=0).T, predicted.quantiles.shape)
    if predicted.scale is None:
        baseline = crps_of_quantiles(actual, usual, predicted.levels)
    else:
        baseline = np.column_stack(
            [crps_of_sample(one, own) for one, own in zip(actual.T, past.T, strict=True)]
        )
    crps = predicted.crps(actual)
    return [
        Scores(actual[:, k], predicted.quantiles[:, k], usual[:, k], crps[:, k], baseline[:, k])
        for k in range(actual.shape[1])
    ]


def measure_distributions(
    dates: Sequence[NDArray[np.datetime64]],
    scores: Sequence[Scores],
    levels: tuple[float, ...],
    is_exact: bool,
    step: int,
    stride: int = 1,
) -> DistributionMetrics:
    """Measure the distributions of one step, of one ticker or pooled over many.

    Parameters
    ----------
    dates : sequence of ndarray (n,)
        The origins' dates of each ticker.
    scores : sequence of Scores
        Of each ticker.
    levels : tuple of float
    is_exact : bool
        Whether the scores are of whole distributions.
    step : int
        Days ahead.
    stride : int
        Days from one origin to the next.

    Returns
    -------
    DistributionMetrics
        The test is of the means over tickers by date, because tickers move together.
    """
    all_dates, day = np.unique(np.concatenate(dates), return_inverse=True)
    together = Scores(*map(np.concatenate, zip(*scores, strict=True)))
    per_day = np.bincount(day).astype(np.float64)

    def by_date(values: FloatArray) -> FloatArray:
        return np.bincount(day, values, minlength=len(all_dates)) / per_day

    def bands(quantiles: FloatArray) -> tuple[QuantileBand, ...]:
        found = []
        for low in range(len(levels) // 2):
            high = len(levels) - 1 - low
            held = (quantiles[:, low] <= together.actual) & (together.actual <= quantiles[:, high])
            interval = clustered_interval(
                np.bincount(day, held).astype(np.float64), per_day, error_overlap(step, stride)
            )
            found.append(QuantileBand(step, levels[low], levels[high], int(held.sum()), held.size, *interval))
        return tuple(found)

    def pinball(quantiles: FloatArray) -> tuple[float, ...]:
        return tuple(pinball_losses(together.actual, quantiles, levels).mean(axis=0).tolist())

    return DistributionMetrics(
        step=step,
        n=together.actual.size,
        levels=levels,
        bands=bands(together.quantiles),
        baseline_bands=bands(together.baseline_quantiles),
        pinball=pinball(together.quantiles),
        baseline_pinball=pinball(together.baseline_quantiles),
        crps=float(together.crps.mean()),
        baseline_crps=float(together.baseline_crps.mean()),
        is_exact=is_exact,
        diebold_mariano=smaller_losses(
            by_date(together.crps), by_date(together.baseline_crps), origins_ahead(step, stride)
        ),
    )
