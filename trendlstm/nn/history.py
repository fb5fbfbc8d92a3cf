"""How a fit went: `History`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trendlstm.config import Loss
from trendlstm.errors import DataError, OptionError
from trendlstm.notebook import Table, as_html

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class History:
    """How a fit went. Epochs are counted from 1, as on the command line and in run.json.

    Attributes
    ----------
    loss : ndarray (epochs_run,)
        The network's mean loss over the epoch's minibatches, each before its step (of the mean squared error in the
        targets' units, squared). The k-th epoch's is `loss[k - 1]`.
    validation_loss : ndarray (epochs_run,) or None
        Mean loss of the validation samples after the epoch.
    best_epoch : int
        Whose weights the network now has, 1 ... epochs_run: the one of the lowest validation loss (of equal ones the
        earlier), or the last without validation. 0 if no epoch was finished: the weights are those from before.
    epochs_run : int
        Epochs finished.
    seconds : float
        Wall time.
    stopped : {"epochs", "patience", "interrupted", "not finite"}
        Why it ended; the last two are found in the `histories` of `FitInterrupted` and `TrainingError`.
    learning_rate : ndarray (epochs_run,)
        Of each epoch's last step; but for the warm-up that of all its steps.
    minimised : {"mse", "mae", "huber", "pinball", "gaussian", "cross-entropy"}
        Which loss it is, that of the network.
    """

    loss: NDArray[np.float64]
    validation_loss: NDArray[np.float64] | None
    best_epoch: int
    epochs_run: int
    seconds: float
    stopped: str
    learning_rate: NDArray[np.float64]
    minimised: Loss = "mse"

    def __repr__(self) -> str:
        kept, stopped = "no weights kept", "" if self.stopped == "epochs" else f"; stopped: {self.stopped}"
        if self.best_epoch:
            kept = f"weights of epoch {self.best_epoch} kept, loss {self.loss[self.best_epoch - 1]:.4g}"
            if self.validation_loss is not None:
                kept += f", validation loss {self.validation_loss[self.best_epoch - 1]:.4g}"
        return f"<History: {self.epochs_run} epochs in {self.seconds:.2f} s; {kept}{stopped}>"

    @property
    def table(self) -> "pd.DataFrame":
        """epoch, loss, validation_loss (NaN without validation), learning_rate: one row per epoch."""
        import pandas as pd

        validation = np.nan if self.validation_loss is None else self.validation_loss
        return pd.DataFrame(
            {
                "epoch": np.arange(1, self.epochs_run + 1),
                "loss": self.loss,
                "validation_loss": validation,
                "learning_rate": self.learning_rate,
            }
        )

    def _repr_html_(self) -> str:
        table = self.table.dropna(axis=1, how="all")
        if table["learning_rate"].nunique() == 1:
            table = table.drop(columns="learning_rate")
        return as_html(repr(self).strip("<>"), Table("Losses", table))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw training and validation loss against the epoch, with the epoch whose weights were kept.

        The learning rate is drawn too, on an axis of its own at the right, if it is not the same in all epochs.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into. Default: pyplot's current axes, which a notebook shows below the cell.

        Returns
        -------
        matplotlib.axes.Axes
            With its legend. The scale is logarithmic if the largest loss is ten times the smallest.

        Raises
        ------
        DataError
            No epoch was finished, so that there is nothing to draw.
        OptionError
            `ax` is no Axes.
        """
        if not self.best_epoch:
            raise DataError(
                "No epoch was finished, so there are no losses to plot: fit for an epoch or more."
            )
        from matplotlib.axes import Axes

        from trendlstm.nn.loss_curves import draw_losses

        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.gca()
        elif not isinstance(ax, Axes):
            raise OptionError(
                f"ax must be matplotlib's Axes, such as matplotlib.pyplot.gca(), but is a {type(ax).__name__}."
            )
        draw_losses(ax, [self])
        scale = ax.yaxis.get_transform()
        low, high = scale.transform(ax.get_ylim())
        top = float(scale.inverted().transform(high + 0.4 * (high - low)))  # room for the legend
        ax.set_ylim(top=top)
        ax.legend(loc="upper right", frameon=False)
        return ax
