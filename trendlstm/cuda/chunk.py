"""One chunk of R samples: which they are, and what their outputs are worth, as in `kernels.chunk`.

A network's chunks go through its training samples and then, at the end of an epoch, through its validation samples.

What a thread needs to know of them is read from the records again where it is needed: kept, it would take the registers
that the weights are in.
"""

import numpy as np

from ..kernels.buffers import CHUNK_ROWS
from .buffers import Chunk
from .compile import cuda, inlined, unsigned
from .dense import last_layer


@inlined
def make_chunk():
    """A block's arrays; on a line each, by which the simulator tells shared arrays apart."""
    starts = cuda.shared.array(CHUNK_ROWS, np.int64)
    lengths = cuda.shared.array(CHUNK_ROWS, np.int64)
    targets = cuda.shared.array(CHUNK_ROWS, np.int64)
    return Chunk(starts, lengths, targets)


@inlined
def prepare_inputs(inputs, input_rows, bias):
    """0 everywhere but in the row of ones, which is the last of the `input_rows` if there is a bias."""
    for e in range(unsigned(cuda.threadIdx.x), inputs.size, cuda.blockDim.x):
        is_one = bias and (input_rows - 1) * CHUNK_ROWS <= e < input_rows * CHUNK_ROWS
        inputs[unsigned(e)] = 1 if is_one else 0


@inlined
def records(networks, network):
    """A network's job, options and progress."""
    return networks.jobs[network], networks.options[network], networks.progress[network]


@inlined
def is_training(job, progress):
    """Whether the running chunk is one of training samples."""
    return progress.position < job.train.count


@inlined
def minibatch(job, options, progress):
    """Where the running chunk's minibatch begins, and where it ends."""
    first = progress.position // options.batch_size * options.batch_size
    return first, min(first + options.batch_size, job.train.count)


@inlined
def chunk_count(job, options, progress):
    """The samples of the running chunk."""
    left = job.validation.count - progress.validated
    if is_training(job, progress):
        _, end = minibatch(job, options, progress)
        left = end - progress.position
    return min(CHUNK_ROWS, left)


@inlined
def load_sample(r, job, options, progress, samples, features, chunk):
    """Let row r of the running chunk be its sample."""
    if is_training(job, progress):
        data = job.train
        index = samples.order[job.order + min(progress.position + r, data.count - 1)]
    else:
        data = job.validation
        index = min(progress.validated + r, data.count - 1)
    is_there = r < chunk_count(job, options, progress)
    chunk.starts[r] = data.x + index * job.steps * features if is_there else -1
    chunk.lengths[r] = samples.lengths[data.lengths + index] if is_there else job.steps
    chunk.targets[r] = data.y + index * job.outputs


@inlined
def squared_error(job, options, progress, widths, work, y, targets):
    """Add the chunk's squared errors to the sum that they belong to, and leave the last layer's delta if it trains."""
    real = work.deltas.dtype.type
    tid = unsigned(cuda.threadIdx.x)
    at, width, outputs = last_layer(widths), unsigned(widths[widths.size - 1]), job.outputs
    count = chunk_count(job, options, progress)
    if is_training(job, progress):
        first, end = minibatch(job, options, progress)
        factor = real(2.0 / ((end - first) * outputs))
        for e in range(tid, CHUNK_ROWS * width, cuda.blockDim.x):
            r, k = unsigned(e) // width, unsigned(e) % width
            delta = real(0)
            if r < count and k < outputs:
                delta = factor * (work.activations[unsigned(at + e)] - y[targets[r] + k])
            work.deltas[unsigned(at + e)] = delta
    if tid == 0:
        total = 0.0
        for r in range(count):
            for k in range(outputs):
                output = work.activations[unsigned(at + r * width + k)]
                error = np.float64(output - y[targets[unsigned(r)] + k])
                total += error * error
        if is_training(job, progress):
            progress.minibatch_error += total
        else:
            progress.validation_error += total
    cuda.syncthreads()


@inlined
def ends_minibatch(job, options, progress):
    """Whether the running chunk is its minibatch's last."""
    _, end = minibatch(job, options, progress)
    return progress.position + chunk_count(job, options, progress) == end


@inlined
def advance(job, options, progress, left):
    """Go on to the next chunk, and take the time of this one off left[0]."""
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        count = chunk_count(job, options, progress)
        if is_training(job, progress):
            left[0] -= job.chunk_time
            if ends_minibatch(job, options, progress):
                left[0] -= job.minibatch_time
            progress.position += count
        else:
            left[0] -= job.validation_time
            progress.validated += count
    cuda.syncthreads()
