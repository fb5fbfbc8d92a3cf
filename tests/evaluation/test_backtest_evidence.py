"""The rule of evidence over a backtest's models and tickers, and its paragraph (evaluation.backtest_evidence)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trendlstm.evaluation.backtest_evidence import (
    BacktestEvidence,
    backtest_evidence,
    backtest_verdict,
)
from trendlstm.evaluation.evidence import claim_p_value
from trendlstm.evaluation.metrics import evaluate
from trendlstm.evaluation.panel import WalkMetrics
from trendlstm.evaluation.performance import evaluate_account
from trendlstm.evaluation.sharpe import DeflatedSharpe
from trendlstm.evaluation.significance import Correlation, TestResult, benjamini_hochberg
from trendlstm.evaluation.trading import account, holding_days


def metrics(rmse=1.9, clark_west=0.012, correlation=0.021, n=252, effective_n=681.5):
    """Step 1 of a model with these errors and p-values; persistence's RMSE is 2."""
    origin = np.full(3, 10.0)
    (step,) = evaluate(origin, origin[:, None] + 1, origin[:, None] + [[1.0], [2.0], [0.0]])
    measured = replace(
        step,
        n=n,
        rmse=rmse,
        skill=None if np.isnan(rmse) else 1 - rmse / 2,
        clark_west=TestResult(1.0, clark_west, n),
        correlation=Correlation(0.2, TestResult(1.0, correlation, n)),
        diebold_mariano=TestResult(1.0, 0.2, n),
    )
    return WalkMetrics(measured, 1.0, TestResult(1.0, 0.3, n), 1, effective_n)


def performance(annual, days=252):
    """Of an account that gains the same every day, but for a ripple."""
    ripple = (
        0.01 * np.where(np.arange(days) % 2, 1, -1) * (1 if days < 10 else np.arange(days) // 2 % 2 * 2 - 1)
    )
    daily = np.log1p(annual) / 252 + ripple - ripple.mean()
    close = np.exp(np.concatenate([[0, 0], np.cumsum(daily)]))
    dates = np.datetime64("2020-01-01") + np.arange(days + 2)
    held = holding_days(dates, None, close, np.array([0]), days, close[:1] + 1)
    return evaluate_account(account(held, "buy and hold", 0.0))


def evidence(tickers=4, p_value=0.021, with_evidence=0, **model):
    alone = {f"T{index}": 0.01 if index < with_evidence else 0.5 for index in range(tickers)}
    return BacktestEvidence(metrics(**model), metrics(1.95), p_value, alone)


POWER = (
    "252 days of 4 tickers, worth 681 of one ticker, find a true skill of 0.5 % with a probability of 0.8, a smaller "
    "one less often and then overstated. To find one of 0.1 % takes 3,360 days of one ticker."
)
KNOWS = (
    "There is evidence that the LSTM knows more than persistence (tomorrow = today): on 252 test days of 4 tickers its "
    "one-step RMSE of log returns is 5.0 % lower (Clark-West p = 0.012, correlation p = 0.021; Diebold-Mariano p = "
    "0.200)."
)
ADJUSTED = "(p-values adjusted by Benjamini-Hochberg over tickers and models)"


def said(found, own=0.05, hold=0.1, deflated=0.5, costs=5.0):
    benchmark = DeflatedSharpe(None if deflated is None else 0.1, deflated)
    return backtest_verdict(found, performance(own), performance(hold), benchmark, costs, "the LSTM")


def test_a_verdict_has_evidence_tickers_earnings_and_power():
    text = said(evidence(with_evidence=1))
    sharpe = "(Sharpe ratios and their standard errors: 0.39 ± 1.00 and 0.68 ± 1.00)"
    assert text == (
        f"{KNOWS} 1 of the 4 tickers shows evidence alone {ADJUSTED}. After costs of 5 bps long/flat returned 5.0 % a "
        f"year, less than buy and hold with 10.0 % {sharpe}. {POWER}"
    )


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (0, f"No ticker shows evidence by itself {ADJUSTED}."),
        (1, f"1 of the 4 tickers shows evidence alone {ADJUSTED}."),
        (4, f"4 of the 4 tickers show evidence alone {ADJUSTED}."),
    ],
)
def test_how_many_tickers_show_evidence(found, sentence):
    assert f" {sentence} After" in said(evidence(with_evidence=found))


@pytest.mark.parametrize(
    ("found", "beginning"),
    [
        (evidence(), KNOWS),
        (
            evidence(p_value=0.063),
            "There is no evidence that the LSTM beats persistence (tomorrow = today): on 252 test days of 4 tickers "
            "its one-step RMSE of log returns is 5.0 % lower, but adjusted for the number of models p = 0.063, not "
            "below 0.05.",
        ),
        (
            evidence(p_value=0.3, clark_west=0.3),
            "There is no evidence that the LSTM beats persistence (tomorrow = today): on 252 test days of 4 tickers "
            "its one-step RMSE of log returns is 5.0 % lower, but that may be chance (Clark-West p = 0.300, not "
            "below 0.05).",
        ),
        (
            evidence(p_value=1.0, rmse=2.02),
            "Persistence (tomorrow = today) was not beaten by the LSTM: on 252 test days of 4 tickers its one-step "
            "RMSE of log returns is 1.0 % higher.",
        ),
        (
            evidence(p_value=1.0, rmse=np.nan),
            "Persistence (tomorrow = today) was not beaten by the LSTM: its RMSE of log returns is not defined on 252 "
            "test days of 4 tickers.",
        ),
        (
            evidence(tickers=1, p_value=1.0, rmse=2.02),
            "Persistence (tomorrow = today) was not beaten by the LSTM: on 252 test days its one-step RMSE is 1.0 % "
            "higher. After",
        ),
    ],
)
def test_the_evidence_is_said_first(found, beginning):
    assert said(found).startswith(beginning)


@pytest.mark.parametrize(
    ("found", "numbers", "sentence"),
    [
        (
            evidence(),
            {"own": 0.1, "hold": 0.1},
            "returned 10.0 % a year, as much as buy and hold with 10.0 %",
        ),
        (evidence(), {"own": -0.05}, "returned -5.0 % a year, less than buy and hold with 10.0 %"),
        (
            evidence(p_value=0.2, clark_west=0.2),
            {"own": 0.2, "deflated": 0.99},
            ", but without evidence of skill that is no reason to expect it again.",
        ),
        (
            evidence(),
            {"own": 0.2, "deflated": 0.94},
            ", but its deflated Sharpe ratio is 0.94, below 0.95, so that this may be the luck of many tries.",
        ),
        (
            evidence(),
            {"own": 0.2, "deflated": None},
            ", but how much of that is luck is not known, because its deflated Sharpe ratio is not defined.",
        ),
        (
            evidence(),
            {"own": 0.2, "deflated": 0.97, "costs": 2.5},
            ", and its deflated Sharpe ratio is 0.97, more than the luck of many tries explains; that it will earn "
            "more than buy and hold again does not follow.",
        ),
    ],
)
def test_what_was_earned_is_said_beside_buy_and_hold(found, numbers, sentence):
    text = said(found, **numbers)
    assert sentence in text and f"After costs of {numbers.get('costs', 5.0):g} bps" in text


def test_one_ticker_has_no_sentence_on_tickers_and_its_own_days():
    text = said(evidence(tickers=1))
    assert "by itself" not in text and "log returns" not in text and "of one ticker, find" not in text
    assert " 252 days find a true skill of 1.4 % with" in text


def test_days_that_are_too_few_and_days_that_are_enough():
    few = BacktestEvidence(metrics(n=9, effective_n=9), metrics(1.95), 0.02, {"MSFT": 0.02})
    short = performance(0.1, days=9)
    text = backtest_verdict(few, short, short, DeflatedSharpe(None, None), 5.0)
    earned = f"{100 * short.total_return:.1f} %"
    assert f"long/flat returned {earned} in 9 days, as much as buy and hold with {earned}." in text
    assert "So few days find no true skill, however large, with a probability of 0.8. To find" in text
    many = said(evidence(effective_n=3360.0))
    assert many.endswith("overstated.") and "find a true skill of 0.1 % with" in many


@given(
    st.floats(1.5, 2.5), st.none() | st.floats(0, 1), st.none() | st.floats(0, 1), st.floats(-0.5, 0.5),
    st.none() | st.floats(0, 1),
)  # fmt: skip
@settings(deadline=None)
def test_a_verdict_never_oversells(rmse, clark_west, correlation, own, deflated):
    model = metrics(rmse, clark_west, correlation)
    p_value = claim_p_value(model.measured, metrics(1.95).measured)
    found = replace(evidence(), model=model, p_value=p_value)
    text = said(found, own=own, deflated=deflated)
    assert text.startswith("There is evidence") == found.is_evidence
    if "luck of many tries explains" in text:
        assert found.is_evidence and own > 0.1 and deflated >= 0.95
    assert ("no reason to expect it again" in text) == (
        not found.is_evidence and "more than buy and hold with" in text
    )


def test_p_values_are_adjusted_over_models_and_over_tickers_and_models():
    random = np.random.default_rng(0)
    names = ["persistence", "drift", "ridge", "lstm"]

    def one():
        return {
            name: metrics(1.95 if name == "drift" else 1.9, *random.uniform(0, 0.05, 2)) for name in names
        }

    by_ticker, pooled = {ticker: one() for ticker in ("MSFT", "IBM", "KO")}, one()
    found = backtest_evidence(by_ticker, pooled)
    assert list(found) == ["ridge", "lstm"]

    def claims(*pairs):
        return benjamini_hochberg(
            [claim_p_value(of[name].measured, of["drift"].measured) for of, name in pairs]
        )

    assert [found[name].p_value for name in found] == claims((pooled, "ridge"), (pooled, "lstm"))
    each = claims(*((of, name) for name in found for of in by_ticker.values()))
    assert [*found["ridge"].tickers.values(), *found["lstm"].tickers.values()] == each
    assert list(found["lstm"].tickers) == ["MSFT", "IBM", "KO"]
    assert found["lstm"].model is pooled["lstm"] and found["ridge"].drift is pooled["drift"]

    alone = backtest_evidence({"MSFT": by_ticker["MSFT"]})
    assert alone["lstm"].model is by_ticker["MSFT"]["lstm"]
    assert alone["lstm"].tickers == {"MSFT": alone["lstm"].p_value}
