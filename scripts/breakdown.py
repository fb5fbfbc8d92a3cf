"""Where the time of an epoch goes: the reference model's kernels, each timed alone as often as an epoch calls it.

Times are CPU time, which other processes do not lengthen. What the kernels do between the products and activations of
a pass cannot be called alone: it is the pass less these. What is left of a whole fit's epoch after all parts is
unexplained. How long threads wait for one another is what they count themselves. `python scripts/breakdown.py` prints
it; scripts/bench.py writes it into its results.
"""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest.mock import patch

import numba
import numpy as np
from measuring import BATCH_SIZE, CORES, HIDDEN, REPEATS, SAMPLES, STEPS, flops_per_epoch
from peers import LEARNING_RATE

import trendlstm as tl
from trendlstm.config import FitConfig
from trendlstm.kernels.activations import sigmoid, tanh
from trendlstm.kernels.adam import adam_step
from trendlstm.kernels.buffers import (
    ACCUMULATORS,
    BLOCK,
    CHUNK_ROWS,
    Thread,
    aligned_zeros,
    make_workspace,
    parameter_views,
    rows_together,
)
from trendlstm.kernels.cells import gate_inputs, hidden_gradient, recurrent_weight_gradient
from trendlstm.kernels.chunk import layer_of, layer_transposed, load_chunk, transpose_weights
from trendlstm.kernels.dense import dense_backward, dense_forward, dense_weight_gradient
from trendlstm.kernels.gang import WAITED
from trendlstm.kernels.gradient import accumulate_chunks, add_accumulators
from trendlstm.kernels.pace import start_pace
from trendlstm.kernels.simd import view
from trendlstm.nn.fit_job import FitJob
from trendlstm.nn.training import train

kernel_loop = numba.njit(nogil=True)


@kernel_loop
def recurrent_products(plan, weight, gradients, work, times):
    rows, hidden_size = work.lengths.size, weight.shape[2]
    layer, x_row = layer_of(plan, work, 0), plan.layers[0].x_row
    transposed, _ = layer_transposed(plan, work.transposed, 0)
    for _ in range(times):
        for t in range(plan.steps):
            gate_inputs(layer.gates, t, layer.inputs[t], weight, True)
        for t in range(plan.steps - 1, 0, -1):
            last = layer.gates[plan.n_gates - 1, t]
            hidden_gradient(view(work.dh, 0, (rows, hidden_size)), layer.gates, last, t, transposed)
        for chunk in range(rows // CHUNK_ROWS):
            gradient = view(gradients[chunk], 0, (plan.n_gates, weight.shape[1], hidden_size))
            recurrent_weight_gradient(gradient, layer, x_row, False, chunk, False, True)


@kernel_loop
def dense_products(x, weight, transposed, gradient, out, delta, before, relu, times):
    for _ in range(times):
        dense_forward(x, weight, out, relu)
        dense_backward(out, transposed, delta, before, relu)
        for chunk in range(x.shape[0] // CHUNK_ROWS):
            dense_weight_gradient(x, delta, gradient, x.shape[0], chunk, False)


@kernel_loop
def activations(plan, work, times):
    layer = layer_of(plan, work, 0)
    for _ in range(times):
        for t in range(plan.steps):
            sigmoid(layer.gates[0, t])
            sigmoid(layer.gates[1, t])
            tanh(layer.gates[2, t])
            sigmoid(layer.gates[3, t])
            tanh(layer.squashed[t])


@kernel_loop
def loading(plan, data, order, work, times):
    for _ in range(times):
        for start in range(0, work.lengths.size, CHUNK_ROWS):
            load_chunk(
                plan,
                work,
                data.x,
                data.lengths,
                order,
                np.int64(0),
                CHUNK_ROWS,
                start,
                np.int64(0),
                np.uint64(0),
            )


@kernel_loop
def adding(gradients, times):
    for _ in range(times):
        for block in range(gradients.shape[1] // BLOCK):
            add_accumulators(gradients, gradients.shape[0], block)


@kernel_loop
def adam(theta, gradient, first, second, times):
    for _ in range(times):
        for at in range(0, theta.size, BLOCK):
            adam_step(
                view(theta, at, (BLOCK,)),
                view(gradient, at, (BLOCK,)),
                view(first, at, (BLOCK,)),
                view(second, at, (BLOCK,)),
                np.int64(1),
                LEARNING_RATE,
            )


@kernel_loop
def transposing(plan, theta, work, times):
    for _ in range(times):
        transpose_weights(plan, theta, work)


@kernel_loop
def passes(plan, theta, data, order, gradients, losses, thread, batch_size):
    """All gradients of an epoch."""
    no_states = view(gradients, 0, (0, 0))
    for first in range(0, order.size, batch_size):
        accumulate_chunks(
            plan,
            theta,
            data,
            order,
            first,
            batch_size,
            np.int64(0),
            np.uint64(0),
            no_states,
            gradients,
            losses,
            thread,
        )


def milliseconds(call: Callable[..., Any], *arguments: Any) -> float:
    """The median time of a call, once it is compiled."""
    call(*arguments)
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        call(*arguments)
        seconds.append(time.process_time() - start)
    return 1e3 * median(seconds)


def make_job(steps: int, epochs: int) -> FitJob:
    """A fit of the reference model."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((SAMPLES, steps, 1)).astype(np.float32)
    y = generator.standard_normal((SAMPLES, 1)).astype(np.float32)
    network = tl.Network(hidden_size=HIDDEN)
    return network.fit_job(x, y, FitConfig(epochs=epochs, batch_size=BATCH_SIZE))


def waiting_percent(job: FitJob, threads: int) -> float:
    """How much of the threads' time passes in waiting for one another."""

    def keep_pace(*_: int) -> np.ndarray:
        pace = start_pace(threads, threads)
        pace["most"], pace["started"] = (
            1,
            1,
        )  # so no other number of threads is tried, which resets the counter
        return pace

    shares = []
    with patch("trendlstm.nn.training.start_pace", keep_pace):
        for _ in range(REPEATS):
            train([job], threads)
            shares.append(job.counters[WAITED] / (1e7 * threads * job.seconds))
    return float(median(shares))


def product_time(job: FitJob, work: Any, gradients: np.ndarray, times: int) -> float:
    """Milliseconds of all matrix products, with the dense layers' biases and ReLU."""
    recurrent, *dense = parameter_views(job.plan, job.theta)
    total = milliseconds(recurrent_products, job.plan, recurrent, gradients, work, times)
    rows = work.lengths.size
    for layer, weight in enumerate(dense):
        n_in, n_out = weight.shape[0] - 1, weight.shape[1]
        shapes = ((n_out, n_in), weight.shape, (rows, n_out), (rows, n_out), (rows, n_in))
        arrays = [aligned_zeros(shape, weight.dtype) for shape in shapes]
        x = aligned_zeros((rows, n_in), weight.dtype)
        total += milliseconds(dense_products, x, weight, *arrays, layer < len(dense) - 1, times)
    return total


def break_down(steps: int, peak: float) -> dict[str, Any]:
    """Milliseconds of an epoch's parts on one thread, the products' share of `peak`, and waiting on all threads.

    `peak` is one core's, in multiplications and additions a second.
    """
    job = make_job(steps, 1)
    plan, theta, data = job.plan, job.theta, job.train
    rows = rows_together(plan, theta.dtype, job.chunks)
    work = make_workspace(plan, theta.dtype, rows)
    gradients = aligned_zeros((min(ACCUMULATORS, job.chunks), theta.size), theta.dtype)
    order, losses = np.arange(SAMPLES), np.zeros(len(gradients))
    minibatches, times = SAMPLES // BATCH_SIZE, SAMPLES // rows
    first, second = (aligned_zeros(theta.size, theta.dtype) for _ in range(2))

    transposed = milliseconds(transposing, plan, theta, work, minibatches)
    gradient = milliseconds(
        passes, plan, theta, data, order, gradients, losses, Thread(0, 1, work), BATCH_SIZE
    )
    parts = {
        "products": product_time(job, work, gradients, times),
        "activations": milliseconds(activations, plan, work, times),
        "loading": milliseconds(loading, plan, data, order, work, times),
    }
    parts["other"] = gradient - sum(parts.values())
    parts["gradient_sums"] = milliseconds(adding, gradients, minibatches)
    parts["adam"] = milliseconds(adam, theta, gradients[0], first, second, minibatches)
    parts["transposes"] = transposed
    fit = make_job(steps, epochs=1200 // steps)
    ms = milliseconds(train, [fit], 1) / fit.config.epochs
    parts["unexplained"] = ms - sum(parts.values())
    return {
        "T": steps,
        "ms": ms,
        "parts": parts,
        "products_percent_of_peak": 1e5 * flops_per_epoch(steps) / parts["products"] / peak,
        "waiting_percent": waiting_percent(fit, min(CORES, job.chunks)),
    }


if __name__ == "__main__":
    from bench import peak_flops

    for steps in STEPS:
        print(json.dumps(break_down(steps, peak_flops(1))))
