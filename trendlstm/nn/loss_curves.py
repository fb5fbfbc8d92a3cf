"""Training and validation losses against the epoch, drawn for one fit or for an ensemble."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from trendlstm.config import LOSS_NAMES, Loss
from trendlstm.drawing import BLACK, BLUE, GREY, VERMILLION, decorate, epoch_numbers, marker


class Losses(Protocol):
    """What is drawn of a `History`, which imports this module."""

    @property
    def loss(self) -> NDArray[np.float64]:
        """Of each epoch, in training."""

    @property
    def validation_loss(self) -> NDArray[np.float64] | None:
        """After each epoch."""

    @property
    def best_epoch(self) -> int:
        """Whose weights were kept."""

    @property
    def learning_rate(self) -> NDArray[np.float64]:
        """Of each epoch."""

    @property
    def minimised(self) -> Loss:
        """Which loss it is."""


def draw_losses(axes: Axes, histories: Sequence[Losses]) -> None:
    """Draw losses and mark the epochs whose weights were kept; the caller adds the legend.

    A learning rate that is not the same in all epochs is drawn on an axis of its own at the right.

    Parameters
    ----------
    axes : Axes
        What to draw into.
    histories : sequence of History
        Of one fit, or of every network of an ensemble: then thin lines, and their mean as far as all of them
        run. Each has at least one epoch.
    """
    ensemble = len(histories) > 1
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
                axes.plot(epoch_numbers(loss), loss, color=colour, linewidth=0.8, alpha=0.45)
            shortest = min(map(len, losses))
            label += f", mean of {len(losses)} networks"
            if shortest < max(map(len, losses)):
                label += " (while all of them run)"
            curve = np.mean([loss[:shortest] for loss in losses], axis=0)
        axes.plot(epoch_numbers(curve), curve, color=colour, linewidth=2.2, marker=marker(curve), label=label)
    if ensemble:
        axes.plot([], [], color=GREY, linewidth=0.8, label="each network")

    epochs = [one.best_epoch for one in histories]
    kept = [loss[epoch - 1] for loss, epoch in zip(curves[-1][2], epochs, strict=True)]
    which = "weights kept" if ensemble else f"weights kept: epoch {epochs[0]}"
    reason = "lowest validation loss" if validated else "the last: no validation"
    axes.plot(
        epochs,
        kept,
        linestyle="none",
        marker="o",
        markersize=7 if ensemble else 11,
        markerfacecolor="none",
        markeredgecolor=BLACK,
        markeredgewidth=1.6,
        zorder=5,
        label=f"{which} ({reason})",
    )

    if any(np.ptp(one.learning_rate) > 0 for one in histories):
        _draw_rates(axes, [one.learning_rate for one in histories])
    values = np.concatenate([loss for _, _, losses in curves for loss in losses])
    minimised = histories[0].minimised
    loss_name = LOSS_NAMES[minimised] + ("" if minimised == "cross-entropy" else " of the scaled target")
    axes.set_ylabel(loss_name, fontsize=12)
    if 0 < 10 * values.min() < values.max():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel(f"{loss_name}, log scale", fontsize=12)
    axes.set_xlabel("epoch", fontsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    longest = max(len(one.loss) for one in histories)
    margin = max(0.5, 0.02 * longest)
    axes.set_xlim(1 - margin, longest + margin)
    decorate(axes)


def _draw_rates(axes: Axes, rates: Sequence[NDArray[np.float64]]) -> None:
    """Draw the learning rates on an axis at the right, behind the losses, with an entry in their legend."""
    right = axes.twinx()
    style: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": (0, (4, 2))}
    for rate in rates:
        right.plot(epoch_numbers(rate), rate, **style)
    right.set_ylim(0, 1.6 * max(map(np.max, rates)))  # below a legend within the axes
    right.set_ylabel("learning rate", fontsize=12, color=GREY)
    right.tick_params(colors=GREY)
    right.spines[["top", "left"]].set_visible(False)
    axes.plot([], [], label="learning rate (right)", **style)
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)  # or it would hide the axis behind it
