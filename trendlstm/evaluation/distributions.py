"""Predicted distributions of changes, and how good they were: coverage, pinball loss, CRPS, beside past changes.

A change is that of the Close from the origin to some day ahead, as a share: a log return under window scaling, else by
the Close at the origin (`Scaler.changes`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trendlstm.evaluation.intervals import error_overlap
from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.significance import TestResult, smaller_losses

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
        95 % interval of covered / counted: Wilson's for n / `error_overlap` rows.
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

    def to_dict(self) -> dict[str, Any]:
        """The measures as nested plain dicts."""
        return {
            **asdict(self),
            "bands": [band.to_dict() for band in self.bands],
            "baseline_bands": [band.to_dict() for band in self.baseline_bands],
            "skill": self.skill,
        }


def measure_distributions(
    predicted: Distribution, actual: FloatArray, past: FloatArray
) -> list[DistributionMetrics]:
    """Measure predicted distributions of changes beside persistence with the empirical quantiles of past changes.

    Parameters
    ----------
    predicted : Distribution
        Of n changes from consecutive origins, m steps.
    actual : ndarray (n, m)
        The changes.
    past : ndarray (k, m)
        Those of the training rows.

    Returns
    -------
    list of DistributionMetrics
        One a step.
    """
    return [
        _measure_step(
            Distribution(
                predicted.levels,
                predicted.quantiles[:, index],
                None if predicted.scale is None else predicted.scale[:, index],
            ),
            actual[:, index],
            past[:, index],
            index + 1,
        )
        for index in range(actual.shape[1])
    ]


def _measure_step(
    predicted: Distribution, actual: FloatArray, past: FloatArray, step: int
) -> DistributionMetrics:
    levels, is_exact = predicted.levels, predicted.scale is not None
    usual = np.broadcast_to(np.quantile(past, levels), predicted.quantiles.shape)
    crps = predicted.crps(actual)
    baseline = crps_of_sample(actual, past) if is_exact else crps_of_quantiles(actual, usual, levels)
    return DistributionMetrics(
        step=step,
        n=len(actual),
        levels=levels,
        bands=_bands(actual, predicted.quantiles, levels, step),
        baseline_bands=_bands(actual, usual, levels, step),
        pinball=tuple(pinball_losses(actual, predicted.quantiles, levels).mean(axis=0).tolist()),
        baseline_pinball=tuple(pinball_losses(actual, usual, levels).mean(axis=0).tolist()),
        crps=float(crps.mean()),
        baseline_crps=float(baseline.mean()),
        is_exact=is_exact,
        diebold_mariano=smaller_losses(crps, baseline, step),
    )


def _bands(
    actual: FloatArray, quantiles: FloatArray, levels: Sequence[float], step: int
) -> tuple[QuantileBand, ...]:
    """Between the lowest and the highest quantile, the next ones, and so on."""
    bands = []
    for low in range(len(levels) // 2):
        high, n = len(levels) - 1 - low, len(actual)
        held = (quantiles[:, low] <= actual) & (actual <= quantiles[:, high])
        covered, overlap = int(held.sum()), error_overlap(step)
        interval = wilson_interval(covered / overlap, n / overlap)
        bands.append(QuantileBand(step, levels[low], levels[high], covered, n, *interval))
    return tuple(bands)
