"""Pictures: every line that the design promises is there, says what it is, and fits on the picture."""

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from pictures import assert_all_fits

from trendlstm.config import NetworkConfig
from trendlstm.evaluation.metrics import rmse
from trendlstm.nn.history import History
from trendlstm.output.plots import train as plots
from trendlstm.output.train import decimals
from trendlstm.output.wording import cell_phrase


def make_history(epochs: int = 40, seed: int = 0, validation: bool = True, fall: float = 0.3) -> History:
    noise = np.random.default_rng(seed).normal(0, 0.01, (2, epochs))
    loss, validation_loss = np.exp(noise - fall * np.linspace(0, 1, epochs))
    kept = int(validation_loss.argmin()) + 1 if validation else epochs
    return History(
        loss, validation_loss if validation else None, kept, epochs, 0.1, "epochs", np.ones(epochs)
    )


def make_predictions(
    rows: int = 1008,
    lag: int = 20,
    horizon: int = 1,
    recursive: bool = True,
    run_away: float = 0.0,
    price: float = 30.0,
) -> pd.DataFrame:
    """A random walk with noisy predictions, split as the package splits."""
    rng = np.random.default_rng(rows)
    close = price * np.exp(np.cumsum(rng.normal(0, 0.016, rows)))
    dates = pd.bdate_range("2009-03-02", periods=rows)
    borders = [0, int(0.8 * rows), int(0.9 * rows), rows]
    table = [
        {
            "origin": dates[t],
            "date": dates[t + step],
            "step": step,
            "actual": close[t + step],
            "prediction": close[t] * np.exp(rng.normal(0, 0.005)),
            "recursive": close[borders[1] - 1] * np.exp(run_away * (t + step - borders[1]))
            if recursive and horizon == 1 and t + step >= borders[1]
            else np.nan,
            "split": split,
        }
        for split, low, high in zip(("train", "validation", "test"), borders[:-1], borders[1:], strict=True)
        for t in range(max(lag, low) - 1, high - horizon)
        for step in range(1, horizon + 1)
    ]
    return pd.DataFrame(table)


def lines(axes: Axes) -> dict[str, np.ndarray]:
    """What the legend names, and the heights of the line it belongs to."""
    return {
        str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.get_legend_handles_labels()[0]
    }


def labelled(axes: Axes, *words: str) -> np.ndarray:
    (found,) = [ydata for label, ydata in lines(axes).items() if all(word in label for word in words)]
    return found


CASES = {
    "four years": make_predictions(),
    "small": make_predictions(60, 5),
    "one test row": make_predictions(12, 3),
    "ten years": make_predictions(2520),
    "fifty years": make_predictions(12600),
    "five steps": make_predictions(horizon=5),
    "several features": make_predictions(recursive=False),
    "running away": make_predictions(run_away=0.1),
    "dear": make_predictions(price=100_000),
    "cheap": make_predictions(price=2e-5),
}


@pytest.mark.parametrize("case", CASES)
def test_predictions_shows_each_split_and_the_recursive_forecast(case):
    table = CASES[case]
    figure = plots._predictions_figure(table, "MSFT", "LSTM(64), lag 20")
    whole, enlarged = figure.axes
    first = table[table["step"] == 1]
    for split, words in {
        "train": "training (in-sample)",
        "validation": "validation (used for selection)",
        "test": "test (never trained on)",
    }.items():
        expected = first.loc[first["split"] == split, "prediction"]
        np.testing.assert_array_equal(labelled(whole, "prediction", words), expected)
    every_actual = table.drop_duplicates("date").sort_values("date")["actual"]
    np.testing.assert_array_equal(labelled(whole, "actual close"), every_actual)

    borders = [
        line.get_xdata()[0]
        for line in whole.lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
    ]
    assert borders == [first.loc[first["split"] == split, "date"].iloc[0] for split in ("validation", "test")]
    assert whole.get_ylabel() == enlarged.get_ylabel() == "closing price"
    assert_all_fits(figure)


@pytest.mark.parametrize("layers", [2, 8])
def test_a_network_of_many_settings_fits_below_the_title(layers):
    network = NetworkConfig(
        hidden_size=tuple(range(101, 101 + layers)), dropout=0.25, recurrent_dropout=0.125
    )
    subtitle = (
        f"{cell_phrase(network.to_dict())}, lag 20, standard scaling, epoch chosen by validation; prices "
    )
    subtitle += "2009-03-02 to 2013-03-01"
    figure = plots._predictions_figure(CASES["small"], "MSFT", subtitle)
    assert_all_fits(figure)
    assert subtitle in {text.get_text().replace("\n", " ") for text in figure.texts}


def test_recursive_forecast_starts_at_the_last_price_it_saw_and_says_so():
    table = CASES["four years"]
    train = table[table["split"] == "train"]
    whole, _ = plots._predictions_figure(table, "", "").axes
    shown = labelled(whole, f"recursive from {train['date'].iloc[-1]:%Y-%m-%d}")
    np.testing.assert_array_equal(shown, [train["actual"].iloc[-1], *table["recursive"].dropna()])


@pytest.mark.parametrize("case", ["four years", "dear", "cheap"])
def test_recursive_forecast_stands_beside_a_flat_line_with_both_errors(case):
    table = CASES[case].assign(recursive=lambda frame: 1.01 * frame["recursive"])
    last_close = table.loc[table["split"] == "train", "actual"].iloc[-1]
    test = table[table["split"] == "test"]
    whole, _ = plots._predictions_figure(table, "", "").axes
    for label, line in (
        ("recursive from", test["recursive"]),
        ("flat line from that day", last_close),
    ):
        error = np.sqrt(np.mean((test["actual"] - line) ** 2))
        (shown,) = (name for name in lines(whole) if name.startswith(label))
        assert float(shown.rpartition("RMSE ")[2].replace(",", "")) == pytest.approx(error, rel=1e-3)
    drawn = labelled(whole, "flat line from that day")
    np.testing.assert_array_equal(drawn, np.full(table["recursive"].notna().sum(), last_close))


@pytest.mark.parametrize("case", ["five steps", "several features"])
def test_without_recursive_forecast_the_picture_says_why(case):
    whole, _ = plots._predictions_figure(CASES[case], "", "").axes
    named = [label for label in lines(whole) if "recursive" in label]
    assert named == ["no recursive forecast (needs Close alone, horizon 1)"]


def test_longer_horizon_is_labelled_by_its_step():
    for axes in plots._predictions_figure(CASES["five steps"], "", "").axes:
        named = [label for label in lines(axes) if "prediction" in label]
        assert named and all("step 1 of 5" in label for label in named)


def test_runaway_recursion_leaves_the_prices_readable():
    whole, _ = plots._predictions_figure(CASES["running away"], "", "").axes
    low, high = whole.get_ylim()
    actual = labelled(whole, "actual close")
    assert low <= actual.min() and actual.max() <= high
    assert high - low < 3 * np.ptp(actual)
    assert labelled(whole, "recursive", "off the chart").max() > high


@pytest.mark.parametrize("case", ["four years", "dear", "cheap"])
def test_test_rows_stand_beside_the_previous_close_with_the_digits_of_the_table(case):
    table = CASES[case]
    _, enlarged = plots._predictions_figure(table, "", "").axes
    test = table[table["split"] == "test"]
    close = table["actual"].to_numpy()
    previous = close[-len(test) - 1 : -1]
    digits = decimals(rmse(previous, test["actual"]), 4)
    for words, expected in (("one-step prediction", test["prediction"]), ("persistence", previous)):
        error = f"RMSE {rmse(expected, test['actual']):,.{digits}f}"
        np.testing.assert_array_equal(labelled(enlarged, words, error), expected)
    assert f"The {len(test)} test forecasts" in enlarged.get_title(loc="left")


def test_only_the_last_of_many_test_rows_are_enlarged_but_all_count():
    table = CASES["fifty years"]
    _, enlarged = plots._predictions_figure(table, "", "").axes
    test = table[table["split"] == "test"]
    error = rmse(test["prediction"], test["actual"])
    np.testing.assert_array_equal(
        labelled(enlarged, "one-step prediction", f"RMSE {error:.4g}"), test["prediction"].iloc[-250:]
    )
    assert f"last 250 of {len(test)} test forecasts" in enlarged.get_title(loc="left")


def test_dates_read_back_from_a_file_and_any_order_of_rows_draw_the_same():
    table = CASES["five steps"]
    as_text = table.assign(date=table["date"].dt.strftime("%Y-%m-%d")).sample(frac=1, random_state=1)
    for drawn, expected in zip(
        plots._predictions_figure(as_text, "", "").axes,
        plots._predictions_figure(table, "", "").axes,
        strict=True,
    ):
        for label, ydata in lines(expected).items():
            np.testing.assert_array_equal(lines(drawn)[label], ydata)


@pytest.mark.parametrize("epochs", [1, 2, 100, 1000])
def test_losses_mark_the_epoch_whose_weights_were_kept(epochs):
    history = make_history(epochs)
    figure = plots._losses_figure(history, "MSFT")
    (axes,) = figure.axes
    np.testing.assert_array_equal(labelled(axes, "training loss"), history.loss)
    np.testing.assert_array_equal(lines(axes)["validation loss"], history.validation_loss)
    (kept,) = [line for line in axes.lines if "weights kept" in str(line.get_label())]
    assert kept.get_label() == f"weights kept: epoch {history.best_epoch} (lowest validation loss)"
    assert list(kept.get_xdata()) == [history.best_epoch]
    assert list(kept.get_ydata()) == [history.validation_loss[history.best_epoch - 1]]
    assert_all_fits(figure)


def test_losses_without_validation():
    history = make_history(validation=False)
    (axes,) = plots._losses_figure(history, "MSFT").axes
    assert list(lines(axes)) == ["training loss", "weights kept: epoch 40 (the last: no validation)"]


def test_losses_of_an_ensemble_show_each_network_and_the_mean_while_all_run():
    histories = [make_history(epochs, seed) for seed, epochs in enumerate((40, 30, 35))]
    figure = plots._losses_figure(histories, "MSFT")
    (axes,) = figure.axes
    mean = np.mean([history.validation_loss[:30] for history in histories], axis=0)
    np.testing.assert_allclose(
        labelled(axes, "validation loss, mean of 3 networks (while all of them run)"), mean
    )
    np.testing.assert_array_equal(
        labelled(axes, "weights kept"),
        [history.validation_loss[history.best_epoch - 1] for history in histories],
    )
    drawn = [list(line.get_ydata()) for line in axes.lines]
    for history in histories:
        assert list(history.loss) in drawn and list(history.validation_loss) in drawn
    assert_all_fits(figure)


@pytest.mark.parametrize(("fall", "scale"), [(0.3, "linear"), (7.0, "log")])
def test_losses_over_a_large_range_are_drawn_on_a_log_scale(fall, scale):
    figure = plots._losses_figure(make_history(fall=fall), "MSFT")
    (axes,) = figure.axes
    assert axes.get_yscale() == scale
    assert ("log scale" in axes.get_ylabel()) == (scale == "log")
    assert_all_fits(figure)


def draw_both(folder: Path) -> None:
    plots.plot_losses(make_history(), folder / "losses.png", title="MSFT")
    plots.plot_predictions(
        CASES["four years"], folder / "predictions.png", title="$A and $B", subtitle="lag 20 · test"
    )


def test_pictures_are_png_files_of_the_stated_size(tmp_path):
    draw_both(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"losses.png", "predictions.png"}
    assert imread(tmp_path / "losses.png").shape == (650, 1200, 4)
    assert imread(tmp_path / "predictions.png").shape == (900, 1200, 4)


def test_a_failing_picture_leaves_the_old_file(tmp_path, monkeypatch):
    draw_both(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyError):
        plots.plot_predictions(pd.DataFrame({"date": []}), tmp_path / "predictions.png", title="")

    def half_written(self, file, **_):
        file.write(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half_written)
    with pytest.raises(OSError, match="disk full"):
        draw_both(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_drawing_in_several_threads_gives_the_same_pictures(tmp_path):
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    threads = [threading.Thread(target=draw_both, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    draw_both(tmp_path)
    for folder in folders:
        for name in ("losses.png", "predictions.png"):
            assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_band_is_drawn_around_the_test_forecasts_and_named():
    table = CASES["four years"]
    banded = table.assign(low=table["prediction"] - 1, high=table["prediction"] + 1)
    _, enlarged = plots._predictions_figure(banded, "", "", "10 % to 90 % quantile").axes
    (band,) = enlarged.collections
    assert band.get_label() == "10 % to 90 % quantile"
    edges = band.get_paths()[0].vertices[:, 1]
    shown = banded[banded["split"] == "test"].iloc[-plots.ENLARGED_ROWS :]
    assert edges.max() == pytest.approx(shown["high"].max()) and edges.min() == pytest.approx(
        shown["low"].min()
    )
    _, enlarged = plots._predictions_figure(table, "", "").axes
    assert not enlarged.collections
