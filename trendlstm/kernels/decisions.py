"""What a training decides: which epoch's weights it keeps, and when it ends. Compiled for the CPU and for the GPU.

When it has come to a plateau is decided on the CPU only.

A training's `progress` is one record; `options` are its settings, a NamedTuple on the CPU and a record on the GPU.
"""

import numpy as np

from .buffers import record
from .compile import inlined

# Why a training ended, `progress.outcome`. UNFINISHED also if it was stopped; USED_UP: a stream needs more sequences.
UNFINISHED, ALL_EPOCHS, PATIENCE, NOT_FINITE, SOLVED, USED_UP = range(6)


FIT_FIELDS = {
    "outcome": np.int64,
    "epoch": np.int64,  # epochs finished
    "best_epoch": np.int64,  # whose weights are kept, from 1; 0: the initial ones
    "best_before": np.int64,  # what `best_epoch` was before
    "since_best": np.int64,  # epochs
    "step": np.int64,  # of the optimiser
    "best_loss": np.float64,  # validation loss of `best_epoch`
    "lowest_loss": np.float64,  # that a plateau is measured by: of the validation if there is one, or of the training
    "since_lowest": np.int64,  # epochs, also since the rate was reduced
}
STREAM_FIELDS = {
    "outcome": np.int64,
    "seen": np.int64,  # sequences
    "correct": np.int64,  # of these the last so many
    "step": np.int64,  # of Adam
}
FIT_PROGRESS = record(**FIT_FIELDS)
STREAM_PROGRESS = record(**STREAM_FIELDS)


def start_fits(count: int, dtype: np.dtype = FIT_PROGRESS) -> np.ndarray:
    """The records (count,) of fits that have not begun."""
    progress = np.zeros(count, dtype)
    progress["best_loss"] = np.inf
    progress["lowest_loss"] = np.inf
    return progress


@inlined
def kept_weights_failed(first, is_validated):
    """Whether a loss that is not finite is that of the kept weights; `first` is the minibatch's place in its epoch.

    Without validation the last epoch's weights are kept, and the next epoch's first minibatch is their first test.
    """
    return first == 0 and not is_validated


@inlined
def is_best(progress, validation_loss, is_validated):
    """Whether an epoch's weights are kept: with validation, if their loss is lower than that of all epochs before."""
    return not is_validated or validation_loss < progress.best_loss


@inlined
def end_epoch(progress, options, validation_loss, best):
    """Count an epoch, `best` as `is_best` says, and end the fit after the last one or when patience is exhausted."""
    progress.epoch += 1
    if best:
        progress.best_before = progress.best_epoch
        progress.best_epoch = progress.epoch
        progress.best_loss = validation_loss
        progress.since_best = 0
    else:
        progress.since_best += 1
    if 0 < options.patience <= progress.since_best:
        progress.outcome = PATIENCE
    elif progress.epoch == options.epochs:
        progress.outcome = ALL_EPOCHS


@inlined
def is_plateau(progress, options, loss):
    """Whether the rate is reduced after the epoch that `end_epoch` has counted: the loss has not fallen for too long.

    That is for options.plateau_patience epochs in a row; then they are counted anew. The warm-up's do not count.
    """
    if progress.epoch <= options.warmup:
        return False
    progress.since_lowest += 1
    if loss < progress.lowest_loss:
        progress.lowest_loss = loss
        progress.since_lowest = 0
    if progress.since_lowest < options.plateau_patience:
        return False
    progress.since_lowest = 0
    return True


@inlined
def judge_sequence(progress, options, recent, error, is_correct):
    """Count one sequence of a stream, and end the training if it has succeeded.

    `error` is its mean |error|, `recent` (run,) the ring of the last ones. It has succeeded when `run` sequences in a
    row were correct and the mean of their errors is below options.mean_error.
    """
    recent[progress.seen % recent.size] = error
    progress.seen += 1
    progress.correct = progress.correct + 1 if is_correct else 0
    if progress.correct >= recent.size:
        total = 0.0
        for place in range(recent.size):
            total += recent[place]
        if total / recent.size < options.mean_error:
            progress.outcome = SOLVED
