"""`trendlstm compare`: the same conditions for all, figures by their definitions, and words that follow from them."""

import dataclasses
import json
import logging
import shlex

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.text import Text
from walks import random_walk, small_config, trained

from trendlstm import cli
from trendlstm.config import COMPARED, DataConfig
from trendlstm.data.frames import price_set
from trendlstm.errors import OptionError
from trendlstm.evaluation.baselines import ridge
from trendlstm.evaluation.significance import TestResult, diebold_mariano
from trendlstm.nn.gradient_flow import half_life, ratio
from trendlstm.output import compare as report
from trendlstm.output.console import Console
from trendlstm.output.plots import compare as plots
from trendlstm.workflows import compare as comparing
from trendlstm.workflows.compare import LagProfile, profile

KINDS = [
    "LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, chrono", "LSTM 1997", "RNN, uniform", "RNN, glorot",
    "RNN, orthogonal",
]  # fmt: skip


PRICES = price_set(random_walk(), DataConfig("WALK"))


def compared(baselines=("rnn",), match="hidden", **settings):
    """A finished comparison on a random walk."""
    comparison = comparing.prepare(small_config(**settings), baselines, match, PRICES)
    comparing.measure_gradients(comparison, "initial")
    comparing.train(comparison)
    comparing.measure_gradients(comparison, "trained")
    comparing.assess(comparison)
    return comparison


@pytest.fixture(scope="module")
def everything():
    return compared(COMPARED, seeds=3, lag=6)


@pytest.fixture(scope="module")
def cases(everything):
    """Comparisons of every shape."""
    return {
        "everything": everything,
        "one seed, shortest lag": compared(lag=3),
        "several steps": compared(("ridge", "ann"), horizon=3, features=("Close", "Volume"), seeds=2),
    }


# ------------------------------------------------------------------------------------------- who, and on what terms


def test_all_kinds_and_all_models_are_there(everything):
    assert [variant.name for variant in everything.variants] == [*KINDS, "ANN"]
    assert list(everything.models) == ["lstm", *COMPARED]
    assert {name: model and model.name for name, model in everything.models.items()} == {
        "lstm": "LSTM, forget bias 1", "rnn": "RNN, orthogonal", "ann": "ANN", "lstm1997": "LSTM 1997",
        "persistence": None, "ridge": None,
    }  # fmt: skip
    few = comparing.prepare(small_config(), ["ridge", "ridge"], "hidden", PRICES)
    assert list(few.models) == ["lstm", "ridge", "persistence"]
    assert [variant.name for variant in few.variants] == KINDS


def test_networks_share_all_settings_but_cell_and_initial_values(everything):
    lstm = everything.config.network
    for variant in everything.variants:
        for seed, network in enumerate(variant.networks):
            given = dataclasses.replace(network.config, cell="lstm", init=lstm.init, forget_bias=1)
            assert given == dataclasses.replace(lstm, seed=lstm.seed + seed)
    uniform = dataclasses.replace(small_config(), network=dataclasses.replace(lstm, init="uniform", lag=4))
    models = comparing.prepare(uniform, ["rnn", "lstm1997"], "hidden", PRICES).models
    assert models["rnn"].name == "RNN, uniform"
    assert {models[name].networks[0].config.init for name in ("lstm", "lstm1997")} == {"uniform"}


@pytest.mark.parametrize("bias", [0, 1, "chrono"])
def test_the_lstm_has_the_forget_bias_that_was_asked_for(bias):
    config = small_config()
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, forget_bias=bias))
    lstm = comparing.prepare(config, [], "hidden", PRICES).models["lstm"]
    assert lstm.networks[0].config.forget_bias == bias


def test_the_lstm_is_the_one_that_train_would_train(everything):
    result = trained(lag=6, seeds=3)
    test = result.assessment.predictions[result.assessment.predictions["split"] == "test"]
    found = everything.assessments["lstm"]
    np.testing.assert_array_equal(found.predicted[:, 0], test["prediction"])
    assert found.ensemble == result.assessment.metrics["test"]["model"]
    assert found.spread(lambda steps: steps.rmse).sd == result.assessment.spread["test"]


@pytest.mark.parametrize("features", [("Close",), ("Close", "Volume")])
def test_match_params_takes_the_nearest_number_of_parameters(features):
    config = small_config(lag=5, features=features)
    config = dataclasses.replace(
        config, network=dataclasses.replace(config.network, hidden_size=16, dense=(8,))
    )
    comparison = comparing.prepare(config, COMPARED, "params", PRICES)
    target = comparison.models["lstm"].networks[0].num_params
    for name in ("rnn", "ann", "lstm1997"):
        network = comparison.models[name].networks[0]
        size = network.config.hidden_size
        distances = {
            other: abs(
                type(network).from_config(dataclasses.replace(network.config, hidden_size=other)).num_params
                - target
            )
            for other in (size - 1, size, size + 1)
        }
        assert size > 16 and min(distances, key=distances.get) == size
    for variant in comparison.variants:
        assert variant.networks[0].config.dense == (8,)
    assert {v.networks[0].config.hidden_size for v in comparison.variants if v.name.startswith("LSTM,")} == {
        16
    }


@pytest.mark.parametrize(
    "settings, arguments, message",
    [
        (
            {},
            (["svm"], "hidden"),
            "unknown baseline 'svm': choose among rnn, ann, lstm1997, persistence, ridge",
        ),
        ({}, ([], "layers"), "match must be one of hidden, params, but is 'layers'"),
        ({"cell": "rnn"}, ([], "hidden"), "but the cell is 'rnn'"),
        ({"lag": 2}, ([], "hidden"), "needs a lag of at least 3, but it is 2"),
    ],
)
def test_bad_settings_are_named(settings, arguments, message):
    with pytest.raises(OptionError, match=message):
        comparing.prepare(small_config(**settings), *arguments, PRICES)


# ------------------------------------------------------------------------------------------------- the figures


def test_errors_of_every_model(everything):
    test, found = everything.windows.test, everything.assessments
    np.testing.assert_array_equal(found["persistence"].predicted[:, 0], test.anchors)
    np.testing.assert_array_equal(found["ridge"].predicted, ridge(everything.windows)["test"])
    assert found["ridge"].parameters == 7 and found["persistence"].parameters == 0
    assert found["lstm"].lstm_better is None
    for name, one in found.items():
        assert one.ensemble[0].rmse == pytest.approx(np.sqrt(np.mean((one.predicted - test.actual) ** 2)))
        if name != "lstm":
            expected = diebold_mariano(test.actual[:, 0], found["lstm"].predicted[:, 0], one.predicted[:, 0])
            assert one.lstm_better == [expected]
        if one.variant:
            assert one.parameters == one.variant.networks[0].num_params
            outputs = [network.predict(test.x).astype(float) for network in one.variant.networks]
            each = [everything.windows.scaler.prices(output, test.anchors) for output in outputs]
            together = everything.windows.scaler.prices(np.mean(outputs, axis=0), test.anchors)
            np.testing.assert_array_equal(one.predicted, together)
            errors = [np.sqrt(np.mean((closes - test.actual) ** 2)) for closes in each]
            spread = one.spread(lambda steps: steps.rmse)
            assert spread.values == pytest.approx(errors)
            assert (spread.mean, spread.sd) == pytest.approx((np.mean(errors), np.std(errors, ddof=1)))
            assert one.variant.test_rmse == pytest.approx(np.mean(errors))
        else:
            assert one.spread(lambda steps: steps.rmse).sd is None
    assert found["persistence"].spread(lambda steps: steps.hit_rate.rate) is None


def test_gradient_flows_before_and_after_training(everything):
    for variant in everything.recurrent:
        before, after = variant.flows["initial"], variant.flows["trained"]
        assert len(before) == len(after) == 3
        assert [flow.dh_dh is None for flow in before] == [False, True, True]  # the first seed alone
        assert all((a.dloss_dh != b.dloss_dh).any() for a, b in zip(before, after, strict=True))
        fresh = [type(network).from_config(network.config) for network in variant.networks]
        train = everything.windows.train
        for flows, networks in ((before, fresh), (after, variant.networks)):
            for flow, network in zip(flows, networks, strict=True):
                again = comparing.gradient_flows([network], train.x, train.y, [32])[0]
                np.testing.assert_array_equal(flow.dloss_dh, again.dloss_dh)
                np.testing.assert_array_equal(flow.weight_terms, again.weight_terms)
            np.testing.assert_array_equal(
                flows[0].dh_dh, comparing.gradient_flows([networks[0]], train.x, train.y, [32])[0].dh_dh
            )


def test_profiles_are_medians_over_seeds(everything):
    variant = next(one for one in everything.variants if one.name == "LSTM, chrono")
    curves = [flow.dloss_dc for flow in variant.flows["trained"]]
    found = profile(variant, "trained", "dloss_dc")
    relative = np.array([curve / curve[0] for curve in curves])
    np.testing.assert_array_equal(found.relative, np.median(relative, axis=0))
    np.testing.assert_array_equal(found.low, relative.min(axis=0))
    np.testing.assert_array_equal(found.high, relative.max(axis=0))
    assert found.first == np.median([curve[0] for curve in curves])
    assert found.ratios == tuple(ratio(curve) for curve in curves) and found.ratio == np.median(found.ratios)
    lives = sorted(np.inf if half_life(curve) is None else half_life(curve) for curve in curves)
    assert found.half_life == (None if lives[1] == np.inf else lives[1])
    rnn = next(one for one in everything.variants if one.name == "RNN, glorot")
    assert profile(rnn, "trained", "dloss_dc") is None


# ---------------------------------------------------------------------------------------------- the conclusions


def set_shares(comparison, state, **shares):
    """Make |dL/dh| at the longest lag these shares of the last step's."""
    for variant in comparison.recurrent:
        if (key := variant.name.replace(", ", "_").replace(" ", "_").lower()) in shares:
            curve = np.linspace(1, shares[key], comparison.windows.lag)
            variant.flows[state] = [
                dataclasses.replace(flow, dloss_dh=curve) for flow in variant.flows[state]
            ]


def test_conclusions_follow_the_numbers():
    comparison = compared(("rnn", "ridge"), seeds=2)
    assert report.conclusions(comparison) == report.conclusions(comparison)

    # accuracy
    def assess(name, rmse, p_value, lstm_p):
        one = comparison.assessments[name]
        step = dataclasses.replace(
            one.ensemble[0], rmse=rmse, skill=1 - rmse, diebold_mariano=TestResult(1.0, p_value, 45)
        )
        lstm_better = None if lstm_p is None else [TestResult(1.0, lstm_p, 45)]
        singles = [[step]] * len(one.singles)
        comparison.assessments[name] = dataclasses.replace(
            one, ensemble=[step], singles=singles, lstm_better=lstm_better
        )

    assess("lstm", 0.9, 0.2, None)
    assess("rnn", 1.1, 0.7, 0.3)
    assess("ridge", 1.2, 0.7, 0.3)
    assess("persistence", 1.0, None, 0.2)
    first = report.conclusions(comparison)[0]
    assert "LSTM has the smallest one-step RMSE, 0.9 (RNN 1.1, ridge 1.2, persistence 1)" in first
    assert "no model beats persistence" in first and "the LSTM beats none of the others" in first
    assess("lstm", 0.9, 0.01, None)
    assess("rnn", 0.8, 0.001, 0.9)
    assess("ridge", 1.2, 0.9, 0.01)
    assess("persistence", 1.0, None, 0.01)
    first = report.conclusions(comparison)[0]
    assert "RNN has the smallest one-step RMSE, 0.8 (LSTM 0.9, ridge 1.2, persistence 1)" in first
    assert "LSTM and RNN beat persistence" in first and "the LSTM beats ridge and persistence" in first

    # before training
    set_shares(
        comparison, "initial", rnn_uniform=1e-9, lstm_chrono=0.1, rnn_orthogonal=0.02, lstm_forget_bias_1=0.01
    )
    second = report.conclusions(comparison)[1]
    assert (
        "1e-09 of what it is" in second
        and "0.1 in the LSTM with chrono biases, as the textbook says" in second
    )
    assert (
        "but the RNN with orthogonal weights (0.02) forgets less than the LSTM with forget bias 1 (0.01)"
        in second
    )
    set_shares(comparison, "initial", rnn_uniform=0.3, rnn_orthogonal=0.001)
    second = report.conclusions(comparison)[1]
    assert "not what the textbook says" in second
    assert "and the RNN with orthogonal weights (0.001) forgets more than the LSTM" in second

    # after training
    shares = dict(rnn_uniform=0.1, rnn_glorot=0.1, rnn_orthogonal=0.2, lstm_forget_bias_0=0.1, lstm_forget_bias_1=0.4,
                  lstm_chrono=0.5, lstm_1997=0.1)  # fmt: skip
    set_shares(comparison, "trained", **shares)
    for variant in comparison.recurrent:
        variant.test_rmse = 1.0 if variant.name == "RNN, glorot" else 2.0
    third = report.conclusions(comparison)[2]
    assert (
        "from 0.01 to 0.4 in the LSTM with forget bias 1 and from 0.001 to 0.2 in the RNN with orthogonal"
        in third
    )
    assert (
        "of all 7 kinds the LSTM with chrono biases now keeps most (0.5), but the RNN with glorot weights"
        in third
    )
    assert "the longest memory did not give the best forecast" in third
    set_shares(comparison, "trained", rnn_glorot=0.6)
    third = report.conclusions(comparison)[2]
    assert "the RNN with glorot weights now keeps most (0.6), and has the smallest test error" in third
    assert "the longest memory gave the best forecast" in third


# ------------------------------------------------------------------------------------------------- the pictures


def drawn(monkeypatch, comparison, folder):
    figures: dict[str, Figure] = {}
    save = plots.save
    monkeypatch.setattr(
        plots, "save", lambda figure, path: (figures.update({path.name: figure}), save(figure, path))
    )
    plots.plot_comparison(comparison, folder)
    return figures


def named_lines(axes):
    return {
        line.get_label(): np.asarray(line.get_ydata())
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


@pytest.mark.parametrize("case", ["everything", "one seed, shortest lag", "several steps"])
def test_nothing_leaves_the_pictures_and_no_texts_overlap(monkeypatch, tmp_path, cases, case):
    figures = drawn(monkeypatch, cases[case], tmp_path)
    assert set(figures) == {"learning.png", "predictions.png", "gradients.png", "terms.png"}
    for name, figure in figures.items():
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        figure.draw_without_rendering()
        tight = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert tight.x0 >= 0 and tight.y0 >= 0 and tight.x1 <= width and tight.y1 <= height, name
        texts = [text for text in figure.texts if text.get_text()]
        texts += [text for axes in figure.axes for text in axes.texts]
        # of the text alone: an annotation's own extent has its leader in it
        boxes = [Text.get_window_extent(text) for text in texts] + [axes.bbox for axes in figure.axes]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        boxes += [axes._left_title.get_window_extent() for axes in figure.axes if axes.get_title(loc="left")]
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:index]), name


@pytest.mark.parametrize("picture, quantity", [("gradients.png", "dloss_dh"), ("terms.png", "weight_terms")])
def test_one_line_a_network_on_a_log_axis_before_and_after(
    monkeypatch, tmp_path, everything, picture, quantity
):
    figure = drawn(monkeypatch, everything, tmp_path)[picture]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before training", "after training"]
    for axes, state in zip(figure.axes, ("initial", "trained"), strict=True):
        assert axes.get_yscale() == "log" and axes.get_xlabel() == "steps into the past, k"
        found = named_lines(axes)
        assert set(found) - {"chrono LSTM's cell"} == set(KINDS)
        for variant in everything.recurrent:
            expected = profile(variant, state, quantity).relative
            shown = np.where(expected > 0, expected, np.nan)
            np.testing.assert_array_equal(found[variant.name], shown)
        ends = {text.get_text().partition(":")[0] for text in axes.texts}
        assert ends == set(found)
    if picture == "gradients.png":
        chrono = next(one for one in everything.variants if one.name == "LSTM, chrono")
        shown = named_lines(figure.axes[0])["chrono LSTM's cell"]
        np.testing.assert_array_equal(shown, profile(chrono, "initial", "dloss_dc").relative)
    captions = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "the lecture notes' demonstration" in captions
    assert picture == "terms.png" or "decided by the long-lag tasks (trendlstm reproduce)" in captions


def test_learning_curves_and_predictions(monkeypatch, tmp_path, everything):
    figures = drawn(monkeypatch, everything, tmp_path)
    for axes, name in zip(figures["learning.png"].axes, ("loss", "validation_loss"), strict=True):
        found = named_lines(axes)
        for model, label in (("lstm", "LSTM"), ("rnn", "RNN"), ("ann", "ANN"), ("lstm1997", "LSTM 1997")):
            losses = [getattr(history, name) for history in everything.models[model].histories]
            np.testing.assert_allclose(found[label], np.mean(losses, axis=0))
    train = everything.windows.train  # window scaling: persistence predicts 0
    naive = named_lines(figures["learning.png"].axes[0])["persistence (tomorrow = today)"]
    np.testing.assert_allclose(naive, np.mean(train.y**2))
    prices, changes = figures["predictions.png"].axes
    found = {label.partition(":")[0]: values for label, values in named_lines(prices).items()}
    np.testing.assert_array_equal(found["actual close"], everything.windows.test.actual[:, 0])
    for name, label in (("lstm", "LSTM"), ("ridge", "ridge"), ("persistence", "persistence")):
        np.testing.assert_array_equal(found[label], everything.assessments[name].predicted[:, 0])
    assert len(changes.lines) == len(everything.assessments)


def test_a_vanished_gradient_leaves_the_picture_not_the_scale(monkeypatch, tmp_path):
    comparison = compared(lag=6)
    set_shares(comparison, "initial", rnn_uniform=0.0)
    for variant in comparison.recurrent:
        if variant.name == "RNN, uniform":
            gone = [1, 1e-10, 1e-200, 0, 0, 0]
            variant.flows["initial"] = [
                dataclasses.replace(flow, dloss_dh=np.array(gone)) for flow in variant.flows["initial"]
            ]
    axes, _ = drawn(monkeypatch, comparison, tmp_path)["gradients.png"].axes
    assert axes.get_ylim()[0] > 1e-20
    assert "RNN, uniform: 1e-10" in [text.get_text() for text in axes.texts]


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture(autouse=True)
def logger():
    logger = logging.getLogger("trendlstm")
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def run(command, expect=0):
    result = CliRunner().invoke(cli.main, shlex.split(command), prog_name="trendlstm")
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result


SMALL = "compare --source sample --years 1 --lag 4 --hidden 3 --dense none --epochs 2 --threads 2 --seeds 2"


def test_compare_prints_tables_and_conclusions_and_writes_its_folder(tmp_path):
    out = tmp_path / "new" / "out"
    shown = run(f"{SMALL} --baseline rnn --baseline ann --baseline ridge --out {out}").stdout
    document = json.loads((out / "compare.json").read_text())
    assert {path.name for path in out.iterdir()} == {
        "compare.json", "compare.csv", "learning.png", "predictions.png", "gradients.png", "terms.png",
    }  # fmt: skip
    assert [path.name for path in out.parent.iterdir()] == ["out"]  # nothing else is left
    assert len(document["conclusions"]) == 3 and all(
        sentence in shown for sentence in document["conclusions"]
    )
    assert list(document["gradients"]) == KINDS and all(f"\n{name} " in shown for name in KINDS)
    lstm = document["models"]["lstm"]["steps"][0]
    assert f"{lstm['rmse']['mean']:.4f} ± {lstm['rmse']['sd']:.4f}" in shown
    found = document["gradients"]["LSTM, chrono"]["initial"]["dloss_dc"]
    assert (
        f"{found['ratio']:.2g}" in shown and len(found["relative"]) == 4 and len(found["ratio_by_seed"]) == 2
    )
    assert document["settings"]["baselines"] == ["rnn", "ann", "ridge", "persistence"]
    assert document["settings"]["match"] == "hidden" and document["settings"]["seeds"] == 2

    table = pd.read_csv(out / "compare.csv").set_index("model")
    assert list(table.index) == ["lstm", "rnn", "ann", "ridge", "persistence"]
    for name, row in table.iterrows():
        step = document["models"][name]["steps"][0]
        assert row["rmse"] == pytest.approx(step["rmse"]["mean"]) and row["mae"] == pytest.approx(
            step["mae"]["mean"]
        )
        assert row["parameters"] == document["models"][name]["parameters"]
    assert table.loc["ridge", "dm_p_of_lstm_against_it"] == pytest.approx(
        document["models"]["ridge"]["steps"][0]["lstm_better"]["p_value"]
    )
    assert np.isnan(table.loc["lstm", "dm_p_of_lstm_against_it"]) and np.isnan(
        table.loc["persistence", "hit_rate"]
    )


def test_json_is_the_document_alone(tmp_path):
    result = run(f"{SMALL} --baseline persistence --no-plot --json --quiet --out {tmp_path / 'out'}")
    printed = json.loads(result.stdout)
    assert printed.pop("run") == str(tmp_path / "out")
    assert printed == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"compare.json", "compare.csv"}
    assert list(printed["models"]) == ["lstm", "persistence"]


def test_defaults_are_sixty_sessions_five_seeds_and_the_rnn():
    text = "".join(run("compare --help").stdout.split())
    for words in ("looksback,T.[default:60;", "areaveraged.[default:5;", "[default:rnn]", "[default:hidden]"):
        assert words in text
    assert "compare-TICKER-YYYYMMDD" in text and "--cell" not in text


def test_the_steps_of_a_longer_horizon(tmp_path, cases, capsys):
    comparison = cases["several steps"]
    report.show_comparison(Console(), comparison)
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.startswith(("1 ", "3 ", "   1 ", "   3 "))]
    assert [row[0] for row in rows] == ["1"] * 4 + ["3"] * 4
    report.write_comparison(tmp_path, comparison)
    table = pd.read_csv(tmp_path / "compare.csv")
    assert list(table["step"]) == [1, 2, 3] * 4
    for name, one in comparison.assessments.items():
        errors = [one.spread(lambda steps: steps.rmse, step).mean for step in (1, 2, 3)]
        assert list(table.loc[table["model"] == name, "rmse"]) == pytest.approx(errors)


@pytest.mark.parametrize(
    "options, message",
    [
        ("--baseline svm", "'svm' is not one of"),
        ("--match layers", "'layers' is not one of"),
        ("--lag 2", "needs a lag of at least 3, but it is 2"),
        ("--no-bias", "needs biases"),
        ("--cell rnn", "No such option"),
    ],
)
def test_bad_options_end_with_2(options, message, tmp_path):
    result = run(f"{SMALL} {options} --out {tmp_path / 'out'}", expect=2)
    assert message in result.stderr and len(result.stderr.splitlines()) <= 2
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert "exists already" in run(f"{SMALL} --out {tmp_path}", expect=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("stage", ["measure_gradients", "train", "assess"])
def test_ctrl_c_leaves_nothing(stage, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparing, stage, interrupt)
    run(f"{SMALL} --out {tmp_path / 'out'}", expect=130)
    assert not list(tmp_path.iterdir())


def test_a_profile_of_networks_without_loss_is_none(everything):
    variant = dataclasses.replace(everything.variants[0], flows={})
    flow = everything.variants[0].flows["initial"][0]
    variant.flows["initial"] = [dataclasses.replace(flow, dloss_dh=np.zeros(6))]
    assert profile(variant, "initial", "dloss_dh") is None
    variant.flows["initial"].append(flow)
    assert isinstance(profile(variant, "initial", "dloss_dh"), LagProfile)
