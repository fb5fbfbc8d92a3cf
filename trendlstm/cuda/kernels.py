"""Whole jobs on the GPU: a block fits one network after the other, from first to last epoch, or predicts.

What goes on between launches lies in global memory, so that a launch can stop after any chunk of samples and the next
one go on: the result is the same bits for launches of any length.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..kernels.buffers import CHUNK_ROWS
from ..kernels.decisions import ALL_EPOCHS, NOT_FINITE, PATIENCE, SOLVED, UNFINISHED, USED_UP
from ..kernels.equations import (
    adam_change,
    adam_rate,
    adam_scale,
    first_moment,
    relu,
    relu_backward,
    second_moment,
    shuffle_partner,
    shuffle_state,
)
from .recurrent import Spec, make_memory_layer, make_register_layer
from .shim import ALIGNMENT, cuda, device, kernel, unsigned

# A network's buffers of P parameters; the gradient is 0 at the start of every minibatch.
THETA, KEPT, PREVIOUS, FIRST, SECOND, GRADIENT = range(6)
BUFFERS = 6

# Columns of `jobs`: what a network is trained on, and how. Data lies at offsets in the common arrays;
# times are estimates in nanoseconds, which bound a launch.
(
    SAMPLES,
    STEPS,
    X,
    Y,
    LENGTHS,
    ORDER,
    VALIDATION_SAMPLES,
    VALIDATION_X,
    VALIDATION_Y,
    VALIDATION_LENGTHS,
    CHUNK_TIME,
    VALIDATION_TIME,
    MINIBATCH_TIME,
    OUTPUTS,
    EPOCHS,
    BATCH_SIZE,
    PATIENCE_EPOCHS,
    SHUFFLE,
    SEED,
) = range(19)
# And what has been done: epochs finished, the epoch of the kept weights and of those before them, epochs since,
# training samples of this epoch, validation samples after it, Adam's steps.
OUTCOME, EPOCH, BEST_EPOCH, PREVIOUS_EPOCH, SINCE_BEST, POSITION, VALIDATED, STEP = range(19, 27)
# And of a stream: sequences that must be correct in a row, sequences seen, of which the last so many were correct.
RUN, SEEN, CORRECT = range(27, 30)
JOB_SIZE = 30

# Columns of `numbers`: settings, then sums of squared errors of the minibatch, the epoch and the validation samples,
# the best mean, and a stream's criterion.
LEARNING_RATE, CLIP_NORM, WEIGHT_DECAY, BATCH_LOSS, EPOCH_LOSS, VALIDATION_LOSS, BEST_LOSS = range(7)
TOLERANCE, MEAN = range(7, 9)
NUMBERS_SIZE = 9

# What a block knows of itself: the place in the queue of its network, and the nanoseconds that it may still take.
PLACE, LEFT = range(2)

_NORM_PARTS = 32


class Head(NamedTuple):
    """The device functions of the dense layers, and of the loss."""

    forward: Any
    backward: Any


def _make_head(spec: Spec) -> Head:
    """Fully connected layers on the R rows of a chunk; `widths` of all, `start` of their weights in theta.

    `activations` holds the (R, width) values of the last hidden state, then of every layer; `deltas` dL/d of them.
    """
    real, threads, rows = spec.real, spec.threads, CHUNK_ROWS
    first_weight = spec.n_gates * spec.input_rows * spec.hidden_size

    @device
    def forward(theta, widths, activations):
        tid = unsigned(cuda.threadIdx.x)
        start, at = first_weight, 0
        for layer in range(widths.size - 1):
            n_in, n_out = unsigned(widths[layer]), unsigned(widths[layer + 1])
            after = at + rows * n_in
            for e in range(tid, rows * n_out, threads):
                r, j = unsigned(e) // n_out, unsigned(e) % n_out
                z = theta[unsigned(start + n_in * n_out + j)]
                for k in range(n_in):
                    z += activations[unsigned(at + r * n_in + k)] * theta[unsigned(start + k * n_out + j)]
                activations[unsigned(after + e)] = relu(z) if layer < widths.size - 2 else z
            cuda.syncthreads()
            start += (n_in + 1) * n_out
            at = after
        return at

    @device
    def backward(theta, widths, activations, deltas, gradient):
        tid = unsigned(cuda.threadIdx.x)
        start, at = first_weight, 0
        for layer in range(widths.size - 1):
            start += (widths[layer] + 1) * widths[layer + 1]
            at += rows * widths[layer]
        for layer in range(widths.size - 2, -1, -1):
            n_in, n_out = unsigned(widths[layer]), unsigned(widths[layer + 1])
            start -= (n_in + 1) * n_out
            before = at - rows * n_in
            if layer < widths.size - 2:
                for e in range(tid, rows * n_out, threads):
                    place = unsigned(at + e)
                    deltas[place] = relu_backward(deltas[place], activations[place])
                cuda.syncthreads()
            for e in range(tid, (n_in + 1) * n_out, threads):
                k, j = unsigned(e) // n_out, unsigned(e) % n_out
                total = gradient[unsigned(start + e)]
                for r in range(rows):
                    value = activations[unsigned(before + r * n_in + k)] if k < n_in else real(1)
                    total += value * deltas[unsigned(at + r * n_out + j)]
                gradient[unsigned(start + e)] = total
            for e in range(tid, rows * n_in, threads):
                r, k = unsigned(e) % rows, unsigned(e) // rows  # neighbours share a row of theta
                total = real(0)
                for j in range(n_out):
                    total += deltas[unsigned(at + r * n_out + j)] * theta[unsigned(start + k * n_out + j)]
                deltas[unsigned(before + r * n_in + k)] = total
            cuda.syncthreads()
            at = before

    return Head(forward, backward)


def _make_optimizer(spec: Spec) -> Any:
    """`adam(theta, first, second, gradient, decays, ...)`: one step, which leaves the gradient at 0."""
    real, threads = spec.real, spec.threads

    @device
    def gradient_norm(gradient, norms):
        """Its square in float64, added up in a fixed order; the same on every thread."""
        tid = unsigned(cuda.threadIdx.x)
        part = 0.0
        for e in range(tid, gradient.size, threads):
            value = np.float64(gradient[unsigned(e)])
            part += value * value
        norms[tid] = part
        cuda.syncthreads()
        if tid < _NORM_PARTS:
            for other in range(tid + _NORM_PARTS, threads, _NORM_PARTS):
                norms[tid] += norms[other]
        cuda.syncthreads()
        total = 0.0
        for other in range(_NORM_PARTS):
            total += norms[other]
        cuda.syncthreads()
        return math.sqrt(total)

    @device
    def adam(theta, first, second, gradient, decays, step, learning_rate, clip_norm, weight_decay, norms):
        clip = 1.0
        if clip_norm > 0.0:
            norm = gradient_norm(gradient, norms)
            if norm > clip_norm:
                clip = clip_norm / norm
        factor, shrink = real(clip), real(learning_rate * weight_decay)
        rate, scale = real(adam_rate(learning_rate, step)), real(adam_scale(step))
        for index in range(unsigned(cuda.threadIdx.x), theta.size, threads):
            e = unsigned(index)
            g, parameter = gradient[e] * factor, theta[e]
            m, v = real(first_moment(first[e], g)), real(second_moment(second[e], g))
            first[e] = m
            second[e] = v
            theta[e] = parameter - shrink * decays[e] * parameter - real(adam_change(m, v, rate, scale))
            gradient[e] = real(0)

    return adam


class Kernels(NamedTuple):
    """What is launched for networks of one specification, with blocks of so many threads."""

    threads: int
    fit: Any
    stream: Any
    predict: Any


@functools.cache
def make_kernels(spec: Spec) -> Kernels:
    """Compile on first launch: recurrent layer, head, loss and optimizer in one kernel."""
    make_layer = make_register_layer if spec.in_registers else make_memory_layer
    training, predicting = make_layer(spec, True), make_layer(spec, False)
    return Kernels(
        spec.threads,
        fit=_make_fit(spec, training, stream=False),
        stream=_make_fit(spec, training, stream=True),
        predict=_make_predict(spec, predicting),
    )


def _make_chunk(spec: Spec) -> tuple[Any, Any]:
    real, threads, rows = spec.real, spec.threads, CHUNK_ROWS
    hidden, features, bias, input_rows = spec.hidden_size, spec.features, bool(spec.bias), spec.input_rows

    @device
    def prepare_inputs(inputs):
        """The rows of ones, and those that only round K up."""
        for e in range(unsigned(cuda.threadIdx.x) + (hidden + features) * rows, inputs.size, threads):
            inputs[unsigned(e)] = real(1) if bias and e < input_rows * rows else real(0)

    @device
    def place_sample(index, r, count, steps, x_at, length_at, lengths, samples, own_lengths):
        """Row r of the chunk: where its sample `index` lies; rows from `count` on are absent."""
        samples[r] = x_at + index * steps * features if r < count else -1
        own_lengths[r] = lengths[length_at + index] if r < count else steps

    return prepare_inputs, place_sample


def _make_fit(spec: Spec, layer: Any, stream: bool) -> Any:
    """The kernel that trains by epochs, or with `stream` on sequences that are judged, as `kernels.stream` does."""
    real, threads, rows = spec.real, spec.threads, CHUNK_ROWS
    input_size, scratch_size, dz_size = layer.input_size * CHUNK_ROWS, layer.scratch_size, layer.dz_size
    forward, backward = layer.forward, layer.backward
    head_forward, head_backward = _make_head(spec)
    prepare_inputs, place_sample = _make_chunk(spec)
    adam = _make_optimizer(spec)

    @device
    def shuffle(order, at, n, seed, epoch):
        """As `kernels.shuffle`; all threads draw, into the N numbers after the order, and one changes places."""
        tid = unsigned(cuda.threadIdx.x)
        state = shuffle_state(seed, epoch)
        for position in range(tid, n, threads):
            order[at + position] = position
            order[at + n + position] = shuffle_partner(np.uint64(state), n - 1 - position, position)
        cuda.syncthreads()
        if tid == 0:
            for last in range(n - 1, 0, -1):
                other = order[at + n + last]
                kept = order[at + last]
                order[at + last] = order[at + other]
                order[at + other] = kept
        cuda.syncthreads()

    # What a thread needs to know is read from `job` again where it is needed: kept, it would take the
    # registers that the weights are in.

    @device
    def minibatch(job):
        """Of the running chunk: where its minibatch begins and ends, and its own samples."""
        first = job[POSITION] // job[BATCH_SIZE] * job[BATCH_SIZE]
        end = min(first + job[BATCH_SIZE], job[SAMPLES])
        return first, end, min(rows, end - job[POSITION])

    @device
    def validation_count(job):
        return min(rows, job[VALIDATION_SAMPLES] - job[VALIDATED])

    @device
    def choose_sample(r, job, order, lengths, samples, own_lengths, targets):
        """Row r of the chunk, of training samples or after the last of them of validation samples."""
        if job[POSITION] < job[SAMPLES]:
            _, _, count = minibatch(job)
            index = order[job[ORDER] + min(job[POSITION] + r, job[SAMPLES] - 1)]
            x_at, y_at, length_at = job[X], job[Y], job[LENGTHS]
        else:
            count = validation_count(job)
            index = min(job[VALIDATED] + r, job[VALIDATION_SAMPLES] - 1)
            x_at, y_at, length_at = job[VALIDATION_X], job[VALIDATION_Y], job[VALIDATION_LENGTHS]
        place_sample(index, r, count, job[STEPS], x_at, length_at, lengths, samples, own_lengths)
        targets[r] = y_at + index * job[OUTPUTS]

    @device
    def squared_error(job, numbers, widths, activations, deltas, y, targets):
        """Add the chunk's sum of squared errors to its loss, and leave the last layer's delta."""
        tid = unsigned(cuda.threadIdx.x)
        at, width, outputs = 0, unsigned(widths[widths.size - 1]), job[OUTPUTS]
        for layer in range(widths.size - 1):
            at += rows * widths[layer]
        if job[POSITION] < job[SAMPLES]:
            first, end, count = minibatch(job)
            factor = real(2.0 / ((end - first) * outputs))
            for e in range(tid, rows * width, threads):
                r, k = unsigned(e) // width, unsigned(e) % width
                delta = real(0)
                if r < count and k < outputs:
                    delta = factor * (activations[unsigned(at + e)] - y[targets[r] + k])
                deltas[unsigned(at + e)] = delta
            kind = BATCH_LOSS
        else:
            count, kind = validation_count(job), VALIDATION_LOSS
        if tid == 0:
            total = 0.0
            for r in range(count):
                for k in range(outputs):
                    error = np.float64(
                        activations[unsigned(at + r * width + k)] - y[targets[unsigned(r)] + k]
                    )
                    total += error * error
            numbers[kind] += total
        cuda.syncthreads()

    @device
    def end_minibatch(buffers, decays, job, numbers, norms):
        """Take Adam's step, unless the loss is not finite."""
        first, _, _ = minibatch(job)
        finite = math.isfinite(numbers[BATCH_LOSS])
        restored = not finite and first == 0 and job[VALIDATION_SAMPLES] == 0
        if finite:
            adam(
                buffers[THETA], buffers[FIRST], buffers[SECOND], buffers[GRADIENT], decays, job[STEP] + 1,
                numbers[LEARNING_RATE], numbers[CLIP_NORM], numbers[WEIGHT_DECAY], norms,
            )  # fmt: skip
        elif restored:  # the first loss of the kept weights: they are no good
            keep_weights(buffers, KEPT, PREVIOUS)
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            if finite:
                job[STEP] += 1
                numbers[EPOCH_LOSS] += numbers[BATCH_LOSS]
                numbers[BATCH_LOSS] = 0.0
            else:
                job[OUTCOME] = NOT_FINITE
                if restored:
                    job[BEST_EPOCH] = job[PREVIOUS_EPOCH]
        cuda.syncthreads()

    @device
    def judge(job, numbers, widths, activations, y, targets, history):
        """Each sequence's mean |error| into the first row of `history`, the last `RUN` of them into its second."""
        if cuda.threadIdx.x == 0:
            _, _, count = minibatch(job)
            at, width, outputs = 0, unsigned(widths[widths.size - 1]), job[OUTPUTS]
            for layer in range(widths.size - 1):
                at += rows * widths[layer]
            r = 0
            while r < count and job[OUTCOME] == UNFINISHED:
                total, correct = 0.0, True
                for k in range(outputs):
                    error = abs(np.float64(activations[unsigned(at + r * width + k)] - y[targets[r] + k]))
                    total += error
                    correct = correct and error < numbers[TOLERANCE]
                history[0, job[POSITION] + r] = total / outputs
                history[1, job[SEEN] % job[RUN]] = total / outputs
                job[SEEN] += 1
                job[CORRECT] = job[CORRECT] + 1 if correct else 0
                if job[CORRECT] >= job[RUN]:
                    recent = 0.0
                    for place in range(job[RUN]):
                        recent += history[1, place]
                    if recent / job[RUN] < numbers[MEAN]:
                        job[OUTCOME] = SOLVED
                r += 1
        cuda.syncthreads()

    @device
    def end_block(job):
        """A stream's sequences are used up."""
        if cuda.threadIdx.x == 0:
            job[OUTCOME] = USED_UP
        cuda.syncthreads()

    @device
    def advance(job, block):
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            if job[POSITION] < job[SAMPLES]:
                _, _, count = minibatch(job)
                job[POSITION] += count
                block[LEFT] -= job[CHUNK_TIME]
                if job[POSITION] % job[BATCH_SIZE] == 0:
                    block[LEFT] -= job[MINIBATCH_TIME]
            else:
                job[VALIDATED] += validation_count(job)
                block[LEFT] -= job[VALIDATION_TIME]
        cuda.syncthreads()

    @device
    def keep_weights(buffers, to, source):
        for e in range(unsigned(cuda.threadIdx.x), buffers.shape[1], threads):
            buffers[to, unsigned(e)] = buffers[source, unsigned(e)]

    @device
    def end_epoch(buffers, job, numbers, history):
        """Judge the epoch as `kernels.fit.fit_worker` does."""
        tid = unsigned(cuda.threadIdx.x)
        n, validated, epoch = job[SAMPLES], job[VALIDATION_SAMPLES], job[EPOCH]
        validation_loss = math.nan
        improved, finite = True, True
        if validated > 0:
            validation_loss = numbers[VALIDATION_LOSS] / (validated * job[OUTPUTS])
            finite = math.isfinite(validation_loss)
            improved = validation_loss < numbers[BEST_LOSS]
        broken = 0
        for e in range(tid, buffers.shape[1], threads):
            if not math.isfinite(buffers[THETA, unsigned(e)]):
                broken = 1
        if cuda.syncthreads_or(broken) or not finite:
            if tid == 0:
                job[OUTCOME] = NOT_FINITE
        else:
            if improved:
                keep_weights(buffers, PREVIOUS, KEPT)
                keep_weights(buffers, KEPT, THETA)
            if tid == 0:
                history[0, epoch] = numbers[EPOCH_LOSS] / (n * job[OUTPUTS])
                history[1, epoch] = validation_loss
                if improved:
                    job[PREVIOUS_EPOCH] = job[BEST_EPOCH]
                    job[BEST_EPOCH] = epoch
                    job[SINCE_BEST] = 0
                    numbers[BEST_LOSS] = validation_loss
                else:
                    job[SINCE_BEST] += 1
                    if 0 < job[PATIENCE_EPOCHS] <= job[SINCE_BEST]:
                        job[OUTCOME] = PATIENCE
                job[EPOCH] = epoch + 1
                if epoch + 1 == job[EPOCHS] and job[OUTCOME] == UNFINISHED:
                    job[OUTCOME] = ALL_EPOCHS
                job[POSITION] = 0
                job[VALIDATED] = 0
                numbers[EPOCH_LOSS] = 0.0
                numbers[VALIDATION_LOSS] = 0.0
        cuda.syncthreads()

    @kernel(threads)
    def fit(
        parameters,
        decays,
        widths,
        x,
        y,
        lengths,
        order,
        jobs,
        all_numbers,
        histories,
        queue,
        waiting,
        taken,
        workspaces,
        budget,
    ):
        """Fit the first `waiting` networks of `queue`, each block one after the other, for some `budget` nanoseconds.

        `taken` counts the networks that are begun beside the first of each block.
        """
        inputs = cuda.shared.array(input_size, real, ALIGNMENT)
        scratch = cuda.shared.array(scratch_size, real)
        dz_shared = cuda.shared.array(dz_size, real, ALIGNMENT)
        norms = cuda.shared.array(threads, np.float64)
        samples = cuda.shared.array(rows, np.int64)
        targets = cuda.shared.array(rows, np.int64)
        own_lengths = cuda.shared.array(rows, np.int64)
        block = cuda.shared.array(2, np.int64)
        tid = unsigned(cuda.threadIdx.x)
        values = 0
        for layer in range(widths.size):
            values += rows * widths[layer]
        workspace = workspaces[cuda.blockIdx.x]
        activations, deltas, trace = (
            workspace[:values],
            workspace[values : 2 * values],
            workspace[2 * values :],
        )
        prepare_inputs(inputs)

        if tid == 0:
            block[PLACE] = cuda.blockIdx.x
            block[LEFT] = budget
        cuda.syncthreads()
        while block[PLACE] < waiting and block[LEFT] > 0:
            network = unsigned(queue[unsigned(block[PLACE])])
            theta, total, job = parameters[network, THETA], parameters[network, GRADIENT], jobs[network]
            if job[POSITION] == 0 and job[SHUFFLE] != 0:
                shuffle(order, job[ORDER], job[SAMPLES], job[SEED], job[EPOCH])
            if tid < rows:
                choose_sample(tid, job, order, lengths, samples, own_lengths, targets)
            cuda.syncthreads()
            forward(theta, x, samples, own_lengths, job[STEPS], trace, activations, inputs, scratch)
            head_forward(theta, widths, activations)
            squared_error(job, all_numbers[network], widths, activations, deltas, y, targets)
            if stream:
                judge(job, all_numbers[network], widths, activations, y, targets, histories[network])
            if job[POSITION] < job[SAMPLES] and job[OUTCOME] == UNFINISHED:
                head_backward(theta, widths, activations, deltas, total)
                backward(
                    theta, x, samples, own_lengths, job[STEPS], trace, deltas, inputs, scratch, dz_shared, total
                )  # fmt: skip
            # asked again, for what is known beyond the layer's loops takes registers there
            network = unsigned(queue[unsigned(block[PLACE])])
            buffers, job, numbers = parameters[network], jobs[network], all_numbers[network]
            if job[POSITION] < job[SAMPLES] and job[OUTCOME] == UNFINISHED:
                _, end, count = minibatch(job)
                if job[POSITION] + count == end:
                    end_minibatch(buffers, decays, job, numbers, norms)
            advance(job, block)
            if (
                job[OUTCOME] == UNFINISHED
                and job[POSITION] == job[SAMPLES]
                and job[VALIDATED] == job[VALIDATION_SAMPLES]
            ):
                cuda.syncthreads()
                if stream:
                    end_block(job)
                else:
                    end_epoch(buffers, job, numbers, histories[network])
            if tid == 0 and job[OUTCOME] != UNFINISHED:
                block[PLACE] = cuda.gridDim.x + cuda.atomic.add(taken, 0, 1)
            cuda.syncthreads()

    return fit


def _make_predict(spec: Spec, layer: Any) -> Any:
    real, threads, rows = spec.real, spec.threads, CHUNK_ROWS
    input_size, scratch_size, forward = layer.input_size * CHUNK_ROWS, layer.scratch_size, layer.forward
    head_forward, _ = _make_head(spec)
    prepare_inputs, place_sample = _make_chunk(spec)

    @kernel(threads)
    def predict(theta, widths, x, lengths, steps, out, workspaces):
        """The outputs (N, m) of all samples; each block takes every so manieth chunk."""
        inputs = cuda.shared.array(input_size, real, ALIGNMENT)
        scratch = cuda.shared.array(scratch_size, real)
        samples = cuda.shared.array(rows, np.int64)
        own_lengths = cuda.shared.array(rows, np.int64)
        tid = unsigned(cuda.threadIdx.x)
        workspace = workspaces[cuda.blockIdx.x]
        n, outputs = out.shape[0], unsigned(out.shape[1])
        width = unsigned(widths[widths.size - 1])
        prepare_inputs(inputs)
        for chunk in range(rows * cuda.blockIdx.x, n, rows * cuda.gridDim.x):
            first = unsigned(chunk)
            count = min(rows, n - first)
            if tid < rows:
                index = min(first + tid, n - 1)
                place_sample(index, tid, count, steps, 0, 0, lengths, samples, own_lengths)
            cuda.syncthreads()
            forward(theta, x, samples, own_lengths, steps, workspace, workspace, inputs, scratch)
            at = head_forward(theta, widths, workspace)
            for e in range(tid, count * outputs, threads):
                r, k = unsigned(e) // outputs, unsigned(e) % outputs
                out[first + r, k] = workspace[unsigned(at + r * width + k)]
            cuda.syncthreads()

    return predict
