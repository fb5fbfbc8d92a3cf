"""Which of several models may be the best, and whether any beats a benchmark: tests that know how many were tried.

Both are bootstraps of the package `arch`, an optional dependency (the extra `stats`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trendlstm.evaluation.significance import ROUNDING, TestResult

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.9  # of the set, Hansen, Lunde & Nason's own choice
REPETITIONS = 1000
SEED = 0  # of the bootstrap, so that the same losses have the same p-values
LEAST_DATES = 20  # fewer make blocks of which there are too few


@dataclass(frozen=True)
class ConfidenceSet:
    """The models among which the best one is.

    Attributes
    ----------
    p_values : dict of str to float or None
        By model: the largest 1 - confidence at which it is in the set. None where the set is not defined.
    n : int
        Number of dates.
    reason : str or None
        Why the set is not defined; None where it is.
    """

    p_values: dict[str, float | None]
    n: int
    reason: str | None = None

    @property
    def members(self) -> list[str]:
        """The models in the set of 90 % confidence, in the order given; all where it is not defined."""
        return [name for name, p in self.p_values.items() if p is None or p > 1 - CONFIDENCE]


def model_confidence_set(losses: Mapping[str, FloatArray], overlap: int = 1) -> ConfidenceSet:
    """Find the models that cannot be told from the best: the Model Confidence Set.

    Hansen, Lunde & Nason (2011), with the range statistic: the worst model is thrown out as long as the bootstrap says
    that not all of those left have the same expected loss. It holds the best of them with a probability of 90 %, and
    many of them where the data say little; being in it is no praise.

    Parameters
    ----------
    losses : mapping of str to ndarray (T,)
        By model: its losses on the same T dates, as `losses_by_date` gives them.
    overlap : int
        How many dates in a row have forecasts that overlap.

    Returns
    -------
    ConfidenceSet
        Not defined without `arch`, for fewer than two models, where some losses are not known, and where those of two
        models are the same.
    """
    n = len(next(iter(losses.values()), ()))
    reason = _unfit(losses) if len(losses) > 1 else "there is only one model"
    if reason:
        return ConfidenceSet(dict.fromkeys(losses), n, reason)
    from arch.bootstrap import MCS

    test = MCS(
        np.stack(list(losses.values()), axis=1),
        size=1 - CONFIDENCE,
        reps=REPETITIONS,
        block_size=_block(n, overlap),
        seed=SEED,
    )
    test.compute()
    p_values = test.pvalues["Pvalue"]
    return ConfidenceSet({name: float(p_values[index]) for index, name in enumerate(losses)}, n)


def superior_ability(losses: Mapping[str, FloatArray], benchmark: str, overlap: int = 1) -> TestResult:
    """Test whether any of several models has smaller expected losses than a benchmark: the SPA test.

    Hansen (2005), with the largest studentised mean difference of the losses, at least 0, and the consistent p-value:
    models that are far worse than the benchmark do not dilute it. Unlike Clark-West it charges a model for the noise of
    its forecasts, so that it finds less.

    Parameters
    ----------
    losses : mapping of str to ndarray (T,)
        By model: its losses on the same T dates, as `losses_by_date` gives them.
    benchmark : str
        Which of them the others are compared with.
    overlap : int
        How many dates in a row have forecasts that overlap.

    Returns
    -------
    TestResult
        A small p-value says that the best of the models beats the benchmark, however many were tried. Not defined where
        `model_confidence_set` is not.
    """
    rivals = [one for name, one in losses.items() if name != benchmark]
    n = len(losses[benchmark])
    reason = _unfit(losses) if rivals else "there is only one model"
    if reason:
        return TestResult(None, None, n, reason)
    from arch.bootstrap import SPA, StationaryBootstrap

    gains = losses[benchmark][:, None] - np.stack(rivals, axis=1)
    block = _block(n, overlap)
    # arch 8.0 computes the standard errors, but does not divide by them (its parameter `studentize` does nothing)
    means = StationaryBootstrap(block, gains, seed=SEED).apply(lambda one: one.mean(axis=0), REPETITIONS)
    studentised = gains / np.std(means, axis=0)
    test = SPA(np.zeros(n), -studentised, block_size=block, reps=REPETITIONS, studentize=False, seed=SEED)
    test.compute()
    statistic = float(studentised.mean(axis=0).max())
    return TestResult(statistic, float(test.pvalues["consistent"]) if statistic > 0 else 1.0, n)


def _block(n: int, overlap: int) -> int:
    """Mean length of the bootstrap's blocks: long enough for volatility to cluster, and for forecasts to overlap."""
    return max(math.isqrt(n), overlap)


def _unfit(losses: Mapping[str, FloatArray]) -> str | None:
    """Why a bootstrap of these losses is not defined; None where it is."""
    try:
        import arch  # noqa: F401
    except ImportError:
        # kept in files that others read: no command, which has a path of this machine
        return "they need the package arch, which is in the extra stats"
    names, values = list(losses), np.stack(list(losses.values()))
    if not np.isfinite(values).all():
        return "some losses are not known, because a predicted price is not above 0"
    if values.shape[1] < LEAST_DATES:
        return f"there are too few dates ({values.shape[1]})"
    for first, name in enumerate(names):
        for second in range(first):
            if np.ptp(values[first] - values[second]) <= ROUNDING * values.max():
                return f"the losses of {names[second]} and {name} are the same"
    return None
