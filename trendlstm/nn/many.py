"""Several networks at once: their fits, and the recursion of their mean prediction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trendlstm.config import Device, DType, FitConfig, Optimizer, Schedule
from trendlstm.errors import OptionError
from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import CHUNK_ROWS
from trendlstm.kernels.cache import note_compiled
from trendlstm.kernels.predict import Inputs, recurse_worker
from trendlstm.nn.fit_job import FitJob
from trendlstm.nn.history import History
from trendlstm.nn.network import Network
from trendlstm.nn.progress import Report, reporter
from trendlstm.nn.samples import Pair
from trendlstm.nn.training import train, train_here


def fit_many(
    networks: Sequence[Network],
    xs: np.ndarray | Sequence[ArrayLike],
    ys: np.ndarray | Sequence[ArrayLike],
    *,
    epochs: int = FitConfig.epochs,
    batch_size: int = FitConfig.batch_size,
    learning_rate: float = FitConfig.learning_rate,
    validation: Pair | Sequence[Pair | None] | None = None,
    patience: int | None = FitConfig.patience,
    clip_norm: float | None = FitConfig.clip_norm,
    weight_decay: float = FitConfig.weight_decay,
    shuffle: bool = FitConfig.shuffle,
    seed: int | None = FitConfig.seed,
    truncate: int | None = FitConfig.truncate,
    optimizer: Optimizer = FitConfig.optimizer,
    momentum: float | None = FitConfig.momentum,
    schedule: Schedule = FitConfig.schedule,
    warmup: int = FitConfig.warmup,
    step_epochs: int | None = FitConfig.step_epochs,
    plateau_patience: int | None = FitConfig.plateau_patience,
    schedule_factor: float | None = FitConfig.schedule_factor,
    n_threads: int | None = None,
    device: Device = "cpu",
    progress: bool | Report | None = None,
) -> list[History]:
    """Train many networks, one to a thread (or to a multiprocessor of the GPU) at a time.

    Each gets the bits that `Network.fit` would give it alone on the same device.

    Parameters
    ----------
    networks : sequence of Network
        Modified. Each may have its own shape.
    xs, ys : sequence of arrays, or one array for all
        Inputs (N, T, F) and targets, (N, m) or (N, T, m), of each network; a single array is shared.
    validation : pair, sequence of pairs or None, optional
        One for all or one each.
    epochs, batch_size, learning_rate, patience, clip_norm, weight_decay, shuffle, seed, truncate
        As in `Network.fit`, the same for all. `seed`: by default each network's own.
    optimizer, momentum, schedule, warmup, step_epochs, plateau_patience, schedule_factor
        As in `Network.fit`, the same for all.
    n_threads, device, progress
        As in `Network.fit`; progress is told of all fits together.

    Returns
    -------
    list of History
        In the order of `networks`.

    Raises
    ------
    As `Network.fit`. If a fit fails or is interrupted, the others keep their best weights so far.
    """
    config = FitConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        clip_norm=clip_norm,
        weight_decay=weight_decay,
        shuffle=shuffle,
        seed=seed,
        truncate=truncate,
        optimizer=optimizer,
        momentum=momentum,
        schedule=schedule,
        warmup=warmup,
        step_epochs=step_epochs,
        plateau_patience=plateau_patience,
        schedule_factor=schedule_factor,
    )
    if isinstance(networks, Network):
        raise OptionError("networks must be a sequence: put a single network into a list, or call its fit.")
    count = len(networks)
    inputs, targets = (_one_each(name, value, count) for name, value in (("xs", xs), ("ys", ys)))
    shared = validation is None or _is_pair(validation)
    pairs = [validation] * count if shared else _one_each("validation", validation, count)
    jobs = [
        network.fit_job(x, y, config, validation=pair)
        for network, x, y, pair in zip(networks, inputs, targets, pairs, strict=True)
    ]
    with reporter(progress) as report:
        return train(jobs, n_threads, device, report)


def _is_pair(value: object) -> bool:
    """Whether `value` is (x, y) itself, not a sequence of such pairs."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(part, np.ndarray) for part in value)
    )


def _one_each(name: str, values: Any, count: int) -> Sequence[Any]:
    if isinstance(values, np.ndarray):
        return [values] * count
    if len(values) != count:
        raise OptionError(
            f"{name} must hold one entry for each of the {count} networks, but holds {len(values)}."
        )
    return values


def recurse(networks: Sequence[Network], history: np.ndarray, steps: int, relative: bool) -> np.ndarray:
    """Feed predictions back as if they had been observed, all steps in one compiled call.

    Parameters
    ----------
    networks : sequence of Network
        One feature, one target, equal shapes; their point forecasts are averaged.
    history : ndarray (n, T), float64
        The last T values before the first step. Not modified.
    steps : int
    relative : bool
        The networks see each window less its last value, and predict the next value less that.

    Returns
    -------
    ndarray (n, steps), float64
    """
    network, (n, lag) = networks[0], history.shape
    plan, dtype = network.plan(lag), network.dtype
    rows = 1 if n == 1 else CHUNK_ROWS
    path = np.concatenate([history, np.empty((n, steps))], axis=1)
    thetas = buffers.aligned_zeros((len(networks), network.theta.size), dtype)
    thetas[:] = [each.theta for each in networks]
    x = np.empty((rows, plan.steps, plan.features), dtype)
    inputs = Inputs(x, np.full(rows, plan.steps), np.arange(rows), np.empty((0, 0), dtype), np.uint64(0))
    work = buffers.make_workspace(plan, dtype, rows, backward=False)
    recurse_worker(plan, thetas, path, steps, relative, inputs, work)
    return path[:, lag:]


def compile_kernels(dtype: DType = "float32") -> None:
    """Compile what fits and predictions need, or load it from the cache, on this thread.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    train_here(smallest_job(dtype))
    compile_predictions(dtype)
    note_compiled(dtype)


def compile_predictions(dtype: DType) -> None:
    """Compile what predictions need, or load it from the cache, on this thread."""
    network = Network(hidden_size=1, dense=(), dtype=dtype)
    x = np.zeros((1, 1, 1))
    network.predict(x)
    recurse([network], x[:, :, 0], 1, relative=True)


def smallest_job(dtype: DType) -> FitJob:
    """A fit that takes no time, with all that fits of this dtype compile."""
    x, y = np.zeros((1, 1, 1)), np.zeros((1, 1))
    network = Network(hidden_size=1, dense=(), dtype=dtype)
    return network.fit_job(x, y, FitConfig(epochs=1), validation=(x, y))
