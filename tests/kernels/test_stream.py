"""Training on a stream judges every sequence before its step, and ends when the criterion is met."""

import numpy as np
from drawn_sequences import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from trendlstm import Network
from trendlstm.experiments.long_lags import adding, temporal_order
from trendlstm.kernels import buffers, decisions, stream
from trendlstm.kernels.buffers import Data
from trendlstm.kernels.gang import COUNTERS


def train_stream(
    network, data, blocks, *, batch_size=32, rate=1e-2, clip=1.0, run=10**6, tolerance=0.0, mean=np.inf
):
    """Train on `data` cut into blocks of these sizes; the sequences' errors and the progress."""
    theta, plan = network.theta, network.plan(data.x.shape[1])
    state = stream.StreamState(
        theta=theta,
        **{
            name: buffers.aligned_zeros(theta.size, theta.dtype)
            for name in ("first_moment", "second_moment", "gradient")
        },
        recent=np.zeros(run),
        progress=np.zeros(1, decisions.STREAM_PROGRESS),
        counters=np.zeros(COUNTERS, np.int64),
    )
    options = stream.StreamOptions(batch_size, rate, clip, tolerance, mean)
    every = np.zeros(len(data.y))
    first = 0
    for count in blocks:
        part = Data(
            *(array[first : first + count].astype(theta.dtype, copy=False) for array in data[:2]),
            data.lengths[first : first + count],
        )
        work = buffers.make_workspace(plan, theta.dtype)
        states = np.empty((0, buffers.state_size(plan)), theta.dtype)
        block = stream.Block(part, np.arange(count), states, every[first : first + count])
        stream.stream_worker(plan, block, options, state, work)
        if state.progress[0].outcome != decisions.USED_UP:
            break
        first += count
    return every, state.progress[0]


def small_network(cell="lstm", **options):
    return Network(2, 5, (), 1, cell, **{"dtype": "float64", "lag": 110, "forget_bias": "chrono", **options})


def test_every_sequence_is_judged_before_its_step():
    data = Data(*drawn(temporal_order("6a"), 64))
    network = Network(8, 5, (), 4, dtype="float64")
    before = np.abs(network.predict(data.x[:32], data.lengths[:32]) - data.y[:32]).mean(axis=1)
    first = network.state_dict()
    errors, _ = train_stream(network, data, [32])
    np.testing.assert_allclose(errors[:32], before, rtol=1e-9)
    middle = np.abs(network.predict(data.x[32:], data.lengths[32:]) - data.y[32:]).mean(axis=1)
    network.load_state_dict(first)
    errors, _ = train_stream(network, data, [64])
    np.testing.assert_allclose(errors[32:], middle, rtol=1e-9)


@given(
    targets=st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.875]), min_size=1, max_size=60),
    run=st.integers(1, 12),
    mean=st.sampled_from([0.0625, 0.1875, np.inf]),
    batch_size=st.integers(1, 9),
    block=st.integers(1, 25),
)
@settings(max_examples=300, deadline=None)
def test_the_criterion_ends_a_stream_at_the_very_sequence(targets, run, mean, batch_size, block):
    network = small_network()
    network.load_state_dict({name: 0 * value for name, value in network.state_dict().items()})
    n = len(targets)
    data = Data(np.ones((n, 2, 2)), np.array(targets)[:, None], np.full(n, 2))
    blocks = [min(block, n - first) for first in range(0, n, block)]
    # the outputs stay 0, so that the targets are the errors; their sums are exact in any order
    errors, progress = train_stream(
        network, data, blocks, batch_size=batch_size, rate=1e-300, run=run, tolerance=0.5, mean=mean
    )
    solved = [
        end
        for end in range(run, n + 1)
        if max(targets[end - run : end]) < 0.5 and np.mean(targets[end - run : end]) < mean
    ]
    assert progress.seen == (solved[0] if solved else n)
    assert progress.outcome == (decisions.SOLVED if solved else decisions.USED_UP)
    np.testing.assert_allclose(errors[: progress.seen], targets[: progress.seen], atol=1e-12)


def test_a_solved_stream_keeps_the_weights_that_gave_the_answers():
    data = Data(*drawn(adding(100), 64))
    once, network = small_network(), small_network()
    train_stream(once, data, [32])
    _, progress = train_stream(network, data, [64], run=40, tolerance=10.0)
    assert progress.tolist() == (decisions.SOLVED, 40, 40, 1)
    assert np.array_equal(network.theta, once.theta)


def test_one_output_that_is_off_makes_a_sequence_wrong():
    network = Network(2, 5, (), 2, dtype="float64")
    network.load_state_dict({name: 0 * value for name, value in network.state_dict().items()})
    data = Data(np.ones((8, 2, 2)), np.tile([[0.1, 0.1], [0.0, 0.6]], (4, 1)), np.full(8, 2))
    errors, progress = train_stream(network, data, [8], rate=1e-300, run=2, tolerance=0.5)
    assert progress.outcome == decisions.USED_UP and progress.correct == 0
    np.testing.assert_allclose(errors, [0.1, 0.3] * 4)
