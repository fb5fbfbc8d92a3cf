"""`FitJob`: one fit as plain arrays, for whatever trains it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trendlstm.config import FitConfig, NetworkConfig
from trendlstm.kernels import buffers, decisions
from trendlstm.kernels.buffers import Data, Plan
from trendlstm.kernels.fit import FitOptions
from trendlstm.kernels.gang import ABANDONED, ASKED, COUNTERS, STOP
from trendlstm.nn.history import History
from trendlstm.nn.schedules import learning_rates

_STOPPED = {
    decisions.ALL_EPOCHS: "epochs",
    decisions.PATIENCE: "patience",
    decisions.UNFINISHED: "interrupted",
    decisions.NOT_FINITE: "not finite",
}


@dataclass(eq=False)
class FitJob:
    """One fit: what is trained, on which samples and how, and what has come of it so far.

    Settings and arrays alone, so that it can be pickled and trained by another process. `Network.fit_job` makes it,
    `training.train` trains it: on threads that share its arrays, or on a GPU, which is given copies.

    Attributes
    ----------
    network : NetworkConfig
    config : FitConfig
    plan : Plan
        The network's shape, as the kernels see it.
    theta : ndarray (P,)
        The weights, in the layout of `buffers.parameter_views`: the initial ones, and once the job has ended those that
        are kept: of the best epoch, or the last without validation. `Network.fit_job` gives the network's own array: to
        train the job is to train the network.
    train, validation : Data
        Not modified; no samples for no validation.
    repeated : ndarray (epochs,), float64, optional
        The learning rates of an earlier fit: this one runs for so many epochs with them, whatever its schedule.
    learning_rate : ndarray (epochs,), float64
        Of each epoch's last step; a plateau changes those of the epochs that are left.
    loss, validation_loss : ndarray (epochs,), float64
        Of each epoch; NaN where there is none (yet).
    progress : ndarray (threads,) of records
        How far the fit has come and why it ended, see `kernels.decisions`; all threads' are equal.
    counters : ndarray, int64
        How its threads meet and are stopped, see `kernels.gang`.
    seconds : float
        Wall time of the fit.
    """

    network: NetworkConfig
    config: FitConfig
    plan: Plan
    theta: np.ndarray
    train: Data
    validation: Data
    repeated: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self._rates = learning_rates(self.config) if self.repeated is None else self.repeated
        self.loss, self.validation_loss, self.learning_rate = np.empty((3, self._rates.size))
        self.counters = np.empty(COUNTERS, np.int64)
        self.begin()

    @property
    def epochs(self) -> int:
        """How many it runs, if nothing ends it before."""
        return self._rates.size

    @property
    def chunks(self) -> int:
        """Into how many chunks a minibatch is cut: more threads have nothing to do.

        They could share the optimizer's step, but one core writes a large network's gradient and another reads it: with
        a million weights or more, one minibatch on two threads took a tenth longer than on one.
        """
        return -(-min(self.config.batch_size, self.train.x.shape[0]) // buffers.CHUNK_ROWS)

    @property
    def options(self) -> FitOptions:
        """The settings, as the kernels see them."""
        config = self.config
        return FitOptions(
            epochs=self.epochs,
            batch_size=config.batch_size,
            learning_rate=float(config.learning_rate),
            clip_norm=float(config.clip_norm or 0.0),
            weight_decay=float(config.weight_decay),
            patience=config.patience or 0,
            shuffle=config.shuffle,
            seed=self.network.seed if config.seed is None else config.seed,
            sgd=config.optimizer == "sgd",
            momentum=float(config.momentum or 0.0),
            warmup=config.warmup,
            plateau_patience=(self.repeated is None and config.plateau_patience) or 0,
            schedule_factor=float(config.schedule_factor or 0.0),
        )

    def decays(self) -> NDArray[np.floating]:
        """Which parameters decay, (P,): 1 for weights, also those of padding, which are 0 and stay so; 0 for biases."""
        decays = buffers.aligned_zeros(self.theta.size, self.theta.dtype)
        layers, blocks = self.plan.layers, buffers.parameter_views(self.plan, decays)
        for layer, block in zip(layers, blocks, strict=False):
            block[:, : layer.input_rows - self.plan.bias] = 1
            if self.plan.has_reset_gate and self.plan.bias:
                block[:, layer.x_row - 1] = 0
        for block in blocks[len(layers) :]:
            block[:-1] = 1
        return decays

    def begin(self, threads: int = 1) -> None:
        """Forget how far it has come, before so many threads train it together from `theta` on."""
        self.loss[:] = self.validation_loss[:] = np.nan
        self.learning_rate[:] = self._rates
        self.progress = decisions.start_fits(threads)
        self.counters[:] = 0
        self.seconds = 0.0

    def stop(self) -> None:
        """Ask the threads that train it to end after this minibatch."""
        self.counters[STOP] = ASKED

    def abandon(self) -> None:
        """As `stop`, when some of the threads that it waits for do not come."""
        self.counters[STOP] = ABANDONED

    def is_stopped(self) -> bool:
        """Whether it was asked to end."""
        return bool(self.counters[STOP])

    def is_broken(self) -> bool:
        """Whether a loss or weight was not finite."""
        return bool(self.progress["outcome"][0] == decisions.NOT_FINITE)

    def epochs_run(self) -> int:
        """How many epochs are finished."""
        return int(self.progress["epoch"][0])

    def history(self) -> History:
        """How it has gone so far."""
        epochs_run = self.epochs_run()
        validated = self.validation.x.shape[0] > 0
        return History(
            loss=self.loss[:epochs_run].copy(),
            validation_loss=self.validation_loss[:epochs_run].copy() if validated else None,
            best_epoch=int(self.progress["best_epoch"][0]),
            epochs_run=epochs_run,
            seconds=self.seconds,
            stopped=_STOPPED[int(self.progress["outcome"][0])],
            learning_rate=self.learning_rate[:epochs_run].copy(),
            minimised=self.network.loss,
        )
