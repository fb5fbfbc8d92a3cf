"""Model Confidence Set and SPA (trendlstm.evaluation.many_models)."""

import math
import sys

import numpy as np
import pytest

from trendlstm.evaluation.many_models import model_confidence_set, superior_ability

BOTH = pytest.mark.parametrize(
    "compare",
    [
        lambda losses: model_confidence_set(losses),
        lambda losses: superior_ability(losses, "persistence"),
    ],
    ids=["confidence set", "SPA"],
)


@pytest.fixture
def arch():
    return pytest.importorskip("arch.bootstrap", reason="needs the extra stats")


def squared_errors(seed, knowledge=0.0, noisy=(0.1, 0.1), days=300):
    """Persistence, some forecasts that are noise alone, and one that knows a share of the returns."""
    random = np.random.default_rng(seed)
    returns = random.standard_t(5, days)
    forecasts = {f"noise {index}": random.normal(0, size, days) for index, size in enumerate(noisy)}
    knowing = knowledge * returns + 0.01 * random.normal(size=days)
    return {"persistence": returns**2} | {
        name: (returns - one) ** 2 for name, one in ({"knowing": knowing} | forecasts).items()
    }


def test_the_confidence_set_is_that_of_arch(arch):
    losses = squared_errors(1, 0.0005, noisy=(0.1, 0.4))
    found = model_confidence_set(losses)
    peer = arch.MCS(np.column_stack(list(losses.values())), 0.1, reps=1000, block_size=17, seed=0)
    peer.compute()
    assert found.p_values == pytest.approx(
        {name: peer.pvalues.Pvalue[index] for index, name in enumerate(losses)}
    )
    assert found.members == [list(losses)[index] for index in peer.included]
    assert "knowing" in found.members and 0 < len(found.members) < 4
    assert model_confidence_set(losses) == found and (found.n, found.reason) == (300, None)
    assert model_confidence_set(losses, overlap=100).p_values != found.p_values


def test_the_confidence_set_holds_the_best_models_and_leaves_out_bad_ones(arch):
    held, left_out = [], []
    for seed in range(20):
        members = model_confidence_set(squared_errors(seed, noisy=(0.8,))).members
        held.append("persistence" in members)
        left_out.append("noise 0" not in members)
    assert np.mean(held) >= 0.85 and np.mean(left_out) >= 0.9


def test_superior_ability_by_the_formulas_of_the_paper(arch):
    """Hansen (2005), section 2: studentised, recentred where not far below the benchmark."""
    losses = squared_errors(5, noisy=(0.05, *[0.6] * 8))
    found = superior_ability(losses, "persistence")
    gains = losses["persistence"][:, None] - np.column_stack([losses[name] for name in list(losses)[1:]])
    n = len(gains)
    indices = np.arange(n)
    bootstrap = arch.StationaryBootstrap(17, indices, seed=5)
    means = np.array([gains[positional[0]].mean(axis=0) for positional, _ in bootstrap.bootstrap(4000)])
    error = means.std(axis=0)
    statistic = max(0, (gains.mean(axis=0) / error).max())
    recentred = np.where(
        gains.mean(axis=0) >= -error * math.sqrt(2 * math.log(math.log(n))), gains.mean(axis=0), 0
    )
    largest = np.maximum(0, ((means - recentred) / error).max(axis=1))
    assert found.statistic == pytest.approx(statistic, rel=0.1) and statistic > 1
    assert found.p_value == pytest.approx(np.mean(largest > statistic), abs=0.03)
    assert superior_ability(losses, "persistence") == found


def test_superior_ability_does_not_depend_on_the_units_of_a_models_gains(arch):
    """Not so in arch 8.0 itself, where a noisy model drowns one that is surely a little better."""
    losses = squared_errors(4, 0.05, noisy=(0.1,))
    rough = losses | {"noise 0": losses["persistence"] + 50 * (losses["noise 0"] - losses["persistence"])}
    found = [superior_ability(one, "persistence") for one in (losses, rough)]
    assert found[0].p_value == pytest.approx(found[1].p_value, abs=1e-12) and found[0].p_value < 0.05
    plain = arch.SPA(losses["persistence"], np.column_stack(list(rough.values())[1:]), block_size=17, seed=0)
    plain.compute()
    assert plain.pvalues["consistent"] > 0.3


def test_the_best_of_many_noises_has_no_superior_ability(arch):
    """Of twelve small noises the best one errs less than persistence in most cases."""
    claimed, best = 0, 0
    for seed in range(15):
        losses = squared_errors(seed, noisy=(0.02,) * 12)
        claimed += superior_ability(losses, "persistence").p_value < 0.05
        best += min(losses, key=lambda name: losses[name].mean()) != "persistence"
    assert claimed <= 3 and best > 11


def test_models_that_all_err_more_have_a_p_value_of_one(arch):
    assert superior_ability(squared_errors(0, -0.5, noisy=(1.0,)), "persistence").p_value == 1.0


@BOTH
def test_what_cannot_be_compared_has_a_reason(compare, arch):
    losses = squared_errors(0)
    unknown = losses | {"knowing": np.append(losses["knowing"][1:], np.nan)}
    assert "not above 0" in compare(unknown).reason
    assert (
        compare(losses | {"echo": losses["noise 1"]}).reason == "the losses of noise 1 and echo are the same"
    )
    assert compare({name: one[:19] for name, one in losses.items()}).reason == "there are too few dates (19)"
    assert compare({"persistence": losses["persistence"]}).reason == "there is only one model"


def test_a_set_that_is_not_defined_leaves_nobody_out():
    found = model_confidence_set({"persistence": np.ones(30)})
    assert found.members == ["persistence"] and found.p_values == {"persistence": None}


@BOTH
def test_without_arch_a_result_names_the_extra_and_no_path_of_the_machine(compare, monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    assert compare(squared_errors(0)).reason == "they need the package arch, which is in the extra stats"
