"""Whole fits, from first to last epoch, as `kernels.fit`."""

import functools
import math
from typing import Any

from ..kernels.decisions import NOT_FINITE, end_epoch, is_best, kept_weights_failed
from .adam import decay_weights
from .buffers import Spec
from .chunk import minibatch, records
from .compile import cuda, inlined, unsigned
from .shuffle import shuffle_epoch
from .training import Rules, make_training, take_step


@functools.cache
def make_fit(spec: Spec) -> Any:
    """The kernel `fit(networks, fits, arrays, launch)`; it is compiled when it is launched first."""
    return make_training(spec, Rules(_begin, _judge, _end_minibatch, _end))


@inlined
def _begin(networks, fits, network, order):
    """Shuffle the samples if an epoch begins."""
    job, options, progress = records(networks, network)
    if progress.position == 0 and options.shuffle != 0:
        shuffle_epoch(order, job.order, job.train.count, options.seed, progress.epoch)


@inlined
def _judge(networks, fits, network, activations, y, targets):
    """A fit's outputs are not judged one by one."""


@inlined
def _end_minibatch(networks, fits, network, parts):
    """Decay, clip and update, unless the loss is not finite."""
    job, options, progress = records(networks, network)
    first, _ = minibatch(job, options, progress)
    finite = math.isfinite(progress.minibatch_error)
    kept_failed = not finite and kept_weights_failed(first, job.validation.count > 0)
    if finite:
        if options.weight_decay > 0.0:
            theta, rate = networks.theta[network], options.learning_rate
            decay_weights(theta, fits.decays, rate, options.weight_decay)
        take_step(networks, network, parts)
    elif kept_failed:
        _copy(fits.kept[network], fits.previous[network])
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        if finite:
            progress.step += 1
            progress.epoch_error += progress.minibatch_error
            progress.minibatch_error = 0.0
        else:
            progress.outcome = NOT_FINITE
            if kept_failed:
                progress.best_epoch = progress.best_before
    cuda.syncthreads()


@inlined
def _end(networks, fits, network):
    """End the epoch: keep the weights if they are the best, and end the fit if it is time."""
    job, options, progress = records(networks, network)
    theta, is_validated = networks.theta[network], job.validation.count > 0
    validation_loss, finite = math.nan, _all_finite(theta)
    if is_validated:
        validation_loss = progress.validation_error / (job.validation.count * job.outputs)
        finite = finite and math.isfinite(validation_loss)
    best = is_best(progress, validation_loss, is_validated)
    if finite and best:
        _copy(fits.previous[network], fits.kept[network])
        _copy(fits.kept[network], theta)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        if finite:
            fits.loss[network, progress.epoch] = progress.epoch_error / (job.train.count * job.outputs)
            fits.validation_loss[network, progress.epoch] = validation_loss
            end_epoch(progress, options, validation_loss, best)
            progress.position, progress.validated = 0, 0
            progress.epoch_error, progress.validation_error = 0.0, 0.0
        else:
            progress.outcome = NOT_FINITE
    cuda.syncthreads()


@inlined
def _all_finite(theta):
    """Whether all weights are finite, the same answer on every thread."""
    broken = 0
    for e in range(unsigned(cuda.threadIdx.x), theta.size, cuda.blockDim.x):
        if not math.isfinite(theta[unsigned(e)]):
            broken = 1
    return cuda.syncthreads_or(broken) == 0


@inlined
def _copy(to, source):
    for e in range(unsigned(cuda.threadIdx.x), to.size, cuda.blockDim.x):
        to[unsigned(e)] = source[unsigned(e)]
