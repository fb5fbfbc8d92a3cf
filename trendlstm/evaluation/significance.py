"""Tests of whether a forecast is better than chance.

Diebold-Mariano, Clark-West and the test of correlation are of log returns, because on a series that has grown tenfold
the errors of prices would be those of its last days alone; `diebold_mariano_prices` shows these, too. `claims_evidence`
(module `evidence`) says what follows.

The tests of forecasts take a `step`: how many origins ahead. With an origin on every day that is k, the days ahead;
with one every s days it is ceil(k / s), because no more forecasts than that overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEVEL = 0.05  # below which a p-value is called significant

# What differs by less than this share of the largest differs by rounding only.
ROUNDING = 1e-12

NO_LOG_RETURN = "a predicted price is not above 0, so that it has no log return"

LARGEST_LAG = 5


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


@dataclass(frozen=True)
class Correlation:
    """Whether predicted changes rise and fall with the actual ones.

    Attributes
    ----------
    value : float or None
        Pearson's correlation of ln(predicted / C_t) and ln(actual / C_t); None where one of them does not vary.
    test : TestResult
        Of a correlation above 0.
    """

    value: float | None
    test: TestResult


def diebold_mariano(
    actual: FloatArray, predicted: FloatArray, reference: FloatArray, step: int = 1
) -> TestResult:
    """Test whether a forecast has a smaller expected squared error of the log return than a reference.

    Diebold & Mariano (1995), with d = ln(actual / reference)^2 - ln(actual / predicted)^2; see `mean_above_zero`.

    Parameters
    ----------
    actual, predicted, reference : ndarray (n,)
        Prices of consecutive origins.
    step : int
        Origins ahead.

    Returns
    -------
    TestResult
        A small p-value speaks for `predicted`. Not defined where n <= `step`, for n = 1, where d does not vary, and
        where a predicted price is not above 0.
    """
    unfit = _unfit(step, actual, predicted, reference)
    if unfit:
        return unfit
    return smaller_losses(np.log(actual / predicted) ** 2, np.log(actual / reference) ** 2, step)


def diebold_mariano_prices(
    actual: FloatArray, predicted: FloatArray, reference: FloatArray, step: int = 1
) -> TestResult:
    """Test whether a forecast has a smaller expected squared error of the price than a reference.

    `diebold_mariano` with d = (actual - reference)^2 - (actual - predicted)^2. It answers for those who lose money by
    the size of the error, but it is mostly about the days on which the price was high.

    Parameters
    ----------
    actual, predicted, reference : ndarray (n,)
        Prices of consecutive origins.
    step : int
        Origins ahead.

    Returns
    -------
    TestResult
        A small p-value speaks for `predicted`. Not defined where n <= `step`, for n = 1, and where d does not vary.
    """
    return smaller_losses((actual - predicted) ** 2, (actual - reference) ** 2, step)


def smaller_losses(losses: FloatArray, reference_losses: FloatArray, step: int = 1) -> TestResult:
    """Test whether the expectation of some losses is smaller than that of others: Diebold & Mariano (1995).

    Parameters
    ----------
    losses, reference_losses : ndarray (n,)
        Of the forecasts of consecutive origins; 0 or more.
    step : int
        Origins ahead.

    Returns
    -------
    TestResult
        Of d = reference_losses - losses, see `mean_above_zero`.
    """
    if too_few := _too_few(step, len(losses)):
        return too_few
    d, size = reference_losses - losses, max(losses.max(), reference_losses.max())
    return mean_above_zero(d, size, step, "the difference of the losses does not vary")


def clark_west(actual: FloatArray, predicted: FloatArray, reference: FloatArray, step: int = 1) -> TestResult:
    """Test whether a forecast knows something that a reference which it contains as a special case does not.

    Clark & West (2007). A network that has learned nothing still predicts some noise, and with it errs more than
    persistence, which it would be with all weights 0; so Diebold-Mariano rejects too rarely. With the errors of log
    returns e1 = ln(actual / reference) and e2 = ln(actual / predicted) the noise is taken off again:
    d = e1^2 - (e2^2 - ln(predicted / reference)^2), which is 2 e1 ln(predicted / reference); see `mean_above_zero`.

    Parameters
    ----------
    actual, predicted, reference : ndarray (n,)
        Prices of consecutive origins.
    step : int
        Origins ahead.

    Returns
    -------
    TestResult
        A small p-value speaks for `predicted`. Not defined where `diebold_mariano` is not.
    """
    unfit = _unfit(step, actual, predicted, reference)
    if unfit:
        return unfit
    error, added = np.log(actual / reference), np.log(predicted / reference)
    d, size = 2 * error * added, (error**2).max()
    return mean_above_zero(d, size, step, "what the forecast adds to the reference does not vary")


def correlation(
    origin_close: FloatArray, actual: FloatArray, predicted: FloatArray, step: int = 1
) -> Correlation:
    """Correlation of predicted and actual changes, and whether it is above 0.

    The information coefficient of Grinold & Kahn (1999). An echo of the last close, and any drift, has none, however
    well its chart fits. With the changes r = ln(actual / C_t) and f = ln(predicted / C_t) the test is of the mean of
    d = (r - mean r) (f - mean f), see `mean_above_zero`: it stands changing volatility, and it is Clark-West against
    the drift that the tested days turned out to have.

    Parameters
    ----------
    origin_close : ndarray (n,)
        Close on the day of the forecast, C_t.
    actual, predicted : ndarray (n,)
        The later close, and as predicted.
    step : int
        Origins ahead.

    Returns
    -------
    Correlation
    """
    unfit = _unfit(step, actual, predicted, origin_close)
    if unfit:
        return Correlation(None, unfit)
    r, f = np.log(actual / origin_close), np.log(predicted / origin_close)
    for name, changes in (("predicted", f), ("actual", r)):
        if np.ptp(changes) <= ROUNDING * max(np.abs(r).max(), np.abs(f).max()):
            return Correlation(None, TestResult(None, None, len(r), f"the {name} changes do not vary"))
    r, f = r - r.mean(), f - f.mean()
    size = np.abs(r).max() * np.abs(f).max()
    value = float(r @ f / math.sqrt((r @ r) * (f @ f)))
    return Correlation(value, mean_above_zero(r * f, size, step, "their product does not vary"))


def lag_correlations(actual: FloatArray, predicted: FloatArray) -> FloatArray | None:
    """Correlations of the predicted prices with the actual ones of some origins before and after.

    Where they are highest at the shift s, the predictions trail the prices by s origins. An echo of the last close has
    s = 1 for step 1, but so has the best forecast that there is of nearly unpredictable prices: a shift above 0 proves
    nothing against a forecast, and only `correlation` tells the two apart.

    Parameters
    ----------
    actual, predicted : ndarray (n,)
        Prices of consecutive origins.

    Returns
    -------
    ndarray (11,) or None
        corr(predicted[t], actual[t - s]) for s = -5 ... 5, all over the same t = 5 ... n - 6. None where there are
        fewer than three, or where some of these prices do not vary.
    """
    shifts = range(-LARGEST_LAG, LARGEST_LAG + 1)
    middle = slice(LARGEST_LAG, len(actual) - LARGEST_LAG)
    rows = [predicted[middle], *(np.roll(actual, s)[middle] for s in shifts)]
    if len(rows[0]) < 3 or any(np.ptp(row) <= ROUNDING * np.abs(row).max() for row in rows):
        return None
    return np.corrcoef(rows)[0, 1:]


def lag(correlations: FloatArray | None) -> int | None:
    """Shift, in origins, at which `lag_correlations` are highest; None where they are not defined."""
    return None if correlations is None else int(np.argmax(correlations)) - LARGEST_LAG


def _unfit(step: int, *prices: FloatArray) -> TestResult | None:
    """Why a test of log returns is not defined for these prices; None where it is."""
    n = len(prices[0])
    too_few = _too_few(step, n)
    if too_few is None and min(one.min() for one in prices) <= 0:
        return TestResult(None, None, n, NO_LOG_RETURN)
    return too_few


def _too_few(step: int, n: int) -> TestResult | None:
    return TestResult(None, None, n, f"too few forecasts for step {step}: {n}") if n <= max(step, 1) else None


def mean_above_zero(d: FloatArray, size: float, step: int, constant: str) -> TestResult:
    """Test whether the expectation of d, of which `step` values in a row overlap, is above 0.

    The mean of d over its standard error from `step` - 1 autocovariances, or from the same with Bartlett weights
    1 - j / step where the first variance is not positive; times the factor of Harvey, Leybourne & Newbold (1997),
    sqrt((n + 1 - 2 k + k (k - 1) / n) / n), against Student's t(n - 1). For step 1 that is the t-test of a mean.

    Parameters
    ----------
    d : ndarray (n,)
        Of consecutive origins.
    size : float
        Of what d is the difference or product of: its rounding error is about 1e-16 of that.
    step : int
        Origins ahead.
    constant : str
        The reason to give where d does not vary but for rounding.

    Returns
    -------
    TestResult
        Not defined where n <= `step`, for n = 1, and where d does not vary.
    """
    n = len(d)
    if too_few := _too_few(step, n):
        return too_few
    if np.ptp(d) <= ROUNDING * size:
        return TestResult(None, None, n, constant)
    centred = d - d.mean()
    autocovariances = np.array([centred[j:] @ centred[: n - j] for j in range(step)]) / n
    variance = _long_run_variance(autocovariances, np.ones(step)) / n
    if variance <= 0:
        variance = _long_run_variance(autocovariances, 1 - np.arange(step) / step) / n
    factor = math.sqrt((n + 1 - 2 * step + step * (step - 1) / n) / n)
    statistic = float(factor * d.mean() / math.sqrt(variance))
    return TestResult(statistic, _student_t_tail(statistic, n - 1), n)


def _student_t_tail(t: float, degrees: int) -> float:
    """P(T > t) of Student's t with `degrees` of freedom, with a relative error below 1e-9 for t >= 0.

    Half of I_x(degrees / 2, 1/2) at x = degrees / (degrees + t^2), the regularised incomplete beta function, or of
    1 - I_(1-x)(1/2, degrees / 2) where that converges faster.
    """
    a, x, y = degrees / 2, degrees / (degrees + t * t), t * t / (degrees + t * t)
    factor = math.exp(math.lgamma(a + 0.5) - math.lgamma(a)) / math.sqrt(math.pi) * x**a * math.sqrt(y)
    if x < (a + 1) / (a + 2.5):
        tail = factor / a / _beta_fraction(a, 0.5, x) / 2
    else:
        tail = (1 - 2 * factor / _beta_fraction(0.5, a, y)) / 2
    return tail if t >= 0 else 1 - tail


def _beta_fraction(a: float, b: float, x: float) -> float:
    """1 + d_1 / (1 + d_2 / (1 + ...)), by which x^a (1 - x)^b / (a B(a, b)) is divided to give I_x(a, b).

    DLMF 8.17.22, https://dlmf.nist.gov/8.17; 2 sqrt(max(a, b)) and some more terms suffice.
    """
    value = 1.0
    for m in range(20 + 2 * math.isqrt(int(max(a, b))), -1, -1):
        even = (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 + odd / (1 + even / value)
    return value


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


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p-values of several tests, so that of those below 0.05 an expected share of 0.05 at most is false.

    Benjamini & Hochberg (1995): of the n defined p-values the i-th smallest is multiplied by n / i, and is at most the
    adjusted one after it. For tests that are independent or rise and fall together (Benjamini & Yekutieli 2001), as
    those of stocks do. It promises less than `holm`, and finds more among many.

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
    lowest = 1.0
    for rank, (p, index) in reversed(list(enumerate(defined, start=1))):
        lowest = min(lowest, len(defined) / rank * p)
        adjusted[index] = lowest
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
        Origins ahead.

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
        The later close, and as predicted.
    step : int
        Origins ahead.

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
