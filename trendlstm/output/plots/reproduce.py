"""The picture of the long-lag experiments: the error of every trial against what it has seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from trendlstm.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, WINE, decorate
from trendlstm.output.plots.style import DPI, LEGEND, draw_title, save

if TYPE_CHECKING:
    from trendlstm.experiments.task import Task
    from trendlstm.experiments.trials import Trial


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
    save(_trials_figure(trials, task), path)


def _trials_figure(trials: "Sequence[Trial]", task: "Task") -> Figure:
    from trendlstm.experiments.trials import CURVE_STEP
    from trendlstm.output.reproduce import by_model

    groups = by_model(trials)
    figure = Figure(figsize=(1200 / DPI, 700 / DPI), dpi=DPI)
    figure.subplots_adjust(left=0.095, right=0.975, top=0.91 - 0.036 * ((len(groups) + 4) // 2), bottom=0.1)
    axes = figure.add_subplot()
    draw_title(figure, f"{task.title}: error against training sequences", y=0.955)
    longest = max(trial.sequences for trial in trials)
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY)
    of_lstms = iter(colours)
    for model, group in groups.items():
        colour = next(of_lstms, GREY) if model.is_lstm else {"gru": WINE, "rnn": VERMILLION}[model.cell]
        # dashed, so that other networks that learn nothing either show through
        dashes: dict[str, Any] = {"dashes": (3, 3)} if model.cell == "rnn" else {}
        solved = [trial for trial in group if trial.outcome == "solved"]
        for trial in group:
            seen = np.minimum(np.arange(1, len(trial.curve) + 1) * CURVE_STEP, trial.sequences)
            marker = "." if len(seen) == 1 else ""
            axes.plot(seen, trial.curve, color=colour, linewidth=1.1, alpha=0.75, marker=marker, **dashes)
        axes.plot(
            [trial.sequences for trial in solved],
            [trial.curve[-1] for trial in solved],
            linestyle="none",
            marker="o",
            markersize=7,
            color=colour,
            markeredgecolor=BLACK,
            zorder=5,
        )
        axes.plot(
            [], [], color=colour, linewidth=2.4, label=f"{model.label}: solved {len(solved)} of {len(group)}"
        )
    axes.plot(
        [],
        [],
        linestyle="none",
        marker="o",
        markersize=7,
        color="white",
        markeredgecolor=BLACK,
        label="solved: the criterion is met",
    )
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
    decorate(axes)
    return figure
