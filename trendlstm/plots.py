"""The pictures of a run, drawn with matplotlib.

Figures are built without pyplot: no window, no global state, safe in any thread. Colours are those of Okabe
and Ito (2008), which stay distinct in the common forms of colour blindness.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from trendlstm.atomic import replace_file
from trendlstm.report import decimals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trendlstm.evaluation.compare import Comparison
    from trendlstm.experiments.tasks import Task
    from trendlstm.experiments.trials import Trial
    from trendlstm.training import History

BLACK, ORANGE, GREEN, BLUE = "#000000", "#E69F00", "#009E73", "#0072B2"
VERMILLION, GREY = "#D55E00", "#666666"
PURPLE, SKY = "#CC79A7", "#56B4E9"
DPI = 110
ENLARGED_ROWS = 250  # more of them cannot be told apart
LEGEND: dict[str, Any] = {
    "loc": "lower left", "bbox_to_anchor": (0, 1.01), "borderaxespad": 0, "frameon": False, "fontsize": 10.5
}  # fmt: skip  # above the axes, where no line can run into it

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
    _save(_losses_figure(history, title), path)


def plot_predictions(predictions: pd.DataFrame, path: str | Path, *, title: str, subtitle: str = "") -> None:
    """Draw actual closing prices, one-step predictions per split and the recursive forecast.

    The lower panel enlarges the test forecasts (the last 250 of them) and adds persistence, the previous close,
    with the root mean squared error of both over all test forecasts, in the price's currency.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Long table with the columns origin, date, step, actual, prediction, recursive, split. Of a model with
        a longer horizon only step 1 is drawn. `recursive` is NaN where there is no such forecast.
    path : str or Path
        The PNG file to create or replace.
    title, subtitle : str
        Above the picture.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one stays as it was.
    """
    _save(_predictions_figure(predictions, title, subtitle), path)


def plot_trials(trials: "Sequence[Trial]", task: "Task", path: str | Path) -> None:
    """Draw the error of every trial against the training sequences that it has seen, and where it was solved.

    Parameters
    ----------
    trials : sequence of Trial
        From `run_trials`; one colour a model.
    task : Task
        Whose criterion and published figure are drawn too.
    path : str or Path
        The PNG file to create or replace.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one stays as it was.
    """
    _save(_trials_figure(trials, task), path)


def plot_comparison(comparison: "Comparison", folder: str | Path) -> None:
    """Draw the four pictures of a comparison.

    `learning.png`: losses of the compared networks against the epoch, with their spread over the seeds.
    `predictions.png`: what every model says on the test rows. `gradients.png`: |dL/dh| against the lag, of every
    network of the gradient table. `terms.png`: the terms of the sum that is dL/dW_hh, likewise.

    Parameters
    ----------
    comparison : Comparison
        Filled to its end.
    folder : str or Path
        Where the PNG files are created or replaced.

    Raises
    ------
    OSError
        A file cannot be written; an earlier one stays as it was.
    """
    folder = Path(folder)
    _save(_learning_figure(comparison), folder / "learning.png")
    _save(_models_figure(comparison), folder / "predictions.png")
    _save(_gradients_figure(comparison), folder / "gradients.png")
    _save(_terms_figure(comparison), folder / "terms.png")


def _losses_figure(history: "History | Sequence[History]", title: str) -> Figure:
    histories = list(history) if isinstance(history, Sequence) else [history]
    ensemble = len(histories) > 1
    figure = Figure(figsize=(1200 / DPI, 650 / DPI), dpi=DPI)
    figure.subplots_adjust(left=0.095, right=0.975, top=0.83 if ensemble else 0.865, bottom=0.105)
    axes = figure.add_subplot()
    _title(figure, title, y=0.955)

    curves = [("training", BLUE, [one.loss for one in histories])]
    validation = [one.validation_loss for one in histories if one.validation_loss is not None]
    validated = len(validation) == len(histories)
    if validated:
        curves.append(("validation", VERMILLION, validation))
    for name, colour, losses in curves:
        label = f"{name} loss"
        curve = losses[0]
        if ensemble:
            for loss in losses:
                axes.plot(_epochs(loss), loss, color=colour, linewidth=0.8, alpha=0.45)
            shortest = min(map(len, losses))
            label += f", mean of {len(losses)} networks"
            if shortest < max(map(len, losses)):
                label += " (while all of them run)"
            curve = np.mean([loss[:shortest] for loss in losses], axis=0)
        axes.plot(_epochs(curve), curve, color=colour, linewidth=2.2, marker=_dot(curve), label=label)
    if ensemble:
        axes.plot([], [], color=GREY, linewidth=0.8, label="each network")

    epochs = [one.best_epoch for one in histories]
    kept = [loss[epoch] for loss, epoch in zip(curves[-1][2], epochs, strict=True)]
    which = "weights kept" if ensemble else f"weights kept: epoch {epochs[0] + 1}"
    reason = "lowest validation loss" if validated else "the last: no validation"
    axes.plot(
        np.add(epochs, 1), kept, linestyle="none", marker="o", markersize=7 if ensemble else 11,
        markerfacecolor="none", markeredgecolor=BLACK, markeredgewidth=1.6, zorder=5,
        label=f"{which} ({reason})",
    )  # fmt: skip

    values = np.concatenate([loss for _, _, losses in curves for loss in losses])
    axes.set_ylabel("mean squared error of the scaled target", fontsize=12)
    if 0 < 10 * values.min() < values.max():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("mean squared error of the scaled target, log scale", fontsize=12)
    axes.set_xlabel("epoch", fontsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    longest = max(len(one.loss) for one in histories)
    margin = max(0.5, 0.02 * longest)
    axes.set_xlim(1 - margin, longest + margin)
    axes.legend(**LEGEND, ncols=2 if ensemble else 3)
    _decorate(axes)
    return figure


def _predictions_figure(predictions: pd.DataFrame, title: str, subtitle: str) -> Figure:
    frame = predictions.assign(date=pd.to_datetime(predictions["date"])).sort_values(["date", "step"])
    actual = frame.drop_duplicates("date").set_index("date")["actual"]
    first = frame[frame["step"] == 1].set_index("date")
    horizon = frame["step"].max()
    kind = "one-step prediction" if horizon == 1 else f"prediction, step 1 of {horizon}"

    figure = Figure(figsize=(1200 / DPI, 900 / DPI), dpi=DPI)
    whole, enlarged = figure.subplots(2, 1, height_ratios=(5, 4))
    figure.subplots_adjust(left=0.095, right=0.955, top=0.82, bottom=0.05, hspace=0.36)
    _title(figure, title, y=0.968)
    figure.text(0.095, 0.932, subtitle, fontsize=11, color=GREY, va="center", parse_math=False)
    _draw_whole(whole, actual, first, kind)
    test = first[first["split"] == "test"]
    _draw_test(enlarged, actual, test, kind)
    for axes, dates in ((whole, actual.index), (enlarged, test.index[-ENLARGED_ROWS:])):
        axes.set_ylabel("closing price", fontsize=12)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=4, maxticks=9))
        if len(dates) <= 10:  # the locator would go on to hours
            axes.set_xticks(dates)
        axes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d" if np.ptp(dates).days < 370 else "%Y-%m"))
        axes.margins(x=0.01)
        _decorate(axes)
    figure.align_ylabels()
    return figure


def _draw_whole(axes: Axes, actual: pd.Series, first: pd.DataFrame, kind: str) -> None:
    axes.plot(actual.index, actual, color=BLACK, linewidth=2.6, label="actual close")
    present = [split for split in SPLITS if (first["split"] == split).any()]
    for split in present:
        name, standing, colour = SPLITS[split]
        prediction = first.loc[first["split"] == split, "prediction"]
        label = f"{kind}, {name} ({standing})"
        axes.plot(prediction.index, prediction, color=colour, linewidth=1.1, marker=_dot(actual), label=label)

    low, high = axes.get_ylim()
    span = high - low
    recursive = first["recursive"].dropna()
    if len(recursive):
        last_seen = actual.index[actual.index < recursive.index[0]][-1:]
        joined = pd.concat([actual[last_seen], recursive])
        label = f"recursive forecast: fed no price after {last_seen[0]:%Y-%m-%d}"
        # one that runs away must not press all prices into a flat line
        if recursive.min() < low - span or recursive.max() > high + span:
            label += " (off the chart)"
        axes.plot(joined.index, joined, color=VERMILLION, linewidth=2, linestyle=(0, (4, 1.5)), label=label)
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
                name, (start, 1), (4, -5), xycoords=("data", "axes fraction"), textcoords="offset points",
                va="top", fontsize=10.5, fontweight="bold", color=colour,
            )  # fmt: skip
    axes.legend(**LEGEND, ncols=2)


def _draw_test(axes: Axes, actual: pd.Series, test: pd.DataFrame, kind: str) -> None:
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
        axes.plot(shown.index, shown, marker=_dot(shown), label=name, **style)
    which = f"{len(test)}" if len(test) <= ENLARGED_ROWS else f"last {ENLARGED_ROWS} of {len(test)}"
    question = f"The {which} test forecasts enlarged: is the prediction nearer than the previous close?"
    axes.set_title(question, loc="left", fontsize=12, fontweight="bold", pad=27)
    axes.legend(**LEGEND, ncols=3)


def _trials_figure(trials: "Sequence[Trial]", task: "Task") -> Figure:
    from trendlstm.experiments.report import by_model
    from trendlstm.experiments.trials import CURVE_STEP

    groups = by_model(trials)
    figure = Figure(figsize=(1200 / DPI, 700 / DPI), dpi=DPI)
    figure.subplots_adjust(left=0.095, right=0.975, top=0.91 - 0.036 * ((len(groups) + 4) // 2), bottom=0.1)
    axes = figure.add_subplot()
    _title(figure, f"{task.title}: error against training sequences", y=0.955)
    longest = max(trial.sequences for trial in trials)
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY)
    of_lstms = iter(colours)
    for model, group in groups.items():
        colour = VERMILLION if model.cell == "rnn" else next(of_lstms, GREY)
        # dashed, so that other networks that learn nothing either show through
        dashes: dict[str, Any] = {"dashes": (3, 3)} if model.cell == "rnn" else {}
        solved = [trial for trial in group if trial.outcome == "solved"]
        for trial in group:
            seen = np.minimum(np.arange(1, len(trial.curve) + 1) * CURVE_STEP, trial.sequences)
            marker = "." if len(seen) == 1 else ""
            axes.plot(seen, trial.curve, color=colour, linewidth=1.1, alpha=0.75, marker=marker, **dashes)
        axes.plot(
            [trial.sequences for trial in solved], [trial.curve[-1] for trial in solved], linestyle="none",
            marker="o", markersize=7, color=colour, markeredgecolor=BLACK, zorder=5,
        )  # fmt: skip
        axes.plot(
            [], [], color=colour, linewidth=2.4, label=f"{model.label}: solved {len(solved)} of {len(group)}"
        )
    axes.plot([], [], linestyle="none", marker="o", markersize=7, color="white", markeredgecolor=BLACK,
              label="solved: the criterion is met")  # fmt: skip
    if task.criterion.mean < np.inf:
        limit = task.criterion.mean
        text = f"mean |error| must fall below {limit:g}"
        axes.axhline(limit, color=BLACK, linewidth=1, dashes=(3, 2), label=text)
    published = task.paper.sequences
    text = f"the paper's LSTM: solved after {published:,} sequences"
    if published <= longest:
        axes.axvline(published, color=GREY, linewidth=1.6, linestyle=":", label=text)
    else:
        axes.plot([], [], linestyle="none", label=f"({text})")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(0, 1.02 * longest)
    axes.set_ylabel(f"mean |error| of {CURVE_STEP:,} sequences, log scale", fontsize=12)
    axes.set_xlabel("training sequences seen", fontsize=12)
    axes.legend(**LEGEND, ncols=2)
    _decorate(axes)
    return figure


# Of a comparison's models; ridge and persistence are no networks.
_MODEL_COLOURS = {"lstm": BLUE, "rnn": VERMILLION, "ann": GREEN, "lstm1997": PURPLE, "ridge": ORANGE}
# The two networks of the lecture notes' demonstration, and the others of the gradient table: colour and dashes.
_HIGHLIGHTS = {"RNN, uniform": VERMILLION, "LSTM, chrono": BLUE}
_OTHERS: dict[str, tuple[str, Any]] = {
    "RNN, glorot": (ORANGE, (0, (1, 1.2))),
    "RNN, orthogonal": (ORANGE, "-"),
    "LSTM, forget bias 0": (SKY, (0, (1, 1.2))),
    "LSTM, forget bias 1": (SKY, "-"),
    "LSTM 1997": (PURPLE, "-"),
}
_FAINTEST = 1e-18  # what is smaller would press all other lines together


def _learning_figure(comparison: "Comparison") -> Figure:
    from trendlstm.evaluation.compare import display_name

    figure = Figure(figsize=(1200 / DPI, 650 / DPI), dpi=DPI)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.095, right=0.975, top=0.79, bottom=0.165, wspace=0.08)
    windows, seeds = comparison.windows, comparison.config.seeds
    _title(figure, f"{comparison.config.data.ticker}: how the networks learn", y=0.955)
    spread = f"mean of {seeds} seeds, band: lowest to highest" if seeds > 1 else "one seed"
    _subtitle(figure, f"{spread}; circles: the epochs whose weights were kept, lowest validation loss", 0.912)
    for axes, split, loss in zip(
        panels, (windows.train, windows.validation), ("loss", "validation_loss"), strict=True
    ):
        for name, variant in comparison.models.items():
            if variant is None:
                continue
            colour = _MODEL_COLOURS[name]
            curves = [getattr(history, loss) for history in variant.histories]
            shortest = min(map(len, curves))
            together = np.stack([curve[:shortest] for curve in curves])
            mean = together.mean(axis=0)
            axes.fill_between(
                _epochs(mean),
                together.min(axis=0),
                together.max(axis=0),
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(
                _epochs(mean), mean, color=colour, linewidth=2, marker=_dot(mean), label=display_name(name)
            )
            if loss == "validation_loss":
                best = [history.best_epoch for history in variant.histories]
                kept = [curve[epoch] for curve, epoch in zip(curves, best, strict=True)]
                axes.plot(np.add(best, 1), kept, linestyle="none", marker="o", markersize=6, markerfacecolor="white",
                          markeredgecolor=colour, markeredgewidth=1.5, zorder=5)  # fmt: skip
        closes = np.repeat(split.anchors[:, None], windows.horizon, axis=1)
        naive = np.mean((windows.scaler.targets(closes, split.anchors) - split.y) ** 2)
        axes.axhline(naive, color=BLACK, linewidth=1.2, dashes=(3, 2), label="persistence (tomorrow = today)")
        name, standing, _ = SPLITS[split.name]
        axes.set_title(f"{name} loss ({standing})", loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel("epoch", fontsize=12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        _decorate(axes)
    low, high = panels[0].get_ylim()
    if 0 < 10 * low < high:
        panels[0].set_yscale("log")
    panels[0].set_ylabel("mean squared error of the scaled target", fontsize=12)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.089, 0.892), ncols=5,
        frameon=False, fontsize=10.5, borderaxespad=0,
    )  # fmt: skip
    _caption(
        figure, "A network whose validation loss stays above the dashed line has learned nothing that helps."
    )
    return figure


def _models_figure(comparison: "Comparison") -> Figure:
    from trendlstm.evaluation.compare import display_name

    windows = comparison.windows
    test, config = windows.test, comparison.config
    shown = slice(-ENLARGED_ROWS, None)
    dates = windows.dates[test.origins + 1][shown]
    actual, previous = test.actual[:, 0], test.anchors

    figure = Figure(figsize=(1200 / DPI, 900 / DPI), dpi=DPI)
    prices, changes = figure.subplots(2, 1, sharex=True)
    figure.subplots_adjust(left=0.095, right=0.955, top=0.845, bottom=0.095, hspace=0.2)
    _title(figure, f"{config.data.ticker}: one-step predictions of all models on the test rows", y=0.968)
    which = f"{len(actual)}" if len(actual) <= ENLARGED_ROWS else f"last {ENLARGED_ROWS} of {len(actual)}"
    mean = f"networks: mean output of {config.seeds} seeds" if config.seeds > 1 else "networks: one seed"
    _subtitle(figure, f"the {which} test rows, never trained on; {mean}", 0.935)
    prices.plot(dates, actual[shown], color=BLACK, linewidth=2.4, label="actual close")
    changes.vlines(
        dates, 0, (actual - previous)[shown], color=GREY, alpha=0.45, linewidth=400 / (len(dates) + 20)
    )
    digits = decimals(comparison.assessments["persistence"].ensemble[0].rmse, 4)  # as in the table
    lines = 1 + len(comparison.assessments)
    for name, found in comparison.assessments.items():
        predicted, error = found.predicted[:, 0], found.ensemble[0].rmse
        style = {"color": _MODEL_COLOURS.get(name, BLACK), "linewidth": 1.5}
        if name == "persistence":
            style = {"color": BLACK, "linewidth": 1, "dashes": (3, 2)}
        prices.plot(dates, predicted[shown], label=f"{display_name(name)}: RMSE {error:,.{digits}f}", **style)
        changes.plot(dates, (predicted - previous)[shown], **style)
    figure.legend(
        *prices.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.089, 0.922),
        ncols=lines if lines <= 4 else -(-lines // 2),
        frameon=False, fontsize=10.5, borderaxespad=0,
    )  # fmt: skip
    prices.set_ylabel("closing price", fontsize=12)
    prices.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    changes.set_ylabel("change from the previous close", fontsize=12)
    changes.set_title("The same as changes from the previous close: the bars were to be predicted", loc="left",
                      fontsize=12, fontweight="bold")  # fmt: skip
    changes.xaxis.set_major_locator(AutoDateLocator(minticks=4, maxticks=9))
    if len(dates) <= 10:  # the locator would go on to hours
        changes.set_xticks(dates)
    changes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d" if np.ptp(dates).days < 370 else "%Y-%m"))
    for axes in (prices, changes):
        axes.margins(x=0.01)
        _decorate(axes)
    figure.align_ylabels()
    _caption(
        figure, "Above, every forecast looks good, for it follows yesterday's close. Below is what it adds."
    )
    return figure


def _gradients_figure(comparison: "Comparison") -> Figure:
    figure = _lags_figure(comparison, "dloss_dh", with_cell=True)
    ticker = comparison.config.data.ticker
    _title(figure, f"{ticker}: how much of the gradient is left, step by step into the past", 0.962)
    _subtitle(figure, "|dL/dh| at k steps before the last, as a share of |dL/dh| at the last step", 0.92)
    figure.axes[0].set_ylabel("share of the gradient that is left, log scale", fontsize=12)
    _caption(
        figure,
        "Thick: the lecture notes' demonstration, the textbook RNN (uniform weights) against the LSTM with chrono "
        "biases and its cell (dashed: |dL/dc|). Thin: the other networks of the table. Initial weights matter as well "
        "as the cell: an RNN with orthogonal weights can forget less than an LSTM. What a network can remember is "
        f"decided by the long-lag tasks (trendlstm reproduce). {_over_seeds(comparison)}",
    )
    return figure


def _terms_figure(comparison: "Comparison") -> Figure:
    figure = _lags_figure(comparison, "weight_terms", with_cell=False)
    _title(
        figure,
        f"{comparison.config.data.ticker}: the sum that moves the recurrent weights, term by term",
        0.962,
    )
    figure.text(
        0.095, 0.912, r"$\frac{\partial L}{\partial W}=\sum_{k}\,\frac{\partial L}{\partial h_T}\,"
        r"\frac{\partial h_T}{\partial h_{T-k}}\,\frac{\partial h_{T-k}}{\partial W}$",
        fontsize=13, color=GREY, va="center",
    )  # fmt: skip
    figure.text(
        0.26,
        0.92,
        "size of each term as a share of the last step's (k = 0)",
        fontsize=11,
        color=GREY,
        va="center",
    )
    figure.axes[0].set_ylabel("size of the k-th term over that of k = 0, log scale", fontsize=12)
    _caption(
        figure,
        "Where a line has fallen to 1e-6, a step that far back moves the weights by a millionth of what the last step "
        "does: the network hardly learns from it. Thick: the lecture notes' demonstration. All terms together are the "
        f"gradient that training uses; the term of the oldest step, k = {comparison.longest_lag}, is 0, for no state "
        f"came before it. {_over_seeds(comparison)}",
    )
    return figure


def _lags_figure(comparison: "Comparison", quantity: str, with_cell: bool) -> Figure:
    """A quantity of every network against the lag, before and after training; lines are named at their ends."""
    from trendlstm.evaluation.compare import STATES, profile

    figure = Figure(figsize=(1400 / DPI, 720 / DPI), dpi=DPI)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.095, right=0.83, top=0.84, bottom=0.215, wspace=0.54)
    lags = np.arange(comparison.windows.lag)
    ends: list[list[tuple[float, str, str, bool]]] = []
    for axes, state, name in zip(panels, STATES, ("before training", "after training"), strict=True):
        ends.append([])
        for variant in comparison.recurrent:
            highlight = variant.name in _HIGHLIGHTS
            colour, dashes = (_HIGHLIGHTS[variant.name], "-") if highlight else _OTHERS[variant.name]
            curves = [(quantity, variant.name, dashes)]
            if highlight and with_cell and variant.networks[0].config.cell == "lstm":
                curves.append(("dloss_dc", "chrono LSTM's cell", (0, (4, 1.5))))
            for what, label, dash in curves:
                found = profile(variant, state, what)
                if found is None:
                    continue
                relative, low, high = (
                    np.where(values > _FAINTEST, values, np.nan)
                    for values in (found.relative, found.low, found.high)
                )
                axes.plot(lags, relative, color=colour, linewidth=3 if highlight else 1.4, linestyle=dash,
                          zorder=4 if highlight else 3, label=label)  # fmt: skip
                if highlight:
                    axes.fill_between(lags, low, high, color=colour, alpha=0.15, linewidth=0)
                last = relative[np.isfinite(relative)][-1]
                ends[-1].append((last, f"{label}: {_short(last)}", colour, highlight))
        axes.set_title(name, loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel("steps into the past, k", fontsize=12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        axes.set_xlim(0, max(1, lags[-1]))
        axes.set_yscale("log")
        _decorate(axes)
    for axes, labels in zip(panels, ends, strict=True):
        _name_ends(axes, labels)
    return figure


def _name_ends(axes: Axes, ends: list[tuple[float, str, str, bool]]) -> None:
    """Write each line's name right of its last value, moved up or down until no two lie on one another."""
    low, high = np.log10(axes.get_ylim())
    spacing = 0.047
    ends = sorted(ends)
    wanted = [(np.log10(value) - low) / (high - low) for value, *_ in ends]
    heights = np.array(wanted)
    for _ in range(200):  # neighbours that are too near push each other away
        for below in range(len(heights) - 1):
            overlap = spacing - (heights[below + 1] - heights[below])
            if overlap > 0:
                heights[below] -= overlap / 2
                heights[below + 1] += overlap / 2
    for height, at, (_, label, colour, highlight) in zip(heights, wanted, ends, strict=True):
        axes.annotate(
            label, (1, at), (1.035, height), xycoords="axes fraction", textcoords="axes fraction", va="center",
            fontsize=10, color=colour if highlight else BLACK, fontweight="bold" if highlight else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def _short(value: float) -> str:
    return f"{value:.1g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")


def _over_seeds(comparison: "Comparison") -> str:
    seeds = comparison.config.seeds
    return f"Lines: medians over {seeds} seeds; bands: lowest to highest." if seeds > 1 else "One seed."


def _subtitle(figure: Figure, text: str, y: float) -> None:
    figure.text(figure.subplotpars.left, y, text, fontsize=11, color=GREY, va="center", parse_math=False)


def _caption(figure: Figure, text: str) -> None:
    text = textwrap.fill(text, int(13 * figure.get_figwidth()))
    figure.text(figure.subplotpars.left, 0.02, text, fontsize=9.5, color=GREY, va="bottom", parse_math=False)


def _title(figure: Figure, title: str, y: float) -> None:
    figure.text(0.095, y, title, fontsize=15, fontweight="bold", va="center", parse_math=False)


def _epochs(loss: "NDArray[np.floating]") -> "NDArray[np.integer]":
    return np.arange(1, len(loss) + 1)


def _dot(values: "NDArray[np.floating] | pd.Series") -> str:
    return "." if len(values) <= 25 else ""  # without it a line of one point shows nothing


def _decorate(axes: Axes) -> None:
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=11)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: str | Path) -> None:
    replace_file(path, lambda file: figure.savefig(file, format="png"))
