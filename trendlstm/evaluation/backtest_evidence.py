"""What a backtest may claim: the rule of evidence over all its models and tickers, and its paragraph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from trendlstm.evaluation.evidence import (
    claim_p_value,
    days_to_find,
    detectable_skill,
    power_sentence,
    skill_sentence,
)
from trendlstm.evaluation.panel import WalkMetrics
from trendlstm.evaluation.performance import Performance, told_return
from trendlstm.evaluation.sharpe import DeflatedSharpe
from trendlstm.evaluation.significance import LEVEL, benjamini_hochberg

SMALL_SKILL = 0.001  # about what may be hoped for of daily prices; an AR(1) with rho = 0.045 has it
LEAST_DEFLATED = 0.95  # the deflated Sharpe ratio of Bailey & Lopez de Prado (2014) that is more than luck

_NOT_TESTED = ("drift", "persistence")


@dataclass(frozen=True)
class BacktestEvidence:
    """What a backtest says of one model's skill, one step ahead.

    Attributes
    ----------
    model, drift : WalkMetrics
        Of the one ticker, or pooled.
    p_value : float or None
        `claim_p_value`, adjusted by `benjamini_hochberg` over the models of the backtest.
    tickers : dict of str to float or None
        By ticker: the same of each by itself, adjusted over all tickers and models.
    """

    model: WalkMetrics
    drift: WalkMetrics
    p_value: float | None
    tickers: dict[str, float | None]

    @property
    def is_evidence(self) -> bool:
        """Whether the model is said to know more than persistence."""
        return self.p_value is not None and self.p_value < LEVEL

    @property
    def tickers_with_evidence(self) -> list[str]:
        """Tickers on which, each by itself, the model is said to know more than persistence."""
        return [ticker for ticker, p_value in self.tickers.items() if p_value is not None and p_value < LEVEL]


def backtest_evidence(
    by_ticker: Mapping[str, Mapping[str, WalkMetrics]], pooled: Mapping[str, WalkMetrics] | None = None
) -> dict[str, BacktestEvidence]:
    """Apply the rule of evidence to all models and tickers of a backtest.

    Parameters
    ----------
    by_ticker : mapping of str to mapping of str to WalkMetrics
        By ticker, then by model: `measure_ticker` of step 1. Each ticker has the same models, "drift" among them;
        neither "drift" nor "persistence" is tested.
    pooled : mapping of str to WalkMetrics, optional
        By model: `measure_pooled` of step 1. None for one ticker, whose own measures then decide.

    Returns
    -------
    dict of str to BacktestEvidence
        By model.
    """
    whole = next(iter(by_ticker.values())) if pooled is None else pooled
    names = [name for name in whole if name not in _NOT_TESTED]

    def claim(metrics: Mapping[str, WalkMetrics], name: str) -> float | None:
        return claim_p_value(metrics[name].measured, metrics["drift"].measured)

    adjusted = benjamini_hochberg([claim(whole, name) for name in names])
    each = iter(benjamini_hochberg([claim(one, name) for name in names for one in by_ticker.values()]))
    return {
        name: BacktestEvidence(
            whole[name], whole["drift"], p_value, {ticker: next(each) for ticker in by_ticker}
        )
        for name, p_value in zip(names, adjusted, strict=True)
    }


def backtest_verdict(
    evidence: BacktestEvidence,
    strategy: Performance,
    buy_and_hold: Performance,
    deflated: DeflatedSharpe,
    costs_bps: float,
    name: str = "the model",
    strategy_name: str = "long/flat",
) -> str:
    """Say in one paragraph what a backtest is worth.

    Parameters
    ----------
    evidence : BacktestEvidence
    strategy, buy_and_hold : Performance
        After costs, on the same days.
    deflated : DeflatedSharpe
        Of the strategy.
    costs_bps : float
        What a turnover of 1 costs, in hundredths of a percent.
    name, strategy_name : str
        What the sentences call the model, and what follows its forecasts.

    Returns
    -------
    str
        Three to five sentences: evidence of skill or none, pooled and by ticker; what the strategy earned beside buy
        and hold; and the true skill that so many days find.
    """
    measured, tickers = evidence.model.measured, len(evidence.tickers)
    if tickers == 1:
        n, error = measured.n, "RMSE"
        tested = f"{n:,} test day{'' if n == 1 else 's'}"
        days = f"{n:,} days"
    else:
        n, error = math.floor(evidence.model.effective_n), "RMSE of log returns"
        tested = f"{measured.n:,} test day{'' if measured.n == 1 else 's'} of {tickers:,} tickers"
        days = f"{measured.n:,} days of {tickers:,} tickers, worth {n:,} of one ticker,"
    sentences = [
        skill_sentence(measured, evidence.drift.measured, evidence.p_value, name, tested, error),
        _by_ticker(evidence) if tickers > 1 else "",
        _earned(evidence.is_evidence, strategy, buy_and_hold, deflated, costs_bps, strategy_name),
        power_sentence(n, days),
        _small_skill(n),
    ]
    return " ".join(filter(None, sentences))


def _by_ticker(evidence: BacktestEvidence) -> str:
    found, tickers = len(evidence.tickers_with_evidence), len(evidence.tickers)
    adjusted = "p-values adjusted by Benjamini-Hochberg over tickers and models"
    if found == 0:
        return f"No ticker shows evidence by itself ({adjusted})."
    return (
        f"{found:,} of the {tickers:,} tickers show{'s' if found == 1 else ''} evidence alone ({adjusted})."
    )


def _earned(
    is_evidence: bool,
    strategy: Performance,
    hold: Performance,
    deflated: DeflatedSharpe,
    costs_bps: float,
    strategy_name: str,
) -> str:
    """What a strategy earned beside buy and hold, and whether that may be luck."""
    (own, over), (other, _) = (
        told_return(one.days, one.total_return, one.annualised_return) for one in (strategy, hold)
    )
    compared = "more than" if own > other else "less than" if own < other else "as much as"
    said = (
        f"After costs of {costs_bps:g} bps {strategy_name} returned {100 * own:,.1f} % {over}, {compared} buy and "
        f"hold with {100 * other:,.1f} %"
    )
    if strategy.sharpe and hold.sharpe:
        ratios = [
            f"{one.annualised:.2f} ± {one.annualised_standard_error:.2f}"
            for one in (strategy.sharpe, hold.sharpe)
        ]
        said += f" (Sharpe ratios and their standard errors: {ratios[0]} and {ratios[1]})"
    if own <= other:
        return f"{said}."
    if not is_evidence:
        return f"{said}, but without evidence of skill that is no reason to expect it again."
    if deflated.probability is None:
        return f"{said}, but how much of that is luck is not known, because its deflated Sharpe ratio is not defined."
    ratio = f"its deflated Sharpe ratio is {deflated.probability:.2f}"
    if deflated.probability < LEAST_DEFLATED:
        return f"{said}, but {ratio}, below {LEAST_DEFLATED}, so that this may be the luck of many tries."
    return (
        f"{said}, and {ratio}, more than the luck of many tries explains; that it will earn more than buy and hold "
        "again does not follow."
    )


def _small_skill(n: int) -> str:
    """How many days a small skill takes, where these do not find it."""
    found = detectable_skill(n)
    if found is not None and found <= SMALL_SKILL:
        return ""
    return f"To find one of {100 * SMALL_SKILL:g} % takes {days_to_find(SMALL_SKILL):,} days of one ticker."
