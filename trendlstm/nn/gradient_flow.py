"""How far back a network's gradient reaches: the norms of gradients and of state Jacobians, lag by lag."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trendlstm.errors import DataError, OptionError
from trendlstm.kernels import buffers
from trendlstm.kernels.cache import note_compiled
from trendlstm.kernels.gradient_flow import Batch, JacobianNorms, LossGradients, bptt_by_lag, jacobian_norms
from trendlstm.nn.network import Network
from trendlstm.nn.queue import run_queue
from trendlstm.nn.threads import thread_count
from trendlstm.notebook import Table, as_html

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

# Samples that one compiled call takes: after it a thread looks whether it is to stop.
_BLOCK = 8 * buffers.CHUNK_ROWS
_JACOBIAN_COST = 60  # the work of one sample's Jacobians over that of its gradients, roughly


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow:
    """Norms at lag k = 0 ... T-1, that is at step T-k, in the top recurrent layer; the loss is measured after step T.

    Of each sample's own loss, the mean over its targets, so that no figure depends on the number of
    samples. `half_life`, `kept_per_step` and `ratio` sum up each of them.

    Attributes
    ----------
    dloss_dh : ndarray (T,)
        |dL/dh_{T-k}|, the mean over samples.
    dloss_dc : ndarray (T,) or None
        |dL/dc_{T-k}| likewise, the way through h of the same step included; None for a cell without c.
    weight_terms : ndarray (T,)
        Frobenius norm of the k-th term of dL/dW_hh = sum over k of dL/dz_{T-k} h_{T-k-1}^T, each term averaged over
        samples before its norm is taken. The last is 0, for h_0 = 0.
    dh_dh : ndarray (T,) or None
        Spectral norm of dh_T/dh_{T-k}, the product of Jacobians, the mean over samples; for LSTMs the block of
        d(h, c)_T / d(h, c)_{T-k}, h and c taken as independent. 1 at k = 0. None if it was not asked for.
    dc_dc : ndarray (T,) or None
        Spectral norm of the other diagonal block, dc_T/dc_{T-k}, likewise.
    """

    dloss_dh: FloatArray
    dloss_dc: FloatArray | None
    weight_terms: FloatArray
    dh_dh: FloatArray | None
    dc_dc: FloatArray | None

    def to_dict(self) -> dict[str, Any]:
        """Each quantity by name: its `values`, `half_life`, `kept_per_step` and `ratio`, or None; fit for JSON."""
        return {name: _summary(getattr(self, name)) for name in QUANTITIES}

    @property
    def table(self) -> "pd.DataFrame":
        """lag, and every quantity that was measured: one row per lag."""
        import pandas as pd

        return pd.DataFrame({"lag": np.arange(len(self.dloss_dh)), **self._measured()})

    def __repr__(self) -> str:
        return f"<GradientFlow: {', '.join(self._measured())} at lags 0 ... {len(self.dloss_dh) - 1}>"

    def _repr_html_(self) -> str:
        import pandas as pd

        summaries = (half_life, kept_per_step, ratio)
        summed_up = pd.DataFrame(
            [
                {"quantity": name, **{summary.__name__: summary(values) for summary in summaries}}
                for name, values in self._measured().items()
            ]
        )
        return as_html("Gradient flow", Table("Summed up", summed_up), Table("Norms at each lag", self.table))

    def _measured(self) -> dict[str, FloatArray]:
        return {name: values for name in QUANTITIES if (values := getattr(self, name)) is not None}


QUANTITIES = tuple(field.name for field in fields(GradientFlow))


def half_life(values: FloatArray) -> int | None:
    """The first lag at which `values` (T,) is below half of its value at lag 0; None if it never is.

    Of |dL/dh| it is 1 for almost every LSTM, however long its memory: the head reads h_T itself, but h_{T-1} only moves
    the gates of one more step, while what lasts goes through c. `kept_per_step` leaves that first step out.
    """
    below = np.flatnonzero(values < 0.5 * values[0])
    return int(below[0]) if len(below) else None


def kept_per_step(values: FloatArray) -> float | None:
    """What one step back keeps of `values` (T,), on average from lag 1 to the longest: the rate of decay.

    The geometric mean of value k + 1 over value k, (v_{T-1} / v_1)^(1 / (T-2)): 0.5 halves at every step, 1 keeps all,
    more grows. Of |dL/dc| in one unit whose gates do not look at h it is the geometric mean of the forget gate.

    Parameters
    ----------
    values : ndarray (T,)
        Of one quantity of a `GradientFlow`.

    Returns
    -------
    float or None
        None for fewer than three lags and where the value at lag 1 is 0.
    """
    steps = len(values) - 2
    if steps < 1 or values[1] == 0:
        return None
    return float((values[-1] / values[1]) ** (1 / steps))


def ratio(values: FloatArray) -> float | None:
    """The value at the longest lag over that at lag 0; None if that is 0."""
    return float(values[-1] / values[0]) if values[0] > 0 else None


def gradient_flow(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    jacobian_samples: int | None = None,
    n_threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> GradientFlow:
    """Measure, exactly and in float64, what back-propagation through time carries to every step.

    Parameters
    ----------
    network : Network
        Of a recurrent cell; not modified. A float32 network's weights are taken as they are.
    x : array_like (N, T, F)
        Inputs.
    y : array_like (N, m)
        Targets.
    jacobian_samples : int, optional
        The samples, evenly spaced, whose Jacobian products are formed: by far the largest part of the work. Default:
        all; 0 for none.
    n_threads : int, optional
        Default: all cores that the process may use. The result does not depend on it.
    progress : callable, optional
        Told on this thread, now and then, the share that is done, 0 ... 1.

    Returns
    -------
    GradientFlow

    Raises
    ------
    OptionError
        The cell is feed-forward, or `jacobian_samples` is negative.
    DataError
        An array has the wrong shape or holds a value that is not finite.
    """
    (flow,) = gradient_flows([network], x, y, [jacobian_samples], n_threads=n_threads, progress=progress)
    return flow


def gradient_flows(
    networks: Sequence[Network],
    x: ArrayLike,
    y: ArrayLike,
    jacobian_samples: Sequence[int | None],
    *,
    n_threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[GradientFlow]:
    """As `gradient_flow`, for many networks on the same samples; `jacobian_samples` has an entry for each."""
    jobs = [
        _Measurement(network, x, y, samples)
        for network, samples in zip(networks, jacobian_samples, strict=True)
    ]
    # the longest first, so that no thread is left with one at the end
    tasks = [task for job in jobs for task in job.jacobian_tasks()] + [job.loss_task() for job in jobs]
    total, done = sum(job.cost for job in jobs), 0
    counting, stopped = threading.Lock(), threading.Event()

    def run(task: Iterator[int]) -> None:
        nonlocal done
        for cost in task:
            with counting:
                done += cost
            if stopped.is_set():
                return

    def report() -> None:
        if progress is not None:
            progress(done / total)

    run_queue([partial(run, task) for task in tasks], thread_count(n_threads), report, stopped.set)
    note_compiled("gradients")
    report()
    return [job.result() for job in jobs]


def compile_kernels() -> None:
    """Compile what `gradient_flow` needs, or load it from the cache."""
    gradient_flow(Network(hidden_size=1, dense=(), dtype="float64"), np.zeros((1, 1, 1)), np.zeros((1, 1)))


def weight_gradient_terms(network: Network, x: ArrayLike, y: ArrayLike) -> FloatArray:
    """The terms whose norms are `GradientFlow.weight_terms`.

    Parameters
    ----------
    network, x, y
        As in `gradient_flow`.

    Returns
    -------
    ndarray (T, gates * H, H)
        Term k is the mean over samples of dL/dz_{T-k} h_{T-k-1}^T. Their sum is the gradient of the
        top layer's weight_hh that `Network.loss_and_gradients` gives. Of the GRU's candidate dL/dz is that of
        q = W_hn h + b_hn.
    """
    job = _Measurement(network, x, y, 0)
    terms = job.new_terms()
    for _ in job.losses(terms):
        pass
    return job.mean_terms(terms)


class _Measurement:
    """One network: its samples, the tasks that fill in the norms, and the norms."""

    def __init__(self, network: Network, x: ArrayLike, y: ArrayLike, jacobian_samples: int | None) -> None:
        if network.config.cell == "ann":
            raise OptionError("the gradient flow through time needs a recurrent cell, but the cell is 'ann'.")
        if jacobian_samples is not None and jacobian_samples < 0:
            raise OptionError(f"jacobian_samples must be 0 or more, but is {jacobian_samples}.")
        self.network = network
        if network.config.dtype != "float64":
            self.network = Network.from_config(replace(network.config, dtype="float64"))
            self.network.load_state_dict(network.state_dict())
        self.plan, self.data = self.network.samples(x, y)
        if self.plan.steps_seen > 1:
            raise DataError(
                "y must have shape (N, m): the gradient flow is that of a loss after the last step."
            )
        n, steps = self.data.x.shape[:2]
        count = n if jacobian_samples is None else min(jacobian_samples, n)
        self.jacobian_order = np.linspace(0, n - 1, count).round().astype(np.int64)
        self.norms_h, self.norms_c = np.zeros((n, steps)), np.zeros((n, steps))
        self.jacobian_norms = JacobianNorms(np.zeros((count, steps)), np.zeros((count, steps)))
        self.cost = n + _JACOBIAN_COST * count

    def loss_task(self) -> Iterator[int]:
        """Fill norms_h and norms_c and set `term_norms`; yields the number of samples done now and then."""
        terms = self.new_terms()
        yield from self.losses(terms)
        self.term_norms = _norms(self.mean_terms(terms))

    def new_terms(self) -> FloatArray:
        """What `losses` adds the terms of dL/dW_hh to."""
        plan, width = self.plan, int(self.plan.widths[0])
        return buffers.aligned_zeros((plan.steps, plan.n_gates, width, width), np.float64)

    def losses(self, terms: FloatArray) -> Iterator[int]:
        plan, theta, n = self.plan, self.network.theta, self.data.x.shape[0]
        work = buffers.make_workspace(plan, np.dtype(np.float64))
        order, gradients = np.arange(n), LossGradients(self.norms_h, self.norms_c, terms)
        for first in range(0, n, _BLOCK):
            batch = Batch(order, first, min(first + _BLOCK, n))
            bptt_by_lag(plan, theta, self.data, batch, work, gradients)
            yield batch.stop - first

    def mean_terms(self, terms: FloatArray) -> FloatArray:
        """The mean over samples, without padding, as (T, gates * H, H)."""
        hidden = self.network.config.hidden_sizes[-1]
        real = terms[:, :, :hidden, :hidden].swapaxes(2, 3)
        return real.reshape(self.plan.steps, -1, hidden) / self.data.x.shape[0]

    def jacobian_tasks(self) -> list[Iterator[int]]:
        """One task for every chunk of samples; together they fill `jacobian_norms`."""
        return [
            self._jacobian_task(first) for first in range(0, len(self.jacobian_order), buffers.CHUNK_ROWS)
        ]

    def _jacobian_task(self, first: int) -> Iterator[int]:
        stop = min(first + buffers.CHUNK_ROWS, len(self.jacobian_order))
        batch = Batch(self.jacobian_order, first, stop)
        work = buffers.make_workspace(self.plan, np.dtype(np.float64))
        jacobian_norms(self.plan, self.network.theta, self.data, batch, work, self.jacobian_norms)
        yield _JACOBIAN_COST * (stop - first)

    def result(self) -> GradientFlow:
        has_cell_state, has_jacobians = self.plan.has_cell_state, len(self.jacobian_order) > 0
        return GradientFlow(
            dloss_dh=self.norms_h.mean(axis=0),
            dloss_dc=self.norms_c.mean(axis=0) if has_cell_state else None,
            weight_terms=self.term_norms,
            dh_dh=self.jacobian_norms.hh.mean(axis=0) if has_jacobians else None,
            dc_dc=self.jacobian_norms.cc.mean(axis=0) if has_jacobians and has_cell_state else None,
        )


def _norms(terms: FloatArray) -> FloatArray:
    """The Frobenius norm of every term."""
    scale = np.abs(terms).max(axis=(1, 2), keepdims=True)
    scale[scale == 0] = 1.0
    # scaled, because the square of 1e-170 is 0
    return scale[:, 0, 0] * np.linalg.norm(terms / scale, axis=(1, 2))


def _summary(values: FloatArray | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        "values": values.tolist(),
        "half_life": half_life(values),
        "kept_per_step": kept_per_step(values),
        "ratio": ratio(values),
    }
