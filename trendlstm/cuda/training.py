"""The kernel that trains: a block takes one network after the other, and goes through its chunks of samples.

What goes on between launches lies in global memory, so that a launch can stop after any chunk of samples and the next
one go on: the result is the same bits for launches of any length.
"""

from typing import Any, NamedTuple

import numpy as np

from ..kernels.buffers import CHUNK_ROWS
from ..kernels.decisions import UNFINISHED
from .adam import adam_step, clip, squared_norm
from .buffers import Shared, Spec, Workspace
from .chunk import (
    advance,
    ends_minibatch,
    is_training,
    load_sample,
    make_chunk,
    prepare_inputs,
    records,
    squared_error,
)
from .compile import ALIGNMENT, cuda, entry_point, inlined, unsigned
from .dense import dense_backward, dense_forward
from .recurrent import Layer, make_layer


class Rules(NamedTuple):
    """What makes a fit or a stream of it: functions of (networks, own, network, ...) that all threads of a block call.

    `networks` is `buffers.Networks`, `own` is `buffers.Fits` or `buffers.Streams`, `network` an index.
    """

    begin: Any  # (..., order): before a chunk
    judge: Any  # (..., activations, y, targets): after its forward pass
    end_minibatch: Any  # (..., parts): take a step on the gradient and leave it 0; `parts` (threads,) float64
    end: Any  # (...): there are no more chunks


def make_training(spec: Spec, rules: Rules) -> Any:
    """The kernel: `train(networks, own, samples, launch)`, the arguments as in `buffers`."""
    layer = make_layer(spec, keep=True)
    begin, run_chunk, end_chunk = rules.begin, _make_run_chunk(spec, layer, rules), _make_end_chunk(rules)
    # the sizes of arrays must be plain names for the compiler
    input_size, scratch_size, dz_size = layer.input_size * CHUNK_ROWS, layer.scratch_size, layer.dz_size
    real, threads, input_rows, bias = spec.real, spec.threads, spec.input_rows, bool(spec.bias)

    @entry_point(threads)
    def train(networks, own, samples, launch):
        inputs = cuda.shared.array(input_size, real, ALIGNMENT)
        scratch = cuda.shared.array(scratch_size, real)
        dz = cuda.shared.array(dz_size, real, ALIGNMENT)
        parts = cuda.shared.array(threads, np.float64)
        # what the block knows of itself: its place in the queue, and the nanoseconds that it may still take
        place = cuda.shared.array(1, np.int64)
        left = cuda.shared.array(1, np.int64)
        chunk, shared = make_chunk(), Shared(inputs, scratch, dz)
        work = _split(launch.workspaces[cuda.blockIdx.x], networks.widths)
        prepare_inputs(inputs, input_rows, bias)
        if cuda.threadIdx.x == 0:
            place[0] = cuda.blockIdx.x
            left[0] = launch.budget
        cuda.syncthreads()
        while place[0] < launch.waiting and left[0] > 0:
            network = unsigned(launch.queue[unsigned(place[0])])
            begin(networks, own, network, samples.order)
            run_chunk(networks, own, network, samples, chunk, work, shared)
            # asked again: what is known beyond the layer's loops takes registers there
            network = unsigned(launch.queue[unsigned(place[0])])
            end_chunk(networks, own, network, parts, left)
            if cuda.threadIdx.x == 0 and networks.progress[network].outcome != UNFINISHED:
                place[0] = cuda.gridDim.x + cuda.atomic.add(launch.taken, 0, 1)
            cuda.syncthreads()

    return train


def _make_run_chunk(spec: Spec, layer: Layer, rules: Rules) -> Any:
    threads, features, dense_start = spec.threads, spec.features, spec.recurrent_size
    forward, backward, judge = layer.forward, layer.backward, rules.judge

    @inlined
    def run_chunk(networks, own, network, samples, chunk, work, shared):
        """The running chunk forward, its errors, and if it is a training chunk back, to the gradient."""
        theta, gradient, widths = networks.theta[network], networks.gradient[network], networks.widths
        job, options, progress = records(networks, network)
        if cuda.threadIdx.x < CHUNK_ROWS:
            load_sample(unsigned(cuda.threadIdx.x), job, options, progress, samples, features, chunk)
        cuda.syncthreads()
        forward(theta, samples.x, chunk, job.steps, work, shared)
        dense_forward(theta, dense_start, widths, work.activations, threads)
        squared_error(job, options, progress, widths, work, samples.y, chunk.targets)
        judge(networks, own, network, work.activations, samples.y, chunk.targets)
        if is_training(job, progress) and progress.outcome == UNFINISHED:
            dense_backward(theta, dense_start, widths, work, gradient, threads)
            backward(theta, samples.x, chunk, job.steps, work, shared, gradient)

    return run_chunk


def _make_end_chunk(rules: Rules) -> Any:
    end_minibatch, end = rules.end_minibatch, rules.end

    @inlined
    def end_chunk(networks, own, network, parts, left):
        """End what ends with the running chunk, its minibatch and the epoch perhaps, and go on to the next."""
        job, options, progress = records(networks, network)
        is_step = is_training(job, progress) and ends_minibatch(job, options, progress)
        if is_step and progress.outcome == UNFINISHED:
            end_minibatch(networks, own, network, parts)
        advance(job, options, progress, left)
        is_done = progress.position == job.train.count and progress.validated == job.validation.count
        if is_done and progress.outcome == UNFINISHED:
            cuda.syncthreads()
            end(networks, own, network)

    return end_chunk


@inlined
def take_step(networks, network, parts):
    """Adam's step on the clipped gradient, which it leaves at 0; `parts` as in `adam.squared_norm`."""
    _, options, progress = records(networks, network)
    gradient = networks.gradient[network]
    if options.clip_norm > 0.0:
        clip(gradient, squared_norm(gradient, parts), options.clip_norm)
    first_moment, second_moment = networks.first_moment[network], networks.second_moment[network]
    step, learning_rate = progress.step + 1, options.learning_rate
    adam_step(networks.theta[network], gradient, first_moment, second_moment, step, learning_rate)


@inlined
def _split(workspace, widths):
    """The parts of a block's work space."""
    values = 0
    for layer in range(widths.size):
        values += CHUNK_ROWS * widths[layer]
    return Workspace(workspace[:values], workspace[values : 2 * values], workspace[2 * values :])
