"""Training on streams of fresh sequences, which are judged, as `kernels.stream`."""

import functools
import math
from typing import Any

import numpy as np

from ..kernels import decisions
from ..kernels.decisions import NOT_FINITE, UNFINISHED, USED_UP
from .buffers import Spec
from .chunk import chunk_count, records
from .compile import cuda, from_cpu, inlined, unsigned
from .dense import last_layer
from .training import Rules, make_training, take_step

judge_sequence = from_cpu(decisions.judge_sequence)


@functools.cache
def make_stream(spec: Spec) -> Any:
    """The kernel `stream(networks, streams, arrays, launch)`; it is compiled when it is launched first."""
    return make_training(spec, Rules(_begin, _judge, _end_minibatch, _end))


@inlined
def _begin(networks, streams, network, order):
    """A stream's sequences are not shuffled."""


@inlined
def _judge(networks, streams, network, activations, y, targets):
    """Note each sequence's mean |error|, and whether the training has succeeded."""
    if cuda.threadIdx.x == 0:
        job, options, progress = records(networks, network)
        errors, recent = streams.errors[network], streams.recent[network]
        width, at = unsigned(networks.widths[networks.widths.size - 1]), last_layer(networks.widths)
        r = 0
        while r < chunk_count(job, options, progress) and progress.outcome == UNFINISHED:
            error, is_correct = 0.0, True
            for k in range(job.outputs):
                distance = abs(np.float64(activations[unsigned(at + r * width + k)] - y[targets[r] + k]))
                error += distance
                is_correct = is_correct and distance < options.tolerance
            error /= job.outputs
            errors[progress.position + r] = error
            judge_sequence(progress, options, recent, error, is_correct)
            r += 1
    cuda.syncthreads()


@inlined
def _end_minibatch(networks, streams, network, parts):
    """Clip and update, unless the loss is not finite."""
    progress = networks.progress[network]
    finite = math.isfinite(progress.minibatch_error)
    if finite:
        take_step(networks, network, parts)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        if finite:
            progress.step += 1
            progress.minibatch_error = 0.0
        else:
            progress.outcome = NOT_FINITE
    cuda.syncthreads()


@inlined
def _end(networks, streams, network):
    """The sequences are used up."""
    if cuda.threadIdx.x == 0:
        networks.progress[network].outcome = USED_UP
    cuda.syncthreads()
