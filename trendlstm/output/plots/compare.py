"""The pictures of a comparison: learning, predictions, and gradients against the lag."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from trendlstm.config import LOSS_NAMES
from trendlstm.drawing import BLACK, GREY, decorate, epoch_numbers, marker
from trendlstm.output.plots.style import DPI, PALETTE, draw_caption, draw_subtitle, draw_title, save
from trendlstm.output.plots.train import ENLARGED_ROWS, SPLITS
from trendlstm.output.wording import decimals
from trendlstm.workflows.compare import STATES, Comparison
from trendlstm.workflows.variants import MODELS

_FAINTEST = 1e-18  # what is smaller would press all other lines together


def plot_comparison(comparison: Comparison, folder: str | Path) -> None:
    """Draw the four pictures of a comparison.

    `learning.png`: losses of the compared networks against the epoch, with their spread over the seeds.
    `predictions.png`: what every model says on the test rows. `gradients.png`: |dL/dh| against the lag, of every
    network of the gradient table. `terms.png`: the terms of the sum that is dL/dW_hh, likewise.

    Parameters
    ----------
    comparison : Comparison
    folder : str or Path
        Where the PNG files are created or replaced.

    Raises
    ------
    OSError
        A file cannot be written; an earlier one stays as it was.
    """
    folder = Path(folder)
    save(_learning_figure(comparison), folder / "learning.png")
    save(_models_figure(comparison), folder / "predictions.png")
    save(_gradients_figure(comparison), folder / "gradients.png")
    save(_terms_figure(comparison), folder / "terms.png")


def _learning_figure(comparison: Comparison) -> Figure:
    figure = Figure(figsize=(1200 / DPI, 650 / DPI), dpi=DPI)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.095, right=0.975, top=0.79, bottom=0.165, wspace=0.08)
    prepared, config = comparison.prepared, comparison.prepared.config.train
    windows, seeds = prepared.windows, config.seeds
    draw_title(figure, f"{config.data.ticker}: how the networks learn", y=0.955)
    spread = f"mean of {seeds} seeds, band: lowest to highest" if seeds > 1 else "one seed"
    draw_subtitle(
        figure, f"{spread}; circles: the epochs whose weights were kept, lowest validation loss", 0.912
    )
    for axes, split, loss in zip(
        panels, (windows.train, windows.validation), ("loss", "validation_loss"), strict=True
    ):
        for name, variant in prepared.models.items():
            if variant is None:
                continue
            colour = PALETTE[MODELS[name].colour]
            histories = comparison.fits.histories[variant.kind.key]
            curves = [getattr(history, loss) for history in histories]
            shortest = min(map(len, curves))
            together = np.stack([curve[:shortest] for curve in curves])
            mean = together.mean(axis=0)
            axes.fill_between(
                epoch_numbers(mean),
                together.min(axis=0),
                together.max(axis=0),
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(
                epoch_numbers(mean),
                mean,
                color=colour,
                linewidth=2,
                marker=marker(mean),
                label=MODELS[name].label,
            )
            if loss == "validation_loss":
                epochs = [history.best_epoch for history in histories]
                kept = [curve[epoch - 1] for curve, epoch in zip(curves, epochs, strict=True)]
                axes.plot(
                    epochs,
                    kept,
                    linestyle="none",
                    marker="o",
                    markersize=6,
                    markerfacecolor="white",
                    markeredgecolor=colour,
                    markeredgewidth=1.5,
                    zorder=5,
                )
        if config.network.loss == "mse":
            closes = np.repeat(split.anchors[:, None], windows.horizon, axis=1)
            naive = np.mean((windows.scaler.targets(closes, split.anchors) - split.y) ** 2)
            axes.axhline(
                naive, color=BLACK, linewidth=1.2, dashes=(3, 2), label="persistence (tomorrow = today)"
            )
        name, standing, _ = SPLITS[split.name]
        axes.set_title(f"{name} loss ({standing})", loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel("epoch", fontsize=12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        decorate(axes)
    low, high = panels[0].get_ylim()
    if 0 < 10 * low < high:
        panels[0].set_yscale("log")
    panels[0].set_ylabel(f"{LOSS_NAMES[config.network.loss]} of the scaled target", fontsize=12)
    lines = len(panels[0].get_legend_handles_labels()[0])
    if lines > 5:  # two rows
        figure.subplots_adjust(top=0.755)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(0.089, 0.892),
        ncols=5 if lines <= 5 else -(-lines // 2),
        frameon=False,
        fontsize=10.5,
        borderaxespad=0,
    )
    draw_caption(
        figure, "A network whose validation loss stays above the dashed line has learned nothing that helps."
    )
    return figure


def _models_figure(comparison: Comparison) -> Figure:
    windows, config = comparison.prepared.windows, comparison.prepared.config.train
    test = windows.test
    shown = slice(-ENLARGED_ROWS, None)
    dates = windows.dates[test.origins + 1][shown]
    actual, previous = test.actual[:, 0], test.anchors

    figure = Figure(figsize=(1200 / DPI, 900 / DPI), dpi=DPI)
    prices, changes = figure.subplots(2, 1, sharex=True)
    figure.subplots_adjust(left=0.095, right=0.955, top=0.845, bottom=0.095, hspace=0.2)
    draw_title(figure, f"{config.data.ticker}: one-step predictions of all models on the test rows", y=0.968)
    which = f"{len(actual)}" if len(actual) <= ENLARGED_ROWS else f"last {ENLARGED_ROWS} of {len(actual)}"
    mean = f"networks: mean output of {config.seeds} seeds" if config.seeds > 1 else "networks: one seed"
    draw_subtitle(figure, f"the {which} test rows, never trained on; {mean}", 0.935)
    prices.plot(dates, actual[shown], color=BLACK, linewidth=2.4, label="actual close")
    changes.vlines(
        dates, 0, (actual - previous)[shown], color=GREY, alpha=0.45, linewidth=400 / (len(dates) + 20)
    )
    digits = decimals(comparison.models["persistence"].ensemble[0].rmse, 4)  # as in the table
    lines = 1 + len(comparison.models)
    columns = lines if lines <= 4 else -(-lines // 2) if lines <= 8 else 3
    rows = -(-lines // columns)
    if rows > 2:
        figure.subplots_adjust(top=0.897 - 0.026 * rows)
    for name, found in comparison.models.items():
        predicted, error = found.predicted[:, 0], found.ensemble[0].rmse
        model = MODELS[name]
        for axes, closes in ((prices, predicted), (changes, predicted - previous)):
            axes.plot(
                dates,
                closes[shown],
                color=PALETTE[model.colour],
                linestyle=model.line,
                linewidth=1.5 if model.line == "solid" else 1.1,
                label=f"{model.label}: RMSE {error:,.{digits}f}",
            )
    figure.legend(
        *prices.get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(0.089, 0.922),
        ncols=columns,
        frameon=False,
        fontsize=10.5,
        borderaxespad=0,
    )
    prices.set_ylabel("closing price", fontsize=12)
    prices.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    changes.set_ylabel("change from the previous close", fontsize=12)
    changes.set_title(
        "The same as changes from the previous close: the bars were to be predicted",
        loc="left",
        fontsize=12,
        fontweight="bold",
    )
    changes.xaxis.set_major_locator(AutoDateLocator(minticks=4, maxticks=9))
    if len(dates) <= 10:  # the locator would go on to hours
        changes.set_xticks(dates)
    changes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d" if np.ptp(dates).days < 370 else "%Y-%m"))
    for axes in (prices, changes):
        axes.margins(x=0.01)
        decorate(axes)
    figure.align_ylabels()
    draw_caption(
        figure,
        "Above, every forecast looks good, because it follows yesterday's close. Below is what it adds.",
    )
    return figure


def _gradients_figure(comparison: Comparison) -> Figure:
    figure = _lags_figure(comparison, "dloss_dh", with_cell=True)
    ticker = comparison.prepared.config.train.data.ticker
    draw_title(figure, f"{ticker}: how much of the gradient is left, step by step into the past", 0.962)
    draw_subtitle(figure, "|dL/dh| at k steps before the last, as a share of |dL/dh| at the last step", 0.92)
    figure.axes[0].set_ylabel("share of the gradient that is left, log scale", fontsize=12)
    draw_caption(
        figure,
        "Thick: the lecture notes' demonstration, the textbook RNN (uniform weights) against the LSTM with chrono "
        "biases and its cell (dashed: |dL/dc|). Thin: the other networks of the table. Initial weights matter as well "
        "as the cell: an RNN with orthogonal weights can forget less than an LSTM. What a network can remember is "
        f"decided by the long-lag tasks (trendlstm reproduce). {_over_seeds(comparison)}",
    )
    return figure


def _terms_figure(comparison: Comparison) -> Figure:
    figure = _lags_figure(comparison, "weight_terms", with_cell=False)
    oldest = comparison.prepared.longest_lag
    draw_title(
        figure,
        f"{comparison.prepared.config.train.data.ticker}: the sum that moves the recurrent weights, term by term",
        0.962,
    )
    figure.text(
        0.095,
        0.912,
        r"$\frac{\partial L}{\partial W}=\sum_{k}\,\frac{\partial L}{\partial h_T}\,"
        r"\frac{\partial h_T}{\partial h_{T-k}}\,\frac{\partial h_{T-k}}{\partial W}$",
        fontsize=13,
        color=GREY,
        va="center",
    )
    figure.text(
        0.26,
        0.92,
        "size of each term as a share of the last step's (k = 0)",
        fontsize=11,
        color=GREY,
        va="center",
    )
    figure.axes[0].set_ylabel("size of the k-th term over that of k = 0, log scale", fontsize=12)
    draw_caption(
        figure,
        "Where a line has fallen to 1e-6, a step that far back moves the weights by a millionth of what the last step "
        "does: the network hardly learns from it. Thick: the lecture notes' demonstration. All terms together are the "
        f"gradient that training uses; the term of the oldest step, k = {oldest}, is 0, because no "
        f"state came before it. {_over_seeds(comparison)}",
    )
    return figure


def _lags_figure(comparison: Comparison, quantity: str, with_cell: bool) -> Figure:
    """A quantity of every network against the lag, before and after training; lines are named at their ends."""
    figure = Figure(figsize=(1400 / DPI, 720 / DPI), dpi=DPI)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.095, right=0.83, top=0.84, bottom=0.215, wspace=0.54)
    lags = np.arange(comparison.prepared.windows.lag)
    ends: list[list[tuple[float, str, str, bool]]] = []
    for axes, state, name in zip(panels, STATES, ("before training", "after training"), strict=True):
        ends.append([])
        for variant in comparison.prepared.recurrent:
            kind = variant.kind
            colour, highlight = PALETTE[kind.colour], kind.highlight
            curves: list[tuple[str, str, str]] = [(quantity, kind.label, kind.line)]
            if highlight and with_cell and kind.cell == "lstm":
                curves.append(("dloss_dc", f"{kind.label} cell", "dashed"))
            for what, label, line in curves:
                found = comparison.gradients[state].profile(kind.key, what)
                if found is None:
                    continue
                relative, low, high = (
                    np.where(values > _FAINTEST, values, np.nan)
                    for values in (found.relative, found.low, found.high)
                )
                axes.plot(
                    lags,
                    relative,
                    color=colour,
                    linewidth=3 if highlight else 1.4,
                    linestyle=line,
                    zorder=4 if highlight else 3,
                    label=label,
                )
                if highlight:
                    axes.fill_between(lags, low, high, color=colour, alpha=0.15, linewidth=0)
                last = relative[np.isfinite(relative)][-1]
                ends[-1].append((last, f"{label}: {_short(last)}", colour, highlight))
        axes.set_title(name, loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel("steps into the past, k", fontsize=12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        axes.set_xlim(0, max(1, lags[-1]))
        axes.set_yscale("log")
        decorate(axes)
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
            label,
            (1, at),
            (1.035, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            color=colour if highlight else BLACK,
            fontweight="bold" if highlight else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _short(value: float) -> str:
    return f"{value:.1g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")


def _over_seeds(comparison: Comparison) -> str:
    config = comparison.prepared.config.train
    top = "Of several layers: the top one. " if config.network.layers > 1 else ""
    over = (
        f"Lines: medians over {config.seeds} seeds; bands: lowest to highest."
        if config.seeds > 1
        else "One seed."
    )
    return top + over
