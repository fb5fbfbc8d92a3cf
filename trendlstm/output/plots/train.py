"""The pictures of a training run: losses, and predictions beside prices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from trendlstm.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION, decorate, marker
from trendlstm.evaluation.metrics import rmse
from trendlstm.nn.loss_curves import draw_losses
from trendlstm.output.plots.style import DPI, LEGEND, date_axis, draw_subtitle, draw_title, save
from trendlstm.output.wording import decimals

if TYPE_CHECKING:
    from trendlstm.nn.history import History


ENLARGED_ROWS = 250  # more of them cannot be told apart
# name, standing of its figures, colour
SPLITS = {
    "train": ("training", "in-sample", BLUE),
    "validation": ("validation", "used for selection", ORANGE),
    "test": ("test", "never trained on", GREEN),
}


def plot_losses(history: "History | Sequence[History]", path: str | Path, *, title: str) -> None:
    """Draw training and validation loss against the epoch, with the epoch whose weights were kept.

    Parameters
    ----------
    history : History or sequence of History
        Of one fit, or of every network of an ensemble: then thin lines, and their mean as far as all of them
        run. Each has at least one epoch.
    path : str or Path
        The PNG file to create or replace.
    title : str
        Above the picture.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one stays as it was.
    """
    save(_losses_figure(history, title), path)


def plot_predictions(
    predictions: pd.DataFrame, path: str | Path, *, title: str, subtitle: str = "", band: str = ""
) -> None:
    """Draw actual closing prices, one-step predictions per split and the recursive forecast beside a flat line.

    The lower panel enlarges the test forecasts (the last 250 of them) and adds persistence, the previous close,
    with the root mean squared error of both over all test forecasts, in the price's currency.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Long table with the columns origin, date, step, actual, prediction, recursive, split, and perhaps low and high,
        a band. Of a model with a longer horizon only step 1 is drawn. `recursive` is NaN where there is no such
        forecast.
    path : str or Path
        The PNG file to create or replace.
    title, subtitle : str
        Above the picture.
    band : str
        What low and high are.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one stays as it was.
    """
    save(_predictions_figure(predictions, title, subtitle, band), path)


def _losses_figure(history: "History | Sequence[History]", title: str) -> Figure:
    histories = list(history) if isinstance(history, Sequence) else [history]
    ensemble = len(histories) > 1
    figure = Figure(figsize=(1200 / DPI, 650 / DPI), dpi=DPI)
    figure.subplots_adjust(left=0.095, right=0.975, top=0.83 if ensemble else 0.865, bottom=0.105)
    axes = figure.add_subplot()
    draw_title(figure, title, y=0.955)
    draw_losses(axes, histories)
    if len(figure.axes) > 1:  # the learning rate's numbers are at the right
        figure.subplots_adjust(right=0.92, top=0.83)
        axes.legend(**LEGEND, ncols=3 if ensemble else 2)
    else:
        axes.legend(**LEGEND, ncols=2 if ensemble else 3)
    return figure


def _predictions_figure(predictions: pd.DataFrame, title: str, subtitle: str, band: str = "") -> Figure:
    frame = predictions.assign(date=pd.to_datetime(predictions["date"])).sort_values(["date", "step"])
    actual = frame.drop_duplicates("date").set_index("date")["actual"]
    first = frame[frame["step"] == 1].set_index("date")
    horizon = frame["step"].max()
    kind = "one-step prediction" if horizon == 1 else f"prediction, step 1 of {horizon}"

    figure = Figure(figsize=(1200 / DPI, 900 / DPI), dpi=DPI)
    whole, enlarged = figure.subplots(2, 1, height_ratios=(5, 4))
    space = 0.44 if band else 0.36  # for the legend, of two rows or one
    figure.subplots_adjust(left=0.095, right=0.955, top=0.82, bottom=0.05, hspace=space)
    draw_title(figure, title, y=0.968)
    draw_subtitle(figure, subtitle, 0.932)
    _draw_whole(whole, actual, first, kind)
    test = first[first["split"] == "test"]
    _draw_test(enlarged, actual, test, kind, band)
    for axes, dates in ((whole, actual.index), (enlarged, test.index[-ENLARGED_ROWS:])):
        axes.set_ylabel("closing price", fontsize=12)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
        date_axis(axes, dates)
        axes.margins(x=0.01)
        decorate(axes)
    figure.align_ylabels()
    return figure


def _draw_whole(axes: Axes, actual: pd.Series, first: pd.DataFrame, kind: str) -> None:
    axes.plot(actual.index, actual, color=BLACK, linewidth=2.6, label="actual close")
    present = [split for split in SPLITS if (first["split"] == split).any()]
    for split in present:
        name, standing, colour = SPLITS[split]
        prediction = first.loc[first["split"] == split, "prediction"]
        label = f"{kind}, {name} ({standing})"
        axes.plot(
            prediction.index, prediction, color=colour, linewidth=1.1, marker=marker(actual), label=label
        )

    low, high = axes.get_ylim()
    span = high - low
    recursive = first["recursive"].dropna()
    if len(recursive):
        last_seen = actual.index[actual.index < recursive.index[0]][-1:]
        flat = pd.Series(actual[last_seen].iloc[0], recursive.index)
        test = first[first["split"] == "test"]
        error, flat_error = (rmse(test["actual"], line[test.index]) for line in (recursive, flat))
        digits = decimals(rmse(test["actual"], actual.shift(1)[test.index]), 4)  # as in the table
        joined = pd.concat([actual[last_seen], recursive])
        # one that runs away must not press all prices into a flat line
        off = recursive.min() < low - span or recursive.max() > high + span
        worth = "off the chart" if off else f"test RMSE {error:,.{digits}f}"
        label = f"recursive from {last_seen[0]:%Y-%m-%d}: {worth}"
        axes.plot(joined.index, joined, color=VERMILLION, linewidth=2, linestyle=(0, (4, 1.5)), label=label)
        label = f"flat line from that day: test RMSE {flat_error:,.{digits}f}"
        axes.plot(flat.index, flat, color=VERMILLION, linewidth=1, linestyle=(0, (1, 1.5)), label=label)
        low = max(min(low, recursive.min() - 0.05 * span), low - span)
        high = min(max(high, recursive.max() + 0.05 * span), high + span)
    else:
        axes.plot([], [], linestyle="none", label="no recursive forecast (needs Close alone, horizon 1)")

    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the names of the splits
    starts = [first.index[first["split"] == split][0] for split in present]
    for split, start, end in zip(present, starts, [*starts[1:], actual.index[-1]], strict=True):
        name, _, colour = SPLITS[split]
        if split != present[0]:
            axes.axvline(start, color=GREY, linewidth=1, zorder=1)
        if (end - start) > len(name) * 0.009 * (actual.index[-1] - actual.index[0]):  # else it does not fit
            axes.annotate(
                name,
                (start, 1),
                (4, -5),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=10.5,
                fontweight="bold",
                color=colour,
            )
    axes.legend(**LEGEND, ncols=2)


def _draw_test(axes: Axes, actual: pd.Series, test: pd.DataFrame, kind: str, band: str) -> None:
    if band:
        shown = test[-ENLARGED_ROWS:]
        axes.fill_between(
            shown.index, shown["low"], shown["high"], color=SKY, alpha=0.4, linewidth=0, label=band
        )
    close = actual[test.index]
    previous = actual.shift(1)[test.index]
    lines: list[tuple[pd.Series, str, dict[str, Any]]] = [
        (close, "actual close", {"color": BLACK, "linewidth": 2.4}),
        (test["prediction"], kind, {"color": GREEN, "linewidth": 1.9}),
        (previous, "previous close (persistence)", {"color": BLACK, "linewidth": 1, "dashes": (3, 2)}),
    ]
    errors = [float(np.sqrt(np.mean((prices - close) ** 2))) for prices, _, _ in lines]
    digits = decimals(errors[-1], 4)  # as in the table of `trendlstm train`
    for (prices, name, style), error in zip(lines, errors, strict=True):
        if prices is not close:
            name += f": RMSE {error:,.{digits}f}"
        shown = prices[-ENLARGED_ROWS:]
        axes.plot(shown.index, shown, marker=marker(shown), label=name, **style)
    which = f"{len(test)}" if len(test) <= ENLARGED_ROWS else f"last {ENLARGED_ROWS} of {len(test)}"
    question = f"The {which} test forecasts enlarged: is the prediction nearer than the previous close?"
    axes.set_title(question, loc="left", fontsize=12, fontweight="bold", pad=44 if band else 27)
    axes.legend(**LEGEND, ncols=2 if band else 3)
