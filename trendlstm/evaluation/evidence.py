"""What a run may claim: the rule of evidence, its sentence, and what many tries do to it.

The rule was chosen by simulation; docs/measures.md has the figures, `scripts/simulate_verdict.py` makes them.
"""

from __future__ import annotations

import math

from trendlstm.evaluation.metrics import StepMetrics
from trendlstm.evaluation.significance import LEVEL

POWER = 0.8

_RIVAL = "persistence (tomorrow = today)"


def claim_p_value(model: StepMetrics, drift: StepMetrics) -> float | None:
    """The chance that a model without skill passes for one that beats persistence.

    Two nulls must fall, so that the larger of two p-values counts: Clark-West against persistence, and the correlation
    of predicted and actual changes, which no drift has. On top of that the errors must be smaller than persistence's
    and drift's.

    Parameters
    ----------
    model, drift : StepMetrics
        Of step 1 on the same test rows: the model's, and those of the baseline `drift`.

    Returns
    -------
    float or None
        1 where persistence's or drift's RMSE is as small; None where that is not so, but a test is not defined.
    """
    if model.skill is None or model.skill <= 0 or model.rmse >= drift.rmse:
        return 1.0
    p_values = [test.p_value for test in (model.clark_west, model.correlation.test)]
    return None if None in p_values else max(p for p in p_values if p is not None)


def claims_evidence(model: StepMetrics, drift: StepMetrics, level: float = LEVEL) -> bool:
    """Decide whether there is evidence that a model beats persistence: see `claim_p_value`.

    Parameters
    ----------
    model, drift : StepMetrics
        Of step 1 on the same test rows: the model's, and those of the baseline `drift`.
    level : float
        The claim's p-value must be below it.

    Returns
    -------
    bool
    """
    p = claim_p_value(model, drift)
    return p is not None and p < level


def detectable_skill(n: int) -> float | None:
    """The true skill that a test of n days finds with probability 0.8.

    Let a perfect forecast f explain the share R^2 of the variance of the returns r: the one-step skill is
    1 - sqrt(1 - R^2), about R^2 / 2. Clark-West's statistic is the mean of 2 r f over its standard error, and since
    E(r f) = E(f^2) and r and f are hardly dependent, it is centred at about sqrt(n R^2). It exceeds the normal
    quantile of 0.95 with probability 0.8 where sqrt(n R^2) = 1.645 + 0.842, that is R^2 = 6.2 / n. The second test
    and the smaller errors that `claims_evidence` asks for raise this to R^2 = 6.7 / (n - 8), found by simulation
    between 50 and 1,000 days. A network that errs around the perfect forecast is found no less often at equal skill,
    because Clark-West takes its noise off.

    Parameters
    ----------
    n : int
        Test days.

    Returns
    -------
    float or None
        As a share of persistence's RMSE; None where n is too small to find any.
    """
    explained = 6.7 / (n - 8) if n > 8 else math.inf
    return 1 - math.sqrt(1 - explained) if explained < 1 else None


def days_to_find(skill: float) -> int:
    """How many days find a true skill with probability 0.8: the inverse of `detectable_skill`.

    Parameters
    ----------
    skill : float
        Above 0, at most 1.

    Returns
    -------
    int
    """
    return math.ceil(8 + 6.7 / (1 - (1 - skill) ** 2))


def verdict(model: StepMetrics, drift: StepMetrics, name: str = "the model") -> str:
    """Say whether a model beat persistence on the test rows, as `claims_evidence` decides, and what they could show.

    Evidence is worded as knowing more than persistence, because that is what Clark-West and the correlation test. That
    the errors of this very fit are smaller in the long run is what Diebold-Mariano tests, so its p-value is given too.

    Parameters
    ----------
    model, drift : StepMetrics
        Of step 1 on the same test rows: the model's, and those of the baseline `drift`.
    name : str
        What the sentence calls the model.

    Returns
    -------
    str
        One sentence on the errors, and one on the skill that so many days can find.
    """
    n = model.n
    days = f"{n:,} test day{'' if n == 1 else 's'}"
    said = skill_sentence(model, drift, claim_p_value(model, drift), name, days, "RMSE")
    return said if model.skill is None else f"{said} {power_sentence(n, f'{n:,} days')}"


def skill_sentence(
    model: StepMetrics, drift: StepMetrics, p_value: float | None, name: str, days: str, error: str
) -> str:
    """Say in one sentence whether there is evidence that a model beats persistence.

    Parameters
    ----------
    model, drift : StepMetrics
        Of step 1 on the same test rows: the model's, and those of the baseline `drift`.
    p_value : float or None
        `claim_p_value`, or the same adjusted for the number of models.
    name, days, error : str
        What the sentence calls the model, the test days and the RMSE.

    Returns
    -------
    str
    """
    if model.skill is None:
        why = f"its {error} is not defined" if math.isnan(model.rmse) else "no price changed"
        return f"{_RIVAL.capitalize()} was not beaten by {name}: {why} on {days}."
    skill = model.skill
    difference = f"{_percent(abs(skill))} {'lower' if skill > 0 else 'higher'}" if skill else "the same"
    figures = f"on {days} its one-step {error} is {difference}"
    if skill <= 0:
        return f"{_RIVAL.capitalize()} was not beaten by {name}: {figures}."
    if p_value is not None and p_value < LEVEL:
        p_values = (
            f"Clark-West {_p(model.clark_west.p_value)}, correlation {_p(model.correlation.test.p_value)}; "
            f"Diebold-Mariano {_p(model.diebold_mariano.p_value)}"
        )
        return f"There is evidence that {name} knows more than {_RIVAL}: {figures} ({p_values})."
    doubt = _doubt(model, drift)
    if doubt is None:
        doubt = f"adjusted for the number of models p = {p_value:.3f}, not below {LEVEL}"
    return f"There is no evidence that {name} beats {_RIVAL}: {figures}, but {doubt}."


def chance_of_a_false_claim(tries: int, level: float = LEVEL) -> float:
    """The largest chance that one of several tries without skill claims evidence: 1 - (1 - level)^tries.

    It is reached by tries that do not depend on one another; those on the same prices do, and claim less often.

    Parameters
    ----------
    tries : int
    level : float
        Of each try.

    Returns
    -------
    float
    """
    return 1 - (1 - level) ** tries


def tries_sentence(model: StepMetrics, drift: StepMetrics, earlier: int, ticker: str) -> str:
    """Say in one sentence what earlier runs do to a run's claim, by Bonferroni's level of 0.05 / tries.

    Parameters
    ----------
    model, drift : StepMetrics
        Of step 1 on the same test rows: the model's, and those of the baseline `drift`.
    earlier : int
        Earlier runs of the same ticker with other results.
    ticker : str

    Returns
    -------
    str
        Empty without earlier runs.
    """
    if earlier == 0:
        return ""
    tries = earlier + 1
    said = (
        f"This is try {tries:,} on {ticker} in its folder: at least one of so many would claim evidence without any "
        f"skill in up to {100 * chance_of_a_false_claim(tries):.0f} % of cases"
    )
    if not claims_evidence(model, drift):
        return f"{said}."
    level = f"{LEVEL} / {tries:,} = {LEVEL / tries:.2g}"
    p = f"p = {claim_p_value(model, drift):.2g}"
    if claims_evidence(model, drift, LEVEL / tries):
        return f"{said}; {p} is below {level} too."
    return f"{said}; {p} is not below {level}, so that this evidence may be the luck of many tries."


def _doubt(model: StepMetrics, drift: StepMetrics) -> str | None:
    """Why a smaller error is no evidence; None where it is."""
    if model.rmse >= drift.rmse:
        return "that of drift (the mean training return) is no higher"
    for test, name, meaning in (
        (model.clark_west, "Clark-West", "that may be chance"),
        (model.correlation.test, "correlation", "a drift would do that too"),
    ):
        if test.p_value is None:
            return f"the test of {name} is not defined ({test.reason})"
        if test.p_value >= LEVEL:
            return f"{meaning} ({name} {_p(test.p_value)}, not below {LEVEL})"
    return None


def power_sentence(n: int, days: str) -> str:
    """Say in one sentence what true skill so many days find.

    Parameters
    ----------
    n : int
        Independent days.
    days : str
        What the sentence calls them.

    Returns
    -------
    str
    """
    found = detectable_skill(n)
    if found is None:
        return f"So few days find no true skill, however large, with a probability of {POWER}."
    return (
        f"{days} find a true skill of {_percent(found)} with a probability of {POWER}, a smaller "
        "one less often and then overstated."
    )


def _p(p_value: float | None) -> str:
    if p_value is None:
        return "not defined"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:,.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"
