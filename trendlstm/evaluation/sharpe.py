"""Sharpe ratio, and what is left of it after its error and the number of tries.

The risk-free rate is 0 throughout. Returns are taken as independent; where one follows
from the last, the errors are other ones (Lo 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEAST_DAYS = 10  # fewer returns than this say nothing about their spread
EULER_MASCHERONI = 0.5772156649015329

# Returns are ratios of prices less 1: what differs by less than this differs by rounding only.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class SharpeRatio:
    """Mean return over standard deviation, and how sure it is.

    Attributes
    ----------
    days : int
        Returns that it comes from.
    per_day, annualised : float
        The ratio, and sqrt(periods per year) times it.
    standard_error, annualised_standard_error : float
        sqrt((1 + SR^2 / 2) / n) of the ratio per day (Lo 2002), and sqrt(periods per year) times it.
    skewness, kurtosis : float
        Of the returns: third and fourth central moment over the third and fourth power of the population's standard
        deviation. A normal distribution's kurtosis is 3.
    probabilistic : float or None
        `probabilistic_sharpe` against 0.
    """

    days: int
    per_day: float
    annualised: float
    standard_error: float
    annualised_standard_error: float
    skewness: float
    kurtosis: float
    probabilistic: float | None


@dataclass(frozen=True)
class DeflatedSharpe:
    """The probabilistic Sharpe ratio of the best of many tries.

    Attributes
    ----------
    benchmark : float or None
        SR*, per day: the ratio that the best of so many tries without skill is expected to show. None where it is not
        known.
    probability : float or None
        That the true ratio is above SR* (`probabilistic_sharpe`).
    """

    benchmark: float | None
    probability: float | None


def sharpe_ratio(returns: FloatArray, periods_per_year: float = 252) -> SharpeRatio | None:
    """Measure a series of returns by their Sharpe ratio.

    Parameters
    ----------
    returns : ndarray (n,)
        Of one day each, net of costs.
    periods_per_year : float
        Days of trading: 252, or 365 where every day is one.

    Returns
    -------
    SharpeRatio or None
        The standard deviation is the sample's (n - 1). None for fewer than `LEAST_DAYS` returns, and where they do not
        vary.
    """
    if len(returns) < LEAST_DAYS or np.ptp(returns) <= _ROUNDING:
        return None
    n, centred = len(returns), returns - returns.mean()
    ratio = float(returns.mean() / returns.std(ddof=1))
    error = math.sqrt((1 + ratio**2 / 2) / n)
    z = centred / returns.std()
    skewness, kurtosis = float(np.mean(z**3)), float(np.mean(z**4))
    scale = math.sqrt(periods_per_year)
    return SharpeRatio(
        days=n,
        per_day=ratio,
        annualised=scale * ratio,
        standard_error=error,
        annualised_standard_error=scale * error,
        skewness=skewness,
        kurtosis=kurtosis,
        probabilistic=probabilistic_sharpe(ratio, n, skewness, kurtosis),
    )


def probabilistic_sharpe(
    ratio: float, n: int, skewness: float, kurtosis: float, benchmark: float = 0.0
) -> float | None:
    """Probability that the true Sharpe ratio is above a benchmark.

    Bailey & Lopez de Prado (2012): Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)).

    Parameters
    ----------
    ratio, benchmark : float
        SR and SR*, per period, not annualised.
    n : int
        Periods.
    skewness, kurtosis : float
        g3 and g4 of the returns; a normal distribution has 0 and 3.

    Returns
    -------
    float or None
        None where the root is of a number that is not above 0: some series of only two different returns.
    """
    variance = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if variance <= 0:
        return None
    return NormalDist().cdf((ratio - benchmark) * math.sqrt((n - 1) / variance))


def highest_expected_sharpe(variants: int, variance: float) -> float:
    """The Sharpe ratio that the best of N tries without skill is expected to show.

    Bailey & Lopez de Prado (2014): sqrt(V) ((1 - g) Phi^-1(1 - 1 / N) + g Phi^-1(1 - 1 / (N e))), g = 0.5772...

    Parameters
    ----------
    variants : int
        N, at least 1; they count as independent.
    variance : float
        V, of the variants' ratios, in the square of their unit.

    Returns
    -------
    float
        In the unit of the ratios; 0 for one variant.
    """
    if variants == 1:
        return 0.0
    quantile = NormalDist().inv_cdf
    expected = (1 - EULER_MASCHERONI) * quantile(1 - 1 / variants)
    expected += EULER_MASCHERONI * quantile(1 - 1 / (variants * math.e))
    return math.sqrt(variance) * expected


def variance_of_variants(per_day: Sequence[float | None]) -> float | None:
    """Sample variance of the variants' Sharpe ratios per day.

    Parameters
    ----------
    per_day : sequence of float or None
        None where a ratio is not defined; it does not count.

    Returns
    -------
    float or None
        None for fewer than two ratios.
    """
    defined = [ratio for ratio in per_day if ratio is not None]
    return float(np.var(defined, ddof=1)) if len(defined) > 1 else None


def deflated_sharpe(sharpe: SharpeRatio, variants: int, variance: float | None) -> DeflatedSharpe:
    """Judge a Sharpe ratio by the best that as many tries without skill would show.

    Parameters
    ----------
    sharpe : SharpeRatio
    variants : int
        N, how many were tried, this one included.
    variance : float or None
        V, of the variants' ratios per day, see `variance_of_variants`. None where it is not known: then nothing can be
        said of more than one variant.

    Returns
    -------
    DeflatedSharpe
        For one variant, and where V is 0, the probabilistic Sharpe ratio against 0.
    """
    if variance is None and variants > 1:
        return DeflatedSharpe(None, None)
    benchmark = highest_expected_sharpe(variants, variance or 0.0)
    probability = probabilistic_sharpe(
        sharpe.per_day, sharpe.days, sharpe.skewness, sharpe.kurtosis, benchmark
    )
    return DeflatedSharpe(benchmark, probability)
