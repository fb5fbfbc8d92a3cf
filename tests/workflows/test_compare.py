"""Comparisons: the same conditions for all, figures by their definitions, and claims that noise does not make."""

import dataclasses

import numpy as np
import pytest
from comparisons import KINDS, compared, prepare, stand_in_comparison
from walks import random_walk, small_config, trained

from trendlstm.config import COMPARED, FORGET_BIASES, INITS, PLAIN_LSTM, CompareConfig, DataConfig
from trendlstm.data.frames import price_set
from trendlstm.errors import OptionError
from trendlstm.evaluation.baselines import drift, ridge
from trendlstm.evaluation.evidence import claim_p_value
from trendlstm.evaluation.significance import diebold_mariano, holm
from trendlstm.nn.gradient_flow import gradient_flows, half_life, kept_per_step, ratio
from trendlstm.workflows import compare as workflow
from trendlstm.workflows import variants

PRICES = price_set(random_walk(), DataConfig("WALK"))


@pytest.fixture(scope="module")
def everything():
    return compared(COMPARED, seeds=3, lag=6)


# ------------------------------------------------------------------------------------------- who, and on what terms


def test_all_kinds_and_all_models_are_there(everything):
    prepared = everything.prepared
    labels = [variant.kind.label for variant in prepared.variants]
    assert [label for label in labels if label not in ("GRU", "ANN")] == KINDS and len(labels) == len(
        KINDS
    ) + 2
    assert list(prepared.models) == list(everything.models) == ["lstm", *COMPARED]
    assert {name: variant and variant.kind.key for name, variant in prepared.models.items()} == {
        "lstm": "lstm-bias-1",
        "rnn": "rnn-orthogonal",
        "gru": "gru",
        "ann": "ann",
        "lstm1997": "lstm1997",
        "persistence": None,
        "drift": None,
        "ridge": None,
    }
    few = prepare(["ridge", "ridge"])
    assert list(few.models) == ["lstm", "ridge", "persistence", "drift"]
    assert [variant.kind.label for variant in few.variants] == KINDS


def test_every_model_and_every_kind_has_a_row_of_its_own():
    assert set(variants.MODELS) == {"lstm", PLAIN_LSTM, *COMPARED}
    for names in ("key", "label", "phrase"):
        assert len({getattr(kind, names) for kind in variants.KINDS}) == len(variants.KINDS)
    lstms = {kind.settings["forget_bias"] for kind in variants.KINDS if "forget_bias" in kind.settings}
    rnns = {kind.settings["init"] for kind in variants.KINDS if kind.cell == "rnn"}
    assert lstms == set(FORGET_BIASES) and rnns == set(
        INITS
    )  # or an LSTM or RNN to compare would have no row
    looks = {(kind.colour, kind.line) for kind in variants.KINDS}
    assert len(looks) == len(variants.KINDS)
    assert len({(model.colour, model.line) for model in variants.MODELS.values()}) == len(variants.MODELS)


def test_networks_share_all_settings_but_cell_and_initial_values(everything):
    lstm = everything.prepared.config.train.network
    for variant in everything.prepared.variants:
        for seed, network in enumerate(variant.networks):
            given = dataclasses.replace(network.config, cell="lstm", init=lstm.init, forget_bias=1)
            assert given == dataclasses.replace(lstm, seed=lstm.seed + seed)
    config = small_config()
    uniform = dataclasses.replace(config, network=dataclasses.replace(config.network, init="uniform"))
    models = workflow.prepare(CompareConfig(uniform, ("rnn", "lstm1997")), PRICES).models
    assert models["rnn"].kind.key == "rnn-uniform"
    assert {models[name].networks[0].config.init for name in ("lstm", "lstm1997")} == {"uniform"}


@pytest.mark.parametrize("bias", [0, 1, "chrono"])
def test_the_lstm_has_the_forget_bias_that_was_asked_for(bias):
    config = small_config()
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, forget_bias=bias))
    lstm = workflow.prepare(CompareConfig(config, ()), PRICES).models["lstm"]
    assert lstm.networks[0].config.forget_bias == bias


def test_the_lstm_is_the_one_that_train_would_train(everything):
    result = trained(lag=6, seeds=3).assessment
    test = result.predictions[result.predictions["split"] == "test"]
    found = everything.models["lstm"]
    np.testing.assert_array_equal(found.predicted[:, 0], test["prediction"])
    assert found.ensemble == result.metrics["test"]["model"]
    assert found.spread(lambda steps: steps.rmse).sd == result.spread["test"]


@pytest.mark.parametrize("features", [("Close",), ("Close", "Volume")])
def test_match_params_takes_the_nearest_number_of_parameters(features):
    config = small_config(lag=5, features=features)
    config = dataclasses.replace(
        config, network=dataclasses.replace(config.network, hidden_size=16, dense=(8,))
    )
    prepared = workflow.prepare(CompareConfig(config, COMPARED, "params"), PRICES)
    target = prepared.models["lstm"].networks[0].num_params
    for name in ("rnn", "gru", "ann", "lstm1997"):
        network = prepared.models[name].networks[0]
        size = network.config.hidden_size
        distances = {
            other: abs(
                type(network).from_config(dataclasses.replace(network.config, hidden_size=other)).num_params
                - target
            )
            for other in (size - 1, size, size + 1)
        }
        assert size > 16 and min(distances, key=distances.get) == size
    for variant in prepared.variants:
        assert variant.networks[0].config.dense == (8,)
        if variant.kind.cell == "lstm":
            assert variant.networks[0].config.hidden_size == 16


@pytest.mark.parametrize("hidden_size, shape", [(5, (5, 5)), ((6, 3), (6, 3))])
@pytest.mark.parametrize("match", ["hidden", "params"])
def test_networks_of_several_layers_stand_beside_the_plain_lstm(hidden_size, shape, match):
    config = small_config(hidden_size=hidden_size, layers=2, dropout=0.2, recurrent_dropout=0.1)
    config = CompareConfig(config, ("gru", "rnn"), match)
    assert config.compared == ("lstm", PLAIN_LSTM, "gru", "rnn", "persistence", "drift")
    prepared = workflow.prepare(config, PRICES)
    networks = {name: variant.networks[0] for name, variant in prepared.models.items() if variant}
    plain = networks.pop(PLAIN_LSTM).config
    assert plain.is_plain and plain.cell == "lstm" and plain.forget_bias == 1
    for network in networks.values():
        settings = network.config
        assert (settings.layers, settings.dropout, settings.recurrent_dropout) == (2, 0.2, 0.1)
    lstm = networks.pop("lstm")
    assert lstm.config.hidden_sizes == shape
    if match == "hidden":
        assert plain.hidden_size == shape[0] and {one.config.hidden_sizes for one in networks.values()} == {
            shape
        }
        return
    for settings in (plain, *(network.config for network in networks.values())):
        first, *others = settings.hidden_sizes
        assert first >= shape[0]
        assert others == [max(1, round(first * size / shape[0])) for size in shape[1 : settings.layers]]
        distances = {}
        for other in (first - 1, first, first + 1):
            scaled = tuple(max(1, round(other * size / shape[0])) for size in shape[: settings.layers])
            sized = type(lstm).from_config(dataclasses.replace(settings, hidden_size=scaled))
            distances[other] = abs(sized.num_params - lstm.num_params)
        assert min(distances, key=distances.get) == first


@pytest.mark.parametrize("settings", [{"layers": 2}, {"dropout": 0.2}, {"recurrent_dropout": 0.2}])
def test_the_plain_lstm_is_there_where_the_lstm_is_another(settings):
    assert PLAIN_LSTM in CompareConfig(small_config(**settings)).compared
    assert PLAIN_LSTM not in CompareConfig(small_config()).compared


def test_the_plain_lstm_is_the_one_that_a_plain_comparison_has():
    shallow = compared((), lag=5)
    deep = compared((), lag=5, layers=2, dropout=0.3)
    expected, found = shallow.models["lstm"], deep.models[PLAIN_LSTM]
    np.testing.assert_array_equal(found.predicted, expected.predicted)
    assert found.parameters == expected.parameters < deep.models["lstm"].parameters
    assert deep.lstm_differences[0][PLAIN_LSTM].p_value is not None
    flows = [
        one.gradients["trained"].shares(key) for one, key in ((shallow, "lstm-bias-1"), (deep, PLAIN_LSTM))
    ]
    assert flows[0] == flows[1] != ()


def test_defaults_of_a_comparison():
    config = CompareConfig()
    assert (config.train.window.lag, config.train.seeds, config.baselines) == (60, 5, ("rnn",))
    assert config.compared == ("lstm", "rnn", "persistence", "drift")
    assert config.to_dict() == {
        **config.train.to_dict(),
        "baselines": ["rnn", "persistence", "drift"],
        "match": "hidden",
    }


@pytest.mark.parametrize(
    "settings, more, message",
    [
        (
            {},
            (["svm"],),
            "unknown baseline 'svm': choose among rnn, gru, ann, lstm1997, persistence, drift, ridge",
        ),
        ({}, ([], "layers"), "match must be one of hidden, params, but is 'layers'"),
        ({"cell": "rnn"}, ([],), "but the cell is 'rnn'"),
        ({"lag": 2}, ([],), "needs a lag of at least 3, but it is 2"),
        ({"layers": 2}, (["ann"],), "cell 'ann' has one hidden layer"),
        ({"recurrent_dropout": 0.1}, (["ann"],), "cell 'ann' has nothing recurrent"),
    ],
)
def test_bad_settings_are_named(settings, more, message):
    with pytest.raises(OptionError, match=message):
        CompareConfig(small_config(**settings), *more)


def test_a_comparison_without_biases_is_refused():
    config = small_config()
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, bias=False))
    with pytest.raises(OptionError, match="needs biases"):
        CompareConfig(config)


# ------------------------------------------------------------------------------------------------- the figures


def test_errors_of_every_model(everything):
    prepared, found = everything.prepared, everything.models
    test = prepared.windows.test
    np.testing.assert_array_equal(found["persistence"].predicted[:, 0], test.anchors)
    np.testing.assert_array_equal(found["drift"].predicted, drift(prepared.windows)["test"])
    np.testing.assert_array_equal(found["ridge"].predicted, ridge(prepared.windows)["test"])
    assert [found[name].parameters for name in ("ridge", "drift", "persistence")] == [7, 1, 0]
    for name, one in found.items():
        variant = prepared.models[name]
        assert one.ensemble[0].rmse == pytest.approx(np.sqrt(np.mean((one.predicted - test.actual) ** 2)))
        if variant is not None:
            assert one is everything.kinds[variant.kind.key]
            assert one.parameters == variant.networks[0].num_params
            outputs = [network.predict(test.x).astype(float) for network in variant.networks]
            each = [prepared.windows.scaler.prices(output, test.anchors) for output in outputs]
            np.testing.assert_array_equal(one.by_seed, each)
            together = prepared.windows.scaler.prices(np.mean(outputs, axis=0), test.anchors)
            np.testing.assert_array_equal(one.predicted, together)
            errors = [np.sqrt(np.mean((closes - test.actual) ** 2)) for closes in each]
            spread = one.spread(lambda steps: steps.rmse)
            assert spread.values == pytest.approx(errors)
            assert (spread.mean, spread.sd) == pytest.approx((np.mean(errors), np.std(errors, ddof=1)))
            assert one.rmse == pytest.approx(np.mean(errors))
        else:
            assert one.by_seed == () and one.spread(lambda steps: steps.rmse).sd is None
    assert found["persistence"].spread(lambda steps: steps.hit_rate.rate) is None


def test_the_lstm_is_tested_against_every_rival_and_all_models_against_persistence(everything):
    actual, models = everything.prepared.windows.test.actual[:, 0], everything.models
    (differences,), (claims,) = everything.lstm_differences, everything.claims
    assert list(differences) == ["rnn", "gru", "ann", "lstm1997", "drift", "ridge"]
    for name, difference in differences.items():
        test = diebold_mariano(actual, models["lstm"].predicted[:, 0], models[name].predicted[:, 0])
        assert difference.test == everything.lstm_better(name, 1) == test
        assert difference.p_value == 2 * min(test.p_value, 1 - test.p_value)
    assert [one.adjusted for one in differences.values()] == holm(
        [one.p_value for one in differences.values()]
    )
    assert everything.lstm_better("lstm", 1) is None
    assert everything.lstm_better("persistence", 1) == models["lstm"].ensemble[0].diebold_mariano
    assert list(claims) == ["lstm", "rnn", "gru", "ann", "lstm1997", "ridge"]
    drift = models["drift"].ensemble[0]
    assert [one.p_value for one in claims.values()] == [
        claim_p_value(models[name].ensemble[0], drift) for name in claims
    ]
    assert [one.adjusted for one in claims.values()] == holm([one.p_value for one in claims.values()])


def test_a_claim_needs_a_p_value_that_is_small_among_so_many():
    prepared = prepare(("rnn", "ann", "lstm1997"), prices=random_walk(600, seed=1))
    rng = np.random.default_rng(1)
    y = prepared.windows.test.y
    outputs = {variant.kind.key: np.zeros(y.shape) for variant in prepared.variants}
    outputs["lstm-bias-1"] = 0.05 * y + rng.normal(0, 0.2, y.shape)
    found = stand_in_comparison(prepared, outputs)
    claim = found.claims[0]["lstm"]
    assert claim.p_value == pytest.approx(0.025, abs=0.005) and claim.adjusted == 4 * claim.p_value
    assert found.better_than_persistence == []
    alone = stand_in_comparison(prepare((), prices=random_walk(600, seed=1)), outputs)
    assert alone.better_than_persistence == ["lstm"]


def test_predictions_have_a_row_for_each_origin_step_model_and_seed():
    comparison = compared(("ridge", "ann"), horizon=3, features=("Close", "Volume"), seeds=2, seed=7)
    prepared = comparison.prepared
    windows, table = prepared.windows, workflow.predictions(comparison)
    assert list(table.columns) == ["origin", "date", "step", "model", "seed", "actual", "prediction"]
    names = ["lstm", "ridge", "ann", "persistence", "drift"]
    others = ["lstm-bias-0", "lstm-chrono", "lstm1997", "rnn-uniform", "rnn-glorot", "rnn-orthogonal"]
    assert list(dict.fromkeys(table["model"])) == [*names, *others]
    n = len(windows.test.anchors)
    for (name, seed), rows in table.groupby(["model", "seed"], sort=False):
        assert len(rows) == 3 * n and not rows.duplicated(["origin", "step"]).any()
        assert (rows["date"] > rows["origin"]).all()
        actual = rows.pivot(index="origin", columns="step", values="actual").to_numpy()
        np.testing.assert_array_equal(actual, windows.test.actual)
        found = comparison.models[name] if name in names else comparison.kinds[name]
        predicted = rows.pivot(index="origin", columns="step", values="prediction").to_numpy()
        expected = found.predicted if seed == "ensemble" else found.by_seed[int(seed) - 7]
        np.testing.assert_array_equal(predicted, expected)
    seeds = table.groupby("model")["seed"].agg(set)
    for name in table["model"].unique():
        is_baseline = name in ("ridge", "persistence", "drift")
        assert seeds[name] == ({"ensemble"} if is_baseline else {"ensemble", "7", "8"})
    assert (table["actual"].to_numpy()[:3] == windows.close[windows.test.origins[0] + 1 :][:3]).all()


def test_gradient_flows_before_and_after_training(everything):
    prepared = everything.prepared
    for variant in prepared.recurrent:
        before, after = (everything.gradients[state].flows[variant.kind.key] for state in workflow.STATES)
        assert len(before) == len(after) == 3
        assert [flow.dh_dh is None for flow in before] == [False, True, True]  # the first seed alone
        assert all((a.dloss_dh != b.dloss_dh).any() for a, b in zip(before, after, strict=True))
        fresh = [type(network).from_config(network.config) for network in variant.networks]
        train = prepared.windows.train
        for flows, networks in ((before, fresh), (after, variant.networks)):
            for flow, network in zip(flows, networks, strict=True):
                again = gradient_flows([network], train.x, train.y, [32])[0]
                np.testing.assert_array_equal(flow.dloss_dh, again.dloss_dh)
                np.testing.assert_array_equal(flow.weight_terms, again.weight_terms)
            np.testing.assert_array_equal(
                flows[0].dh_dh, gradient_flows([networks[0]], train.x, train.y, [32])[0].dh_dh
            )


def test_profiles_are_medians_over_seeds(everything):
    gradients = everything.gradients["trained"]
    curves = [flow.dloss_dc for flow in gradients.flows["lstm-chrono"]]
    found = gradients.profile("lstm-chrono", "dloss_dc")
    relative = np.array([curve / curve[0] for curve in curves])
    np.testing.assert_array_equal(found.relative, np.median(relative, axis=0))
    np.testing.assert_array_equal(found.low, relative.min(axis=0))
    np.testing.assert_array_equal(found.high, relative.max(axis=0))
    assert found.first == np.median([curve[0] for curve in curves])
    assert found.ratios == tuple(ratio(curve) for curve in curves) and found.ratio == np.median(found.ratios)
    assert found.kept_per_step == tuple(kept_per_step(curve) for curve in curves)
    lives = sorted(np.inf if half_life(curve) is None else half_life(curve) for curve in curves)
    assert found.half_life == (None if lives[1] == np.inf else lives[1])
    assert gradients.profile("rnn-glorot", "dloss_dc") is None
    assert gradients.shares("lstm-chrono") == gradients.profile("lstm-chrono", "dloss_dh").ratios


def test_a_profile_of_networks_without_loss_is_none(everything):
    flow = everything.gradients["initial"].flows["rnn-glorot"][0]
    nothing = dataclasses.replace(flow, dloss_dh=np.zeros(6))
    gradients = workflow.Gradients({"rnn-glorot": [nothing]}, 0.0)
    assert gradients.profile("rnn-glorot", "dloss_dh") is None and gradients.shares("rnn-glorot") == ()
    gradients = workflow.Gradients({"rnn-glorot": [nothing, flow]}, 0.0)
    assert gradients.shares("rnn-glorot") == (ratio(flow.dloss_dh),)


# ------------------------------------------------------------------------------------------------- the claims


def test_the_longest_memory_is_the_largest_median_and_its_peers_are_not_all_below():
    prepared = prepare((), seeds=4)
    zero = np.zeros_like(prepared.windows.test.y)
    shares = {
        "lstm-chrono": (0.5, 0.6, 0.7, 0.8),
        "lstm1997": (0.2, 0.3, 0.55, 0.9),
        "rnn-glorot": (0.4,) * 4,
    }
    memory = stand_in_comparison(prepared, lambda key: zero, trained=shares).memory
    assert memory.longest == "lstm-chrono" and memory.peers == ("lstm1997",)
    others = [variant.kind.key for variant in prepared.variants if variant.kind.key != "lstm-chrono"]
    assert list(memory.differences) == others
    assert {one.sign for one in memory.differences.values()} == {0}  # the same predictions
    few = {key: share[:3] for key, share in shares.items()}
    memory = stand_in_comparison(prepare((), seeds=3), lambda key: zero, trained=few).memory
    assert len(memory.peers) == len(others)  # groups of three lie apart by chance in one of ten cases


def test_a_model_that_knows_something_is_found_and_a_noisy_one_is_worse():
    prepared = prepare(("rnn", "ann", "ridge"), prices=random_walk(600, seed=1))
    rng = np.random.default_rng(0)
    y = prepared.windows.test.y
    outputs = {variant.kind.key: rng.normal(0, 0.02, y.shape) for variant in prepared.variants}
    outputs["lstm-bias-1"] = 0.6 * y + rng.normal(0, 0.2, y.shape)
    outputs["ann"] = rng.normal(0, 2.0, y.shape)
    comparison = stand_in_comparison(prepared, outputs)
    assert comparison.better_than_persistence == ["lstm"]
    assert {name: one.sign for name, one in comparison.lstm_differences[0].items()} == dict.fromkeys(
        ("rnn", "ann", "ridge", "drift"), -1
    )
    outputs["lstm-bias-1"] = rng.normal(0, 2.0, y.shape)
    worse = stand_in_comparison(prepared, outputs)
    assert worse.better_than_persistence == []
    signs = {name: one.sign for name, one in worse.lstm_differences[0].items()}
    assert signs == {"rnn": 1, "ann": 0, "ridge": 1, "drift": 1}
