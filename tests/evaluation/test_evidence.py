"""The rule of evidence, its sentences and what many tries do to it (trendlstm.evaluation.evidence)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_returns import PROCESSES, autoregressive

from trendlstm.data.windows import make_windows
from trendlstm.evaluation.baselines import drift, ridge
from trendlstm.evaluation.evidence import (
    chance_of_a_false_claim,
    claim_p_value,
    claims_evidence,
    days_to_find,
    detectable_skill,
    tries_sentence,
    verdict,
)
from trendlstm.evaluation.metrics import evaluate, wilson_interval
from trendlstm.evaluation.significance import Correlation, TestResult


def result(p_value, n=101):
    if p_value is None:
        return TestResult(None, None, n, "there is a reason")
    return TestResult(1.0, p_value, n)


def measured(rmse=1.9, persistence_rmse=2.0, clark_west=0.012, correlation=0.021, diebold_mariano=0.2, n=101):
    """Step 1 of a model with these errors and p-values."""
    origin = np.full(3, 10.0)
    (step,) = evaluate(origin, origin[:, None] + 1, origin[:, None] + [[1.0], [2.0], [0.0]])
    return replace(
        step,
        n=n,
        rmse=rmse,
        skill=1 - rmse / persistence_rmse if persistence_rmse else None,
        clark_west=result(clark_west, n),
        correlation=Correlation(0.2, result(correlation, n)),
        diebold_mariano=result(diebold_mariano, n),
    )


DRIFT = measured(1.95)


@pytest.mark.parametrize(
    ("settings", "p_value"),
    [
        ({}, 0.021),
        ({"clark_west": 0.04}, 0.04),
        ({"clark_west": 0.06}, 0.06),
        ({"correlation": 0.06}, 0.06),
        ({"correlation": 0.05}, 0.05),
        ({"diebold_mariano": 0.9}, 0.021),
        ({"rmse": 2.0}, 1.0),
        ({"rmse": 2.1}, 1.0),
        ({"rmse": 1.95}, 1.0),  # drift does as well
        ({"rmse": 1.97}, 1.0),
        ({"persistence_rmse": 0.0}, 1.0),
        ({"clark_west": None}, None),
        ({"correlation": None}, None),
    ],
)
def test_evidence_needs_smaller_errors_and_both_tests(settings, p_value):
    model = measured(**settings)
    assert claim_p_value(model, DRIFT) == p_value
    assert claims_evidence(model, DRIFT) is (p_value is not None and p_value < 0.05)
    assert not claims_evidence(model, DRIFT, level=0.021)


POWER = "101 days find a true skill of 3.7 % with a probability of 0.8, a smaller one less often and then overstated."


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            measured(),
            "There is evidence that the LSTM knows more than persistence (tomorrow = today): on 101 test days its "
            "one-step RMSE is 5.0 % lower (Clark-West p = 0.012, correlation p = 0.021; Diebold-Mariano p = 0.200).",
        ),
        (
            measured(clark_west=1e-5),
            "There is evidence that the LSTM knows more than persistence (tomorrow = today): on 101 test days its "
            "one-step RMSE is 5.0 % lower (Clark-West p < 0.001, correlation p = 0.021; Diebold-Mariano p = 0.200).",
        ),
        (
            measured(1.9936, clark_west=0.344),
            "There is no evidence that the LSTM beats persistence (tomorrow = today): on 101 test days its one-step "
            "RMSE is 0.32 % lower, but that of drift (the mean training return) is no higher.",
        ),
        (
            measured(1.9, clark_west=0.344),
            "There is no evidence that the LSTM beats persistence (tomorrow = today): on 101 test days its one-step "
            "RMSE is 5.0 % lower, but that may be chance (Clark-West p = 0.344, not below 0.05).",
        ),
        (
            measured(1.9, correlation=0.051),
            "There is no evidence that the LSTM beats persistence (tomorrow = today): on 101 test days its one-step "
            "RMSE is 5.0 % lower, but a drift would do that too (correlation p = 0.051, not below 0.05).",
        ),
        (
            measured(1.9, correlation=None),
            "There is no evidence that the LSTM beats persistence (tomorrow = today): on 101 test days its one-step "
            "RMSE is 5.0 % lower, but the test of correlation is not defined (there is a reason).",
        ),
        (
            measured(43.219),
            "Persistence (tomorrow = today) was not beaten by the LSTM: on 101 test days its one-step RMSE is "
            "2,061.0 % higher.",
        ),
        (
            measured(2.0),
            "Persistence (tomorrow = today) was not beaten by the LSTM: on 101 test days its one-step RMSE is the "
            "same.",
        ),
    ],
)
def test_verdict_says_what_the_numbers_say_and_what_they_could_show(model, sentence):
    assert verdict(model, DRIFT, name="the LSTM") == f"{sentence} {POWER}"


def test_verdict_where_nothing_could_be_found():
    assert verdict(measured(1.0, 0.0), DRIFT) == (
        "Persistence (tomorrow = today) was not beaten by the model: no price changed on 101 test days."
    )
    assert verdict(measured(2.1, n=9), DRIFT).endswith(
        "So few days find no true skill, however large, with a probability of 0.8."
    )


@given(
    st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.01, 100),
    *[st.one_of(st.none(), st.floats(0, 1)) for _ in range(2)],
)  # fmt: skip
@settings(deadline=None)
def test_verdict_and_rule_agree(rmse, persistence_rmse, drift_rmse, clark_west, correlation):
    model, baseline = measured(rmse, persistence_rmse, clark_west, correlation), measured(drift_rmse)
    claimed = claims_evidence(model, baseline)
    assert verdict(model, baseline).startswith("There is evidence") == claimed


# --- How often it is wrong, and what it finds ------------------------------------------------------------


def claims_of_ridge(returns):
    prices = pd.DataFrame(
        {"Close": 100 * np.exp(np.cumsum(returns))}, index=pd.bdate_range("2015-01-01", periods=len(returns))
    )
    windows = make_windows(prices, lag=5)
    test = windows.test
    return claims_evidence(
        *(evaluate(test.anchors, test.actual, one(windows)["test"])[0] for one in (ridge, drift))
    )


@pytest.mark.parametrize("process", ["normal", "GARCH-t", "drift", "jumps"])
def test_the_rule_hardly_ever_claims_evidence_where_nothing_can_be_known(process):
    """At most 5 % of 120 series of 4 years, predicted by ridge, also where they gain 0.1 % a day."""
    series = PROCESSES[process](np.random.default_rng(1992), 120, 1008)
    claimed = sum(map(claims_of_ridge, series))
    low, high = wilson_interval(claimed, 120)
    print(f"{process}: evidence claimed on {claimed} of 120 series ({low:.1%} to {high:.1%})")
    assert claimed <= 6


def test_ridge_finds_what_there_is_to_find():
    """Of the variance 9 % can be forecast."""
    series = autoregressive(np.random.default_rng(7), 100, 1008, rho=0.3)
    assert np.mean(list(map(claims_of_ridge, series))) > 0.7


@pytest.mark.parametrize("days", [50, 101, 250, 1000])
def test_the_skill_that_the_verdict_names_is_found_with_its_probability(days):
    skill = detectable_skill(days)
    rho = np.sqrt(1 - (1 - skill) ** 2)  # the best forecast of an AR(1) explains rho^2 of the variance
    found = []
    for returns in autoregressive(np.random.default_rng(days), 600, days + 1, rho):
        close = 100 * np.exp(np.cumsum(returns))
        origin, actual = close[:-1], close[1:, None]
        best = (origin * np.exp(rho * returns[:-1]))[:, None]
        found.append(claims_evidence(*(evaluate(origin, actual, one)[0] for one in (best, origin[:, None]))))
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@given(st.floats(0.0005, 1))
def test_so_many_days_find_a_skill_and_one_fewer_does_not(skill):
    days = days_to_find(skill)
    assert detectable_skill(days) is None or detectable_skill(days) <= skill * (1 + 1e-9)
    fewer = detectable_skill(days - 1)
    assert fewer is None or fewer > skill


def test_more_days_find_less_skill_and_few_find_none():
    found = [detectable_skill(n) for n in range(16, 3000)]
    assert found == sorted(found, reverse=True) and 0 < found[-1] < 0.002
    assert [detectable_skill(n) for n in (1, 8, 14)] == [None] * 3


# --- Many tries ------------------------------------------------------------------------------------------


def test_independent_tries_without_skill():
    assert chance_of_a_false_claim(1) == pytest.approx(0.05)
    random = np.random.default_rng(0)
    lucky = (random.uniform(size=(20_000, 12)) < 0.05).any(axis=1).mean()
    assert chance_of_a_false_claim(12) == pytest.approx(lucky, abs=0.01)


def test_what_is_said_of_many_tries():
    assert tries_sentence(measured(), DRIFT, 0, "MSFT") == ""
    begin = "This is try {} on MSFT in its folder: at least one of so many would claim evidence without any skill in up"
    assert tries_sentence(measured(2.1), DRIFT, 1, "MSFT") == f"{begin.format(2)} to 10 % of cases."
    assert tries_sentence(measured(), DRIFT, 1, "MSFT") == (
        f"{begin.format(2)} to 10 % of cases; p = 0.021 is below 0.05 / 2 = 0.025 too."
    )
    assert tries_sentence(measured(), DRIFT, 11, "MSFT") == (
        f"{begin.format(12)} to 46 % of cases; p = 0.021 is not below 0.05 / 12 = 0.0042, so that this evidence may "
        "be the luck of many tries."
    )
