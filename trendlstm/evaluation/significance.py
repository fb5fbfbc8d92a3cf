"""Tests of whether a forecast is better than chance, and the rule by which the package claims that it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEVEL = 0.05

# Losses that differ by less than this share of the largest differ by rounding only.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class TestResult:
    """A one-sided test.

    Attributes
    ----------
    statistic : float or None
        None where the test is not defined.
    p_value : float or None
        Probability, if the forecast had no skill, of a statistic at least as large.
    n : int
        Number of forecasts that entered the test.
    reason : str or None
        Why the test is not defined; None where it is.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    statistic: float | None
    p_value: float | None
    n: int
    reason: str | None = None


def diebold_mariano(
    actual: FloatArray, predicted: FloatArray, reference: FloatArray, step: int = 1
) -> TestResult:
    """Test whether a forecast has a smaller expected squared error than a reference.

    Diebold & Mariano (1995): the mean of d = (reference error)^2 - (error)^2 over its standard error from
    `step` - 1 autocovariances, or from the same with Bartlett weights 1 - j / step where the first variance
    is not positive; times the factor of Harvey, Leybourne & Newbold (1997), sqrt((n + 1 - 2 k + k (k - 1) /
    n) / n), against Student's t(n - 1).

    Parameters
    ----------
    actual, predicted, reference : ndarray (n,)
        Prices of consecutive dates.
    step : int
        Days ahead, k.

    Returns
    -------
    TestResult
        A small p-value speaks for `predicted`. Not defined where n <= `step`, for n = 1, and where d does not
        vary.
    """
    losses, reference_losses = (actual - predicted) ** 2, (actual - reference) ** 2
    d = reference_losses - losses
    n = len(d)
    if n <= max(step, 1):
        return TestResult(None, None, n, f"too few forecasts for step {step}: {n}")
    if np.ptp(d) <= _ROUNDING * max(losses.max(), reference_losses.max()):
        return TestResult(None, None, n, "the difference of the squared errors does not vary")
    centred = d - d.mean()
    autocovariances = np.array([centred[j:] @ centred[: n - j] for j in range(step)]) / n
    variance = _long_run_variance(autocovariances, np.ones(step)) / n
    if variance <= 0:
        variance = _long_run_variance(autocovariances, 1 - np.arange(step) / step) / n
    correction = math.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
    statistic = float(correction * d.mean() / math.sqrt(variance))
    return TestResult(statistic, _student_t_tail(statistic, n - 1), n)


def _student_t_tail(t: float, degrees: int) -> float:
    """P(T > t) of Student's t with `degrees` of freedom, to about 1e-14.

    The finite series of Abramowitz & Stegun (1964), 26.7.3 and 26.7.4: with theta = arctan(t / sqrt(degrees)) and
    c = cos(theta)^2, P(-t < T < t) is sin(theta) (1 + c 1/2 + c^2 1*3/(2*4) + ...) for an even number of degrees,
    2 / pi (theta + sin(theta) cos(theta) (1 + c 2/3 + c^2 2*4/(3*5) + ...)) for an odd one.
    """
    theta = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    k = np.arange(1, (degrees - odd) // 2)
    ratios = math.cos(theta) ** 2 * (2 * k - 1 + odd) / (2 * k + odd)
    series = 1 + float(np.cumprod(ratios).sum())
    if odd:
        series = series if degrees > 1 else 0.0
        between = 2 / math.pi * (theta + math.sin(theta) * math.cos(theta) * series)
    else:
        between = math.sin(theta) * series
    return 0.5 * (1 - between)


def _long_run_variance(autocovariances: FloatArray, weights: FloatArray) -> float:
    return float(autocovariances[0] + 2 * weights[1:] @ autocovariances[1:])


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p-values of several tests, so that below 0.05 even one of them is false with probability 0.05 at most.

    Holm (1979), for tests that may depend on each other in any way: of the n defined p-values the i-th smallest is
    multiplied by n + 1 - i, is at least the adjusted one before it, and at most 1.

    Parameters
    ----------
    p_values : sequence of float or None
        None where a test is not defined; it does not count among the n.

    Returns
    -------
    list of float or None
        In the same order; None stays None.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    defined = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    highest = 0.0
    for rank, (p, index) in enumerate(defined):
        highest = max(highest, min(1.0, (len(defined) - rank) * p))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Difference:
    """Whether one forecast's errors can be told apart from another's.

    Attributes
    ----------
    test : TestResult
        Diebold-Mariano, one-sided: a small p-value speaks for smaller errors of the one.
    p_value : float or None
        The same two-sided: the probability, if the expected squared errors were equal, of so large a difference in
        either direction.
    adjusted : float or None
        `p_value` by `holm`, over all others with which the one was compared.
    """

    test: TestResult
    p_value: float | None
    adjusted: float | None

    @property
    def sign(self) -> int:
        """-1 if the one's errors are smaller, 1 if they are larger, 0 if they cannot be told apart."""
        if self.adjusted is None or self.adjusted >= LEVEL or self.test.p_value is None:
            return 0
        return -1 if self.test.p_value < 0.5 else 1


def differences(
    actual: FloatArray, predicted: FloatArray, others: Mapping[str, FloatArray], step: int = 1
) -> dict[str, Difference]:
    """Test whether a forecast's errors differ from those of each of several others.

    Parameters
    ----------
    actual, predicted : ndarray (n,)
        Prices of consecutive dates.
    others : mapping of str to ndarray (n,)
        The other forecasts of the same prices, by name.
    step : int
        Days ahead, k.

    Returns
    -------
    dict of str to Difference
        By the names of `others`.
    """
    tests = [diebold_mariano(actual, predicted, other, step) for other in others.values()]
    p_values = [None if test.p_value is None else 2 * min(test.p_value, 1 - test.p_value) for test in tests]
    found = zip(others, tests, p_values, holm(p_values), strict=True)
    return {name: Difference(test, p_value, adjusted) for name, test, p_value, adjusted in found}


def separation(first: Sequence[float], second: Sequence[float]) -> int:
    """Whether all values of one group lie on one side of all values of another.

    Parameters
    ----------
    first, second : sequence of float
        A figure of each of several seeds, say, of two kinds of networks.

    Returns
    -------
    int
        -1 if all of `first` are below all of `second`, 1 if they are above. 0 if the groups overlap, or if groups so
        small would lie apart by chance with probability 0.05 or more: of two alike groups of n and m values that is
        2 n! m! / (n + m)! (the exact test of Wilcoxon 1945 at its extreme), below 0.05 from 4 and 4 values up.
    """
    if 2 / math.comb(len(first) + len(second), len(first)) >= LEVEL:
        return 0
    if max(first) < min(second):
        return -1
    return 1 if min(first) > max(second) else 0


def pesaran_timmermann(
    origin_close: FloatArray, actual: FloatArray, predicted: FloatArray, step: int = 1
) -> TestResult:
    """Test whether the predicted directions depend on the actual ones.

    Pesaran & Timmermann (1992): the share of right directions less the share expected of independent ones,
    over its standard error, against the normal distribution. It asks for more than a hit rate above one half:
    always saying "up" in a rising market has no skill. For step k only every k-th origin enters, so that no
    two forecasts overlap. A pair without a direction (the price did not change, or was predicted not to) is
    left out.

    Parameters
    ----------
    origin_close : ndarray (n,)
        Close on the day of the forecast.
    actual, predicted : ndarray (n,)
        Close `step` days later, and as predicted.
    step : int
        Days ahead, k.

    Returns
    -------
    TestResult
        A small p-value speaks for the forecast. Not defined where all predicted or all actual directions are
        the same.
    """
    origin, actual, predicted = origin_close[::step], actual[::step], predicted[::step]
    directed = (actual != origin) & (predicted != origin)
    up, predicted_up = (actual > origin)[directed], (predicted > origin)[directed]
    n = len(up)
    if n == 0:
        return TestResult(None, None, n, "no day has both a predicted and an actual direction")
    for name, directions in (("predicted", predicted_up), ("actual", up)):
        if directions.all() or not directions.any():
            only = "up" if directions.all() else "down"
            return TestResult(None, None, n, f"all {name} directions are {only}")
    p_y, p_x = up.mean(), predicted_up.mean()
    hits = np.mean(up == predicted_up)
    expected = p_y * p_x + (1 - p_y) * (1 - p_x)
    variance_hits = expected * (1 - expected) / n
    variance_expected = (
        (2 * p_y - 1) ** 2 * p_x * (1 - p_x) / n
        + (2 * p_x - 1) ** 2 * p_y * (1 - p_y) / n
        + 4 * p_y * p_x * (1 - p_y) * (1 - p_x) / n**2
    )
    statistic = float((hits - expected) / math.sqrt(variance_hits - variance_expected))
    return TestResult(statistic, 0.5 * math.erfc(statistic / math.sqrt(2)), n)


def claims_evidence(skill: float | None, test: TestResult) -> bool:
    """Decide whether there is evidence that a model beats persistence: step-1 skill > 0 and p < 0.05.

    Parameters
    ----------
    skill : float or None
        1 - RMSE / RMSE of persistence, for step 1 on the test rows.
    test : TestResult
        Diebold-Mariano of the same forecasts against persistence.

    Returns
    -------
    bool
        False where either is not defined.
    """
    return skill is not None and skill > 0 and test.p_value is not None and test.p_value < LEVEL


def verdict(rmse: float, persistence_rmse: float, test: TestResult, model: str = "the model") -> str:
    """Say in one sentence whether a model beat persistence on the test rows, as `claims_evidence` decides.

    Parameters
    ----------
    rmse, persistence_rmse : float
        Step-1 errors on the test rows, in the price's currency.
    test : TestResult
        Diebold-Mariano of the same forecasts against persistence.
    model : str
        What the sentence calls the model.

    Returns
    -------
    str
    """
    rival = "persistence (tomorrow = today)"
    days = f"{test.n} test day{'' if test.n == 1 else 's'}"
    if persistence_rmse == 0:
        return f"{rival.capitalize()} was not beaten by {model}: no price changed on {days}."
    skill = 1 - rmse / persistence_rmse
    difference = f"{_percent(abs(skill))} {'lower' if skill > 0 else 'higher'}" if skill else "the same"
    figures = f"on {days} its one-step RMSE is {difference}"
    if skill <= 0:
        return f"{rival.capitalize()} was not beaten by {model}: {figures}."
    if test.p_value is None:
        chance = f", but the Diebold-Mariano test is not defined ({test.reason})"
    else:
        p = f"p = {test.p_value:.3f}" if test.p_value >= 0.001 else "p < 0.001"
        if claims_evidence(skill, test):
            chance = f" (Diebold-Mariano {p}, below {LEVEL})"
        else:
            chance = f", but that may be chance (Diebold-Mariano {p}, not below {LEVEL})"
    evidence = "evidence" if claims_evidence(skill, test) else "no evidence"
    return f"There is {evidence} that {model} beats {rival}: {figures}{chance}."


def _percent(share: float) -> str:
    return f"{100 * share:,.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"
