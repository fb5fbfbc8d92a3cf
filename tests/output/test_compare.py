"""`trendlstm compare`: words that follow from the figures, tables and files."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from command_line import run
from comparisons import KINDS, compared, prepare, stand_in_comparison
from walks import random_walk

from trendlstm.output import compare as output
from trendlstm.output.console import Console
from trendlstm.workflows import compare as workflow

# ---------------------------------------------------------------------------------------------- the conclusions


@pytest.fixture(scope="module")
def prepared():
    return prepare(("rnn", "ann"), prices=random_walk(600, seed=1), seeds=4)


def said(prepared, lstm="nothing", ann="nothing", initial=None, trained=None):
    """Conclusions of networks that say nothing, know something, or make noise; and of given shares of gradients."""
    y = prepared.windows.test.y
    rng = np.random.default_rng(0)
    kinds = {
        "nothing": np.zeros_like(y),
        "knowledge": 0.6 * y + rng.normal(0, 0.2, y.shape),
        "noise": rng.normal(0, 2.0, y.shape),
    }
    outputs = {variant.kind.key: kinds["nothing"] for variant in prepared.variants}
    outputs |= {"lstm-bias-1": kinds[lstm], "ann": kinds[ann]}
    return output.conclusions(stand_in_comparison(prepared, outputs, initial, trained))


def test_every_error_is_named_and_without_a_difference_none_is_said(prepared):
    first, _, third = said(prepared)
    rmse = np.sqrt(np.mean((prepared.windows.test.actual[:, 0] - prepared.windows.test.anchors) ** 2))
    errors = ", ".join(f"{rmse:.4g} ({name})" for name in ("LSTM", "RNN", "ANN", "persistence"))
    assert first.startswith(f"On 120 test days the one-step RMSE, mean over 4 seeds, is {errors} and ")
    assert "There is no evidence that any model knows more than persistence (tomorrow = today)" in first
    assert first.endswith("the LSTM's errors cannot be told apart from those of RNN, ANN and drift.")
    assert (
        "Its one-step test errors cannot be told apart from those of any other: on these prices no use"
        in third
    )
    for words in ("smaller", "larger", "best", "beats"):
        assert words not in first


def test_knowledge_is_said_and_so_is_noise(prepared):
    first = said(prepared, lstm="knowledge", ann="noise")[0]
    assert "There is evidence that LSTM knows more than persistence" in first
    assert first.endswith("the LSTM's errors are smaller than those of RNN, ANN and drift.")
    first = said(prepared, ann="knowledge")[0]
    assert "There is evidence that ANN knows more than persistence" in first
    assert first.endswith(
        "are larger than those of ANN and cannot be told apart from those of RNN and drift."
    )
    first = said(prepared, lstm="knowledge", ann="knowledge")[0]
    assert "There is evidence that LSTM and ANN know more than persistence" in first
    assert "are smaller than those of RNN and drift and cannot be told apart from those of ANN." in first


def test_a_rival_that_only_makes_noise_does_not_make_the_lstm_know_something(prepared):
    first = said(prepared, ann="noise")[0]
    assert "no evidence that any model knows more" in first and "smaller than those of ANN" in first
    assert "smaller errors may be less noise and no knowledge" in first


@pytest.mark.parametrize(
    "lstm, plain, words",
    [
        ("knowledge", "nothing", "are smaller than those of"),
        ("nothing", "knowledge", "are larger than those of"),
        ("nothing", "nothing", "cannot be told apart from those of"),
    ],
)
@pytest.mark.parametrize(
    "settings, more",
    [
        ({"layers": 2, "dropout": 0.2}, "2 layers and dropout 0.2"),
        ({"recurrent_dropout": 0.1}, "recurrent dropout 0.1"),
    ],
)
def test_what_layers_and_dropout_change_is_said_with_what_they_cost(settings, more, lstm, plain, words):
    prepared = prepare((), prices=random_walk(600, seed=1), **settings)
    y = prepared.windows.test.y
    kinds = {"nothing": np.zeros_like(y), "knowledge": 0.6 * y}
    outputs = {variant.kind.key: kinds["nothing"] for variant in prepared.variants}
    comparison = stand_in_comparison(
        prepared, outputs | {"lstm-bias-1": kinds[lstm], "lstm-plain": kinds[plain]}
    )
    last = output.conclusions(comparison)[0].rpartition(". With ")[2]
    assert last.startswith(f"{more} the errors on these days {words} the plain 1-layer LSTM")
    figures = [
        f"{one.rmse:,.4g} ({one.parameters:,} parameters, 0.10 s to train)"
        for one in (comparison.models["lstm"], comparison.models["lstm-plain"])
    ]
    assert last.endswith(f": RMSE {figures[0]} against {figures[1]}.")
    assert ("p = " in last) == (lstm != plain)


SMALL, LARGE, WIDE = (0.01, 0.02, 0.03, 0.04), (0.1, 0.2, 0.3, 0.4), (0.015, 0.02, 0.3, 0.5)


@pytest.mark.parametrize(
    "rnn, chrono, words",
    [
        (SMALL, LARGE, "less with every seed, as the textbook says"),
        (LARGE, SMALL, "more with every seed, which is not what the textbook says"),
        (SMALL, WIDE, "which 4 seeds cannot tell apart"),
    ],
)
def test_before_training_a_difference_is_one_that_no_seed_contradicts(prepared, rnn, chrono, words):
    second = said(prepared, initial={"rnn-uniform": rnn, "lstm-chrono": chrono})[1]
    assert (
        f"{np.median(rnn):.2g} in the RNN with uniform weights and {np.median(chrono):.2g} in the LSTM"
        in second
    )
    assert words in second
    second = said(prepared, initial={"rnn-orthogonal": rnn, "lstm-bias-1": chrono})[1]
    assert f"It is {np.median(rnn):.2g} in the RNN with orthogonal weights, {words.split(',')[0]}" in second
    assert f"{np.median(chrono):.2g} in the LSTM with forget bias 1." in second


def test_the_textbook_sentence_of_few_seeds_is_that_they_cannot_tell():
    prepared = prepare((), seeds=3)
    second = said(prepared, initial={"rnn-uniform": SMALL[:3], "lstm-chrono": LARGE[:3]})[1]
    assert "which 3 seeds cannot tell apart" in second
    second = said(prepare(()), initial={"rnn-uniform": SMALL[:1], "lstm-chrono": LARGE[:1]})[1]
    assert "which 1 seed cannot tell apart" in second


def test_after_training_changes_are_counted_over_seeds_and_the_longest_memory_needs_all_of_them(prepared):
    initial = {"lstm-bias-1": SMALL, "rnn-orthogonal": SMALL}
    trained = {
        "lstm-bias-1": LARGE,
        "rnn-orthogonal": (0.02, 0.01, 0.04, 0.03),
        "lstm1997": (0.5, 0.6, 0.7, 0.8),
    }
    third = said(prepared, initial=initial, trained=trained)[2]
    assert "with 4 of 4 seeds in the LSTM with forget bias 1 (median 0.025 before, 0.25 after)" in third
    assert (
        "and with 2 of 4 seeds in the RNN with orthogonal weights (median 0.025 before, 0.025 after)" in third
    )
    assert (
        "Of all 7 kinds the LSTM of 1997 now keeps most (0.65), with every seed more than any other." in third
    )
    third = said(prepared, trained={**trained, "rnn-glorot": WIDE})[2]
    assert (
        "of 1997 now keeps most (0.65), but 4 seeds cannot tell it apart from the RNN with glorot weights."
        in third
    )


def test_the_use_of_a_long_memory_is_said_where_a_test_supports_it(prepared):
    trained = {"lstm-bias-1": (0.5, 0.6, 0.7, 0.8)}
    third = said(prepared, lstm="knowledge", trained=trained)[2]
    assert "Its one-step test errors are smaller than those of the LSTM with forget bias 0" in third
    third = said(prepared, lstm="noise", trained=trained)[2]
    assert "Its one-step test errors are larger than those of the LSTM with forget bias 0" in third


def test_conclusions_do_not_depend_on_the_order_of_seeds(prepared):
    shares = {"lstm-bias-1": SMALL, "rnn-orthogonal": WIDE, "rnn-uniform": SMALL, "lstm-chrono": LARGE}
    turned = {key: share[::-1] for key, share in shares.items()}
    assert said(prepared, initial=shares, trained=shares) == said(prepared, initial=turned, trained=turned)


# ------------------------------------------------------------------------------------------------ command line


RUN = "compare --source sample --years 1 --lag 4 --hidden 3 --dense none --epochs 2 --threads 2 --seeds 2"


def test_compare_prints_tables_and_conclusions_and_writes_its_folder(tmp_path):
    out = tmp_path / "new" / "out"
    shown = run(f"{RUN} --baseline rnn --baseline ann --baseline ridge --out {out}").stdout
    document = json.loads((out / "compare.json").read_text())
    assert {path.name for path in out.iterdir()} == {
        "compare.json",
        "compare.csv",
        "predictions.csv",
        "learning.png",
        "predictions.png",
        "gradients.png",
        "terms.png",
    }
    assert [path.name for path in out.parent.iterdir()] == ["out"]  # nothing else is left
    assert len(document["conclusions"]) == 3 and all(
        sentence in shown for sentence in document["conclusions"]
    )
    assert list(document["gradients"]) == KINDS and all(f"\n{name} " in shown for name in KINDS)
    lstm = document["models"]["lstm"]["steps"][0]
    assert f"{lstm['rmse']['mean']:.4f} ± {lstm['rmse']['sd']:.4f}" in shown
    found = document["gradients"]["LSTM, chrono"]["initial"]["dloss_dh"]
    assert f"{found['ratio']:.2g}" in shown and f"{found['kept_per_step']:.3f}" in shown
    assert len(found["relative"]) == 4 and len(found["ratio_by_seed"]) == 2
    assert document["settings"]["baselines"] == ["rnn", "ann", "ridge", "persistence", "drift"]
    assert document["settings"]["match"] == "hidden" and document["settings"]["seeds"] == 2
    assert document["tests"] == {"level": 0.05, "adjustment": "Holm"}
    assert "adjusted by Holm" in shown and "\ndrift " in shown

    table = pd.read_csv(out / "compare.csv").set_index("model")
    assert list(table.index) == ["lstm", "rnn", "ann", "ridge", "persistence", "drift"]
    for name, row in table.iterrows():
        step = document["models"][name]["steps"][0]
        assert row["rmse"] == pytest.approx(step["rmse"]["mean"]) and row["mae"] == pytest.approx(
            step["mae"]["mean"]
        )
        assert row["parameters"] == document["models"][name]["parameters"]
        if name != "lstm":
            better = step["lstm_better"]["p_value"]
            assert row["dm_p_of_lstm_against_it"] == pytest.approx(better)
            if name != "persistence":
                differs = step["lstm_differs"]
                assert differs["p_value"] == pytest.approx(2 * min(better, 1 - better))
                assert row["dm_p_differs_from_lstm_holm"] == pytest.approx(differs["p_value_holm"])
        for claim in ("claim_p", "claim_p_holm"):
            if name in ("persistence", "drift"):
                assert step[claim] is None and np.isnan(row[claim])
            else:
                assert row[claim] == pytest.approx(step[claim])
    assert np.isnan(table.loc["lstm", "dm_p_of_lstm_against_it"]) and np.isnan(
        table.loc["persistence", "hit_rate"]
    )


def test_several_layers_stand_beside_one_in_all_that_is_written(tmp_path):
    out = tmp_path / "out"
    shown = run(f"{RUN} --hidden 4,3 --dropout 0.2 --baseline gru --report --no-plot --out {out}").stdout
    document = json.loads((out / "compare.json").read_text())
    assert list(document["models"]) == ["lstm", "lstm-plain", "gru", "persistence", "drift"]
    assert list(pd.read_csv(out / "compare.csv")["model"]) == list(document["models"])
    page = (out / "report.html").read_text()
    for name, units, parameters in (
        ("lstm", "4, 3", 4 * 4 * 6 + 4 * 3 * 8 + 4),
        ("gru", "4, 3", 3 * 4 * 7 + 3 * 3 * 9 + 4),
        ("lstm-plain", "4", 4 * 4 * 6 + 5),
    ):
        label = document["models"][name]["label"]
        (row,) = [line for line in shown.splitlines() if line.startswith(f"{label} ") and " ± " in line]
        assert re.split(r"  +", row)[1:3] == [units, str(parameters)] and label in page
        assert document["models"][name]["parameters"] == parameters
    for name in ("GRU", "plain 1-layer LSTM"):
        assert document["gradients"][name]["trained"]["dloss_dh"]["ratio"] > 0
    assert "States and gradients of several layers are those of the top one." in shown
    assert "Of several layers: the top one." in page and document["conclusions"][0] in shown


def test_every_error_can_be_checked_from_the_predictions(tmp_path):
    run(f"{RUN} --baseline rnn --baseline ridge --no-plot --out {tmp_path / 'out'}")
    document = json.loads((tmp_path / "out" / "compare.json").read_text())
    table = pd.read_csv(
        tmp_path / "out" / "predictions.csv", dtype={"seed": str}, parse_dates=["origin", "date"]
    )
    table["square"] = (table["prediction"] - table["actual"]) ** 2
    rmse = np.sqrt(table.groupby(["model", "seed"])["square"].mean())
    for name, model in document["models"].items():
        step = model["steps"][0]
        assert rmse[name, "ensemble"] == pytest.approx(step["ensemble"]["rmse"])
        if model["network"]:
            assert [rmse[name, str(seed)] for seed in (0, 1)] == pytest.approx(step["rmse"]["values"])
    for kind in document["gradients"].values():
        name = {"lstm-bias-1": "lstm", "rnn-orthogonal": "rnn"}.get(kind["key"], kind["key"])
        assert np.mean([rmse[name, str(seed)] for seed in (0, 1)]) == pytest.approx(kind["test_rmse"])


def test_json_is_the_document_alone(tmp_path):
    result = run(f"{RUN} --baseline persistence --no-plot --json --quiet --out {tmp_path / 'out'}")
    printed = json.loads(result.stdout)
    assert printed.pop("run") == str(tmp_path / "out")
    assert printed == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "compare.json",
        "compare.csv",
        "predictions.csv",
    }
    assert list(printed["models"]) == ["lstm", "persistence", "drift"]


def test_defaults_are_sixty_sessions_five_seeds_and_the_rnn():
    text = "".join(run("compare --help").stdout.split())
    for words in ("looksback,T.[default:60", "areaveraged.[default:5", "[default:rnn]", "[default:hidden]"):
        assert words in text
    assert "compare-TICKER-YYYYMMDD" in text and "--cell" not in text


def test_the_steps_of_a_longer_horizon(tmp_path, capsys):
    comparison = compared(("ridge", "ann"), horizon=3, features=("Close", "Volume"), seeds=2)
    output.show_comparison(Console(), comparison)
    rows = [line for line in capsys.readouterr().out.splitlines() if "  1  " in line or "  3  " in line]
    labels = ["LSTM, forget bias 1", "ridge", "ANN", "persistence", "drift"]
    assert [row.partition("  ")[0] for row in rows] == labels * 2
    output.write_comparison(tmp_path, comparison)
    table = pd.read_csv(tmp_path / "compare.csv")
    assert list(table["step"]) == [1, 2, 3] * 5
    for name, one in comparison.models.items():
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
    result = run(f"{RUN} {options} --out {tmp_path / 'out'}", expect=2)
    assert message in result.stderr and len(result.stderr.splitlines()) <= 2
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert "exists already" in run(f"{RUN} --out {tmp_path}", expect=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("stage", ["measure_gradients", "train", "assess"])
def test_ctrl_c_leaves_nothing(stage, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, stage, interrupt)
    run(f"{RUN} --out {tmp_path / 'out'}", expect=130)
    assert not list(tmp_path.iterdir())


def test_every_measure_stands_under_its_heading(tmp_path):
    comparison = compared(("rnn",), seeds=2)
    table = output.errors_table(output.write_comparison(tmp_path, comparison)["models"], 2)
    for row, (name, one) in zip(table.rows, comparison.models.items(), strict=True):
        cells = dict(zip(table.columns, row, strict=True))
        for heading, of, times in (
            ("RMSE", lambda steps: steps.rmse, 1),
            ("MAE", lambda steps: steps.mae, 1),
            ("Skill", lambda steps: steps.skill, 1),
            ("Hit rate %", lambda steps: steps.hit_rate.rate, 100),
        ):
            spread = one.spread(of, 1)
            if spread is None or (name == "persistence" and heading == "Skill"):
                assert cells[heading] is None
                continue
            mean, *sd = (float(text) for text in cells[heading].split(" ± "))
            assert mean == pytest.approx(times * spread.mean, abs=0.06, rel=1e-3)
            assert sd == ([] if spread.sd is None else [pytest.approx(times * spread.sd, abs=0.06)])
        claim = comparison.claims[0].get(name)
        assert (cells["Claim p"] is None) == (claim is None)
        assert claim is None or float(cells["Claim p"].lstrip("<")) == pytest.approx(
            claim.adjusted, abs=0.001
        )


def test_what_is_left_of_the_gradients_stands_under_its_heading(tmp_path):
    comparison = compared(("rnn",), seeds=2)
    table = output.gradients_table(output.write_comparison(tmp_path, comparison)["gradients"], 2, 3)
    assert [row[0] for row in table.rows] == KINDS
    for row, variant in zip(table.rows, comparison.prepared.recurrent, strict=True):
        pairs = iter(row[1:-1])
        for quantity, of in (
            ("dloss_dh", lambda one: one.ratio),
            ("dloss_dh", lambda one: np.median(one.kept_per_step)),
            ("dloss_dc", lambda one: one.ratio),
            ("dh_dh", lambda one: one.ratio),
            ("dc_dc", lambda one: one.ratio),
        ):
            for state in ("initial", "trained"):
                found, shown = comparison.gradients[state].profile(variant.kind.key, quantity), next(pairs)
                assert (shown is None) == (found is None)
                assert found is None or float(shown) == pytest.approx(of(found), rel=0.06)
