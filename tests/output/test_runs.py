"""A run's folder: whole or not at all, and read back to the bit."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import waiting_half_way
from walks import random_walk, trained

from trendlstm.data.frames import price_set
from trendlstm.errors import OptionError, RunError
from trendlstm.evaluation.baselines import Ridge
from trendlstm.nn.network import Network, load_with_extra
from trendlstm.output.runs import RunFolder, load_run, write_run
from trendlstm.workflows import train as pipeline

KINDS = [
    {},
    {"scaling": "none", "dtype": "float64", "seeds": 3, "cell": "rnn"},
    {"horizon": 3, "features": ("Close", "Volume"), "final_fit": True, "scaling": "standard"},
    {"seeds": 2, "final_fit": True, "cell": "ann", "patience": 1},
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def written(request, tmp_path_factory):
    result = trained(**request.param)
    folder = tmp_path_factory.mktemp("run")
    return result, folder, write_run(folder, result)


def test_a_run_read_back_forecasts_to_the_bit(written):
    result, folder, _ = written
    run = load_run(folder)
    assert run.config == result.config and run.status == "finished"
    assert run.is_final_fit == result.config.final_fit
    used = result.final or result.forecaster
    assert run.forecaster.scaler == used.scaler and run.forecaster.learned_until == used.learned_until
    assert run.bands == result.assessment.bands
    for prices in (result.prices, price_set(random_walk(50, seed=9), result.config.data)):
        again, expected = (
            pipeline.forecast_next(forecaster, prices, result.assessment.bands, len(result.forecast))
            for forecaster in (run.forecaster, used)
        )
        pd.testing.assert_frame_equal(again, expected, check_exact=True)


def test_every_file_says_what_the_result_holds(written):
    result, folder, document = written
    weights = {
        f"{stem}{end}.safetensors"
        for stem in ["model", *["final"] * result.config.final_fit]
        for end in ([""] if result.config.seeds == 1 else [f"-{k}" for k in range(result.config.seeds)])
    }
    assert {path.name for path in folder.iterdir()} == weights | {
        "run.json",
        "config.json",
        "README.md",
        "history.csv",
        "inputs.csv",
        "predictions.csv",
        "forecast.csv",
    }
    assert json.loads((folder / "run.json").read_text()) == document

    predictions = pd.read_csv(folder / "predictions.csv", parse_dates=["origin", "date"])
    pd.testing.assert_frame_equal(predictions, result.assessment.predictions, check_dtype=False, rtol=1e-14)
    table = pd.read_csv(folder / "forecast.csv", parse_dates=["origin", "date"])
    assert (
        list(table.columns[:3]) == ["date", "actual", "predicted"] and table["date"].is_monotonic_increasing
    )
    future = table[table["split"] == "future"].reset_index(drop=True)
    assert future["actual"].isna().all()
    forecast = future.rename(columns={"predicted": "price"})[list(result.forecast)]
    pd.testing.assert_frame_equal(forecast, result.forecast, check_dtype=False, rtol=1e-14)
    past = table[table["split"] != "future"].reset_index(drop=True)
    assert list(past["date"]) == list(result.windows.dates[result.windows.lag :])
    first = predictions[predictions["step"] == 1].rename(columns={"prediction": "predicted"})
    names = ["date", "actual", "predicted", "split", "origin"]
    known = past[past["date"].isin(first["date"])]
    assert len(known) == len(first) and set(past["split"]) == {"train", "validation", "test"}
    pd.testing.assert_frame_equal(
        known[names].reset_index(drop=True),
        first[names].reset_index(drop=True),
        check_dtype=False,
        rtol=1e-14,
    )
    closes = result.windows.prices["Close"]
    np.testing.assert_allclose(past["naive"], closes[past["origin"]], rtol=1e-14)
    moves = np.sign(past["predicted"] - past["naive"])
    assert list(past["direction"]) == list(moves.map({-1: "down", 0: "unchanged", 1: "up"}))
    history = pd.read_csv(folder / "history.csv")
    assert list(history.columns) == ["network", "epoch", "loss", "validation_loss", "learning_rate"]
    for k, one in enumerate(result.histories):
        rows = history[history["network"] == k]
        assert list(rows["epoch"]) == list(range(1, one.epochs_run + 1))
        np.testing.assert_allclose(
            rows[["loss", "validation_loss"]].T, [one.loss, one.validation_loss], rtol=1e-14
        )

    inputs = pd.read_csv(folder / "inputs.csv", parse_dates=["date"], index_col="date")
    assert list(inputs) == list(dict.fromkeys((*result.config.window.features, "Close")))
    pd.testing.assert_frame_equal(
        inputs, result.windows.prices.loc[inputs.index, list(inputs)], check_names=False, rtol=1e-14
    )
    test, scaler = result.windows.test, result.windows.scaler
    for sample in (0, -1):  # the rows are those that the first and the last test window see
        lag = result.windows.lag
        window = inputs.iloc[:lag] if sample == 0 else inputs.iloc[-lag:]
        raw, anchor = window[list(scaler.features)].to_numpy(), window["Close"].to_numpy()[-1:]
        np.testing.assert_allclose(scaler.inputs(raw[None], anchor)[0], test.x[sample], rtol=1e-12)

    assert document["settings"] == json.loads(json.dumps(result.config.to_dict()))
    assert document["provenance"] == result.prices.provenance.to_dict()
    assert document["verdict"] == result.assessment.verdict
    assert (
        document["metrics"]["test"]["model"][0]["rmse"] == result.assessment.metrics["test"]["model"][0].rmse
    )
    alpha = Ridge.fit(result.windows).alpha
    assert document["ridge_alpha"] == ("infinity" if alpha == np.inf else alpha)
    assert [fit["best_epoch"] for fit in document["fits"]] == [one.best_epoch for one in result.histories]
    assert [fit["seed"] for fit in document["fits"]] == list(range(result.config.seeds))
    assert set(document["rmse_spread"]) == (
        {"train", "validation", "test"} if result.config.seeds > 1 else set()
    )
    assert {"prepare", "fit", "assess"} <= set(document["seconds"])
    assert {"python", "numpy", "numba", "pandas"} <= set(document["versions"])


def test_weights_carry_settings_and_scaler(written):
    from safetensors import safe_open

    result, folder, _ = written
    stem = "model" if result.config.seeds == 1 else "model-0"
    with safe_open(folder / f"{stem}.safetensors", framework="numpy") as file:
        header = json.loads(file.metadata()["trendlstm"])
    assert header["settings"] == json.loads(json.dumps(result.config.to_dict()))
    assert header["scaler"] == json.loads(json.dumps(result.forecaster.scaler.to_dict()))
    assert header["learned_until"] == f"{result.windows.dates[result.windows.train_rows - 1]:%Y-%m-%d}"


@pytest.fixture
def folder(tmp_path):
    result = trained(seeds=2, final_fit=True)
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", result)
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["run.json", "final-1.safetensors"])
@pytest.mark.parametrize("harm", ["missing", "truncated", "empty", "noise"])
def test_a_missing_or_damaged_file_is_named(folder, name, harm):
    path = folder / name
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "noise": b"\xff\0" * 300}[harm]
        )
    with pytest.raises(RunError) as raised:
        load_run(folder)
    assert str(path) in str(raised.value) and str(raised.value).endswith(".")
    assert not re.search("deserializ|Expecting|codec|Errno", str(raised.value))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("origin", "orogin"), "it has no column origin"),
        (
            lambda text: text.replace("2015-06-01", "then"),
            "its column (origin|date) holds something else than dates",
        ),
        (lambda text: text[: text.index(",validation")], r"it has 0 of the \d+ rows of the validation split"),
        (lambda text: text[: text.rindex("\n2015") + 1], r"it has \d+ of the \d+ rows of the test split"),
        (lambda text: "", ""),
    ],
)
def test_damaged_predictions_are_named(folder, change, why):
    path = folder / "predictions.csv"
    path.write_text(change(path.read_text()))
    run = load_run(folder)
    for read in (lambda: run.predictions, run.closes):
        with pytest.raises(
            RunError, match=rf"^{path} is damaged(, because {why})?: train again\.$"
        ) as raised:
            read()
        assert bool(why) == ("because" in str(raised.value))


def test_weights_that_are_not_finite_are_named_with_their_file(folder):
    network, extra = load_with_extra(folder / "final-1.safetensors")
    network.theta[0] = np.nan
    network.save(folder / "final-1.safetensors", extra)
    with pytest.raises(
        RunError, match=r"final-1\.safetensors is damaged: parameter .* must be finite as float32, but"
    ):
        load_run(folder)


@pytest.mark.parametrize(
    "other", [{"output_size": 2}, {"loss": "mae"}, {"loss": "cross-entropy", "classes": 3}], ids=str
)
def test_weights_of_another_network_are_named_with_their_file(folder, other):
    network, extra = load_with_extra(folder / "final-1.safetensors")
    Network.from_config(replace(network.config, **other)).save(folder / "final-1.safetensors", extra)
    with pytest.raises(
        RunError, match=r"final-1\.safetensors does not fit the settings in .*run\.json: train"
    ):
        load_run(folder)


def test_final_weights_that_are_all_missing_are_not_replaced_by_others(folder):
    for path in folder.glob("final-*"):
        path.unlink()
    with pytest.raises(RunError, match=r"final-0\.safetensors"):
        load_run(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": None}, ", because it has no status: train again."),
        ({"settings": None}, ", because it has no settings: train again."),
        ({"settings": []}, ": train again."),
        ({"forecast_bands": {"steps": 1}}, ": train again."),
    ],
)
def test_settings_that_make_no_sense_are_named(folder, change, why):
    document = json.loads((folder / "run.json").read_text()) | change
    (folder / "run.json").write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    with pytest.raises(RunError) as raised:
        load_run(folder)
    assert str(raised.value) == f"{folder / 'run.json'} is damaged{why}"


def test_a_setting_out_of_range_is_named(folder):
    document = json.loads((folder / "run.json").read_text())
    document["settings"]["seeds"] = 0
    (folder / "run.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"run\.json is damaged: train again\. seeds must be .* but is 0\.$"):
        load_run(folder)


@pytest.mark.parametrize("text", ["[]", "null", "{", ""])
def test_a_document_that_is_none_is_said_without_pythons_words(folder, text):
    (folder / "run.json").write_text(text)
    with pytest.raises(
        RunError, match=r"run\.json is damaged, because it (is not JSON|has no status): train again\.$"
    ):
        load_run(folder)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["folds.sqlite"], "a backtest"),
        (["folds.sqlite", "run.json"], "a backtest"),
        (["compare.json"], "a comparison"),
        (["reproduce.json"], "an experiment"),
    ],
)
def test_what_keeps_no_model_is_called_what_it_is(tmp_path, names, kind):
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(RunError) as raised:
        load_run(tmp_path)
    assert (
        str(raised.value) == f"{tmp_path} is {kind}, which keeps no model: give the folder of a training run."
    )


def test_bands_of_another_version_are_not_taken_for_ours(folder):
    document = json.loads((folder / "run.json").read_text())
    assert load_run(folder).bands and not load_run(folder).no_bands
    old = document | {"trendlstm": "0.1.0", "forecast_bands": [[-0.01, 0.01], [-0.02, 0.02]]}
    other = document | {"trendlstm": "9.0", "forecast_bands": document["forecast_bands"] | {"decay": 0.5}}
    for version, changed in (("0.1.0", old), ("9.0", other)):
        (folder / "run.json").write_text(json.dumps(changed))
        run = load_run(folder)
        assert run.bands == [] and f"trendlstm {version}, which wrote the run, made bands" in run.no_bands


def test_a_run_is_read_through_links_among_other_files_and_without_the_hubs_own(folder, tmp_path):
    """As a hub's cache gives it back, and as versions before these files wrote it."""
    blobs = tmp_path / "blobs"
    folder.rename(blobs)
    (tmp_path / "snapshot").mkdir()
    for number, path in enumerate(blobs.iterdir()):
        path = path.rename(blobs / f"{number}-{path.name}")
        name = path.name.partition("-")[2]
        if name not in ("config.json", "README.md"):
            (tmp_path / "snapshot" / name).symlink_to(path)
    (tmp_path / "snapshot" / ".gitattributes").write_text("*.safetensors filter=lfs")
    run = load_run(tmp_path / "snapshot")
    assert len(run.networks) == 2 and run.is_final_fit and len(run.closes())


def test_what_is_no_run(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(RunError, match=str(path)):
            load_run(path)
    with pytest.raises(OptionError, match="has no name"):
        load_run("")


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_run_has_its_weights_and_says_so(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "assess", interrupt)
        result = trained(final_fit=True)
    document = write_run(tmp_path, result)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.safetensors",
        "run.json",
        "config.json",
        "README.md",
        "history.csv",
        "inputs.csv",
    }
    run = load_run(tmp_path)
    assert document["status"] == run.status == "interrupted" and not run.is_final_fit
    assert (
        run.bands == [] and run.no_bands == "training was interrupted before the model's errors were measured"
    )
    table = pipeline.forecast_next(run.forecaster, result.prices, run.bands, 2)
    assert table["price"].notna().all() and table["low"].isna().all()


def test_a_run_without_a_trained_network_is_refused(tmp_path):
    document = write_run(tmp_path, trained())
    (tmp_path / "run.json").write_text(json.dumps({**document, "fits": []}))
    with pytest.raises(RunError, match="no trained network"):
        load_run(tmp_path)


# ------------------------------------------------------------------------------------------------ whole or not


def test_the_folder_appears_when_it_is_published(tmp_path):
    with RunFolder(tmp_path / "a" / "run", "MSFT") as folder:
        (folder.stage / "file").write_text("x")
        assert not (tmp_path / "a" / "run").exists()
        assert folder.publish() == tmp_path / "a" / "run"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run"]
    assert (tmp_path / "a" / "run" / "file").read_text() == "x"
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a" / "run").stat().st_mode & 0o777 == 0o777 & ~umask


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "run", "MSFT") as folder:
        (folder.stage / "file").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_whatever_has_the_name_is_never_overwritten(tmp_path, kind):
    path = tmp_path / "run"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("gone")
    with pytest.raises(OptionError, match=f"{path} exists already"):
        RunFolder(path, "MSFT")


def test_a_name_that_was_taken_meanwhile_gets_a_number(tmp_path):
    with RunFolder(tmp_path / "run", "MSFT") as first, RunFolder(tmp_path / "run", "MSFT") as second:
        (first.stage / "file").write_text("first")
        (second.stage / "file").write_text("second")
        assert [first.publish().name, second.publish().name] == ["run", "run-2"]
    assert (tmp_path / "run" / "file").read_text() == "first"
    assert (tmp_path / "run-2" / "file").read_text() == "second"


def test_default_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunFolder(None, "BRK-B") as folder:
        path = folder.publish()
    assert path.is_dir() and path.parent == Path("runs")
    assert re.fullmatch(r"BRK-B-\d{8}-\d{6}", path.name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunError, match=f"{tmp_path / 'file' / 'run'} cannot be made.*: choose another place\\.$"
    ):
        RunFolder(tmp_path / "file" / "run", "MSFT").__enter__()


def test_a_default_folder_that_cannot_be_made_is_no_matter_of_an_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("")
    advice = r"cannot be made \(.*\): change to a folder that can be written\.$"
    with pytest.raises(RunError, match=advice):
        RunFolder(None, "MSFT").__enter__()


STOPPED_RUN = """
    import sys
    from walks import trained
    from trendlstm.output import runs
    def stop(*_):
        print("half", flush=True)
        sys.stdin.read()
    runs._history_table = stop
    with runs.RunFolder(sys.argv[1], "MSFT") as folder:
        runs.write_run(folder.stage, trained(epochs=1))
"""


def make_run(path):
    with RunFolder(path, "MSFT") as folder:
        folder.publish()
    assert list(path.iterdir()) == []


def test_sigkill_while_a_run_is_written_leaves_no_run(tmp_path):
    """What it left is hidden, and collected by the next run."""
    with waiting_half_way(STOPPED_RUN, tmp_path / "run"):
        (stage,) = tmp_path.iterdir()
        assert stage.name.startswith(".run.")
        make_run(tmp_path / "during")
        os.utime(stage, (0, 0))
        make_run(tmp_path / "later")
    assert stage.exists()  # it was held
    os.utime(stage)
    make_run(tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["during", "later", "run"]
