"""The picture of an experiment: the error or the score of every trial against what it has seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from trendlstm.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, WINE, decorate
from trendlstm.experiments.task import Criterion, Exam
from trendlstm.output.plots.style import DPI, LEGEND, draw_subtitle, draw_title, save

if TYPE_CHECKING:
    from trendlstm.experiments.models import Model
    from trendlstm.experiments.task import Task
    from trendlstm.experiments.trials import Trial


def plot_trials(trials: "Sequence[Trial]", task: "Task", path: str | Path) -> None:
    """Draw the error or score of every trial against the sequences that it has seen, and where it was solved.

    Parameters
    ----------
    trials : sequence of Trial
        From `run_trials`; one colour a model.
    task : Task
        Whose criterion and published figures are drawn too.
    path : str or Path
        The PNG file to create or replace.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one stays as it was.
    """
    save(_trials_figure(trials, task), path)


def _trials_figure(trials: "Sequence[Trial]", task: "Task") -> Figure:
    from trendlstm.experiments.learner import CURVE_STEP
    from trendlstm.output.reproduce import by_model

    groups, criterion = by_model(trials), task.criterion
    figure = Figure(figsize=(1200 / DPI, 700 / DPI), dpi=DPI)
    axes = figure.add_subplot()
    longest = max(trial.sequences for trial in trials)
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY)
    of_lstms = iter(colours)
    for model, group in groups.items():
        colour = next(of_lstms, GREY) if model.is_lstm else {"gru": WINE, "rnn": VERMILLION}[model.cell]
        _draw_model(axes, task, model, group, colour)
    if any(trial.outcome == "solved" for trial in trials):
        axes.plot([], [], **_SOLVED, color="white", label="solved: the criterion is met")
    _draw_limits(axes, task)
    _draw_published(axes, task, longest)
    if isinstance(criterion, Criterion):
        subtitle = f"Error: mean |error| of the last {CURVE_STEP:,} training sequences, each before its step"
        _error_axis(axes)
    else:
        subtitle = f"Score: {criterion.measure}"
        _score_axis(axes, criterion)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(0, 1.02 * longest)
    axes.set_xlabel("training sequences seen", fontsize=12)
    legend = axes.legend(**LEGEND, ncols=2)
    lines = -(-len(legend.get_texts()) // 2)
    left = 0.095 if axes.get_ylim()[1] < 1e6 else 0.115  # the numbers of the axis are wider
    figure.subplots_adjust(left=left, right=0.975, top=0.88 - 0.036 * lines, bottom=0.1)
    draw_title(figure, task.title, y=0.955, x=left)
    draw_subtitle(figure, subtitle, y=0.907)
    decorate(axes)
    return figure


_SOLVED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 7,
    "markeredgecolor": BLACK,
    "zorder": 5,
}


def _draw_model(axes: Axes, task: "Task", model: "Model", group: "Sequence[Trial]", colour: str) -> None:
    """A thin line a trial, and a dot where it was solved."""
    from trendlstm.output.reproduce import curve_points

    # dashed, so that other networks that learn nothing either show through
    dashes: dict[str, Any] = {"dashes": (3, 3)} if model.cell == "rnn" else {}
    points = [curve_points(trial) for trial in group]
    solved = [curve[-1] for trial, curve in zip(group, points, strict=True) if trial.outcome == "solved"]
    for curve in points:
        marker = "." if len(curve) == 1 else ""
        axes.plot(curve[:, 0], curve[:, 1], color=colour, linewidth=1.1, alpha=0.75, marker=marker, **dashes)
    axes.plot([x for x, _ in solved], [y for _, y in solved], **_SOLVED, color=colour)
    is_passed = isinstance(task.criterion, Criterion) or task.criterion.limit is not None
    counted = f"solved {len(solved)} of {len(group)}" if is_passed else f"{len(group)} trials"
    axes.plot([], [], color=colour, linewidth=2.4, label=f"{model.label}: {counted}", **dashes)


def _draw_limits(axes: Axes, task: "Task") -> None:
    """What an error or a score must pass, and the milestones on the way there."""
    from trendlstm.output.reproduce import limit_text

    criterion = task.criterion
    if isinstance(criterion, Criterion):
        limits = {criterion.mean: f"mean |error| must fall below {criterion.mean:g}"}
    else:
        limits = {
            limit: f"milestone: a score {limit_text(criterion, limit)}" for limit in criterion.milestones
        }
        if criterion.limit is not None:
            limits[criterion.limit] = f"solved: a score {limit_text(criterion, criterion.limit)}"
    for limit, text in limits.items():
        if limit < float("inf"):
            is_last = "milestone" not in text
            axes.axhline(
                limit,
                color=BLACK if is_last else GREY,
                linewidth=1,
                dashes=(3, 2) if is_last else (1, 2),
                label=text,
            )


def _draw_published(axes: Axes, task: "Task", longest: int) -> None:
    """Published training sequences until success; a figure beyond the axis is in the legend alone."""
    for published in task.published:
        if published.sequences is None:
            continue
        remembered = ", from memory" if published.is_remembered else ""
        text = f"published{remembered}: {published.network}, solved after {published.sequences:,} sequences"
        if published.sequences <= longest:
            axes.axvline(published.sequences, color=GREY, linewidth=1.6, linestyle=":", label=text)
        else:
            axes.plot([], [], linestyle="none", label=f"({text})")


def _error_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("error, log scale", fontsize=12)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _score_axis(axes: Axes, exam: Exam) -> None:
    """Logarithmic for errors; for counts too, but with a place for 0; straight for shares."""
    scale = ""
    if exam.limit is not None and exam.limit > 1:
        highest = max(np.max(line.get_ydata(), initial=1) for line in axes.lines)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(-0.2, 2 * highest)  # room for a dot on either edge
        scale = ", log scale above 1"
    elif not exam.more_is_better:
        axes.set_yscale("log")
        scale = ", log scale"
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(f"score{scale}", fontsize=12)
