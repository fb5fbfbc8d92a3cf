"""States given to a prediction and returned by it: a sequence cut in two is the sequence."""

import naive
import numpy as np
import pytest
from naive import assert_close

import trendlstm as tl
from trendlstm.errors import DataError, OptionError
from trendlstm.nn.state import State

RECURRENT = ["lstm", "lstm1997", "gru", "rnn", "rnn-sigmoid"]


def network(cell="lstm", hidden=(5, 3), dtype="float64", **options):
    return tl.Network(2, hidden, (4,), 2, cell, dtype, seed=1, **options)


@pytest.mark.parametrize("hidden", [5, (5, 3)])
@pytest.mark.parametrize("samples", [1, 21])
@pytest.mark.parametrize("cell", RECURRENT)
def test_a_sequence_cut_in_two_is_the_sequence(cell, samples, hidden):
    net = network(cell, hidden)
    x = np.random.default_rng(0).normal(size=(samples, 9, 2))
    whole, last = net.predict(x, every_step=True, return_state=True)
    first, state = net.predict(x[:, :4], every_step=True, return_state=True)
    rest, end = net.predict(x[:, 4:], every_step=True, state=state, return_state=True)
    assert np.concatenate([first, rest], axis=1).tobytes() == whole.tobytes()
    assert (state.c is None) == (not cell.startswith("lstm"))
    for one, other in zip(end, last, strict=True):
        np.testing.assert_equal(one, other)
    assert net.predict(x[:, 4:], state=state).tobytes() == np.ascontiguousarray(whole[:, -1]).tobytes()


@pytest.mark.parametrize("cell", RECURRENT)
def test_states_are_the_references(cell):
    rng = np.random.default_rng(1)
    net = network(cell)
    params, x = net.state_dict(), rng.normal(size=(19, 7, 2))
    lengths = rng.integers(1, 7, 19, endpoint=True)
    h0 = [rng.normal(size=(19, size)) for size in (5, 3)]
    c0 = [rng.normal(size=(19, size)) for size in (5, 3)] if cell.startswith("lstm") else None
    outputs, state = net.predict(x, lengths, state=State(h0, c0), return_state=True, n_threads=2)
    options = {"lengths": lengths, "h0": h0} | ({"c0": c0} if c0 else {})
    assert_close(outputs, naive.predict(params, x, cell, **options), 1e-9)
    for layer, trace in enumerate(naive.stack_forward(params, x, cell, **options)):
        assert_close(state.h[layer], trace.h[:, -1], 1e-9)
        if c0:
            assert_close(state.c[layer], trace.c[:, -1], 1e-9)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", RECURRENT)
def test_products_with_a_state_of_zeros_are_left_out_or_computed_with_the_same_bits(cell, bias, steps):
    net, x = network(cell, bias=bias), np.random.default_rng(4).normal(size=(21, steps, 2))
    zeros = [np.zeros((21, size)) for size in (5, 3)]
    state = State(zeros, zeros if cell.startswith("lstm") else None)
    assert net.predict(x).tobytes() == net.predict(x, state=state).tobytes()
    gradients = net.loss_and_gradients(x, np.ones((21, 2)))[1]
    assert (steps > 1) == gradients["recurrent.0.weight_hh"].any()


def test_the_state_that_is_given_is_left_alone_and_zeros_are_the_default():
    net = network(hidden=4, dtype="float32")
    x = np.random.default_rng(2).normal(size=(3, 5, 2))
    zeros = State(np.zeros((3, 4)), np.zeros((3, 4)))
    plain = net.predict(x)
    assert net.predict(x, state=zeros).tobytes() == plain.tobytes()
    assert not zeros.h.any() and not zeros.c.any()
    assert net.predict(x, state=(zeros.h, zeros.c)).tobytes() == plain.tobytes()


@pytest.mark.parametrize(
    ("hidden", "state", "message"),
    [
        (4, State(np.zeros((3, 4))), "state of cell 'lstm' is h and c"),
        (4, State(np.zeros((3, 5)), np.zeros((3, 4))), r"state h must have shape \(3, 4\), but has \(3, 5\)"),
        (4, State(np.zeros((3, 4)), np.zeros((2, 4))), r"state c must have shape \(3, 4\), but has \(2, 4\)"),
        (4, State(np.full((3, 4), np.nan), np.zeros((3, 4))), "state h must be finite"),
        (4, np.zeros((3, 4)), "must be State\\(h, c\\)"),
        ((4, 3), State(np.zeros((3, 4)), np.zeros((3, 4))), "state h must be a list of 2 arrays"),
        ((4, 3), State(2 * [np.zeros((3, 4))], 2 * [np.zeros((3, 4))]), "state h of layer 1 must have shape"),
    ],
)
def test_a_state_that_does_not_fit_is_named(hidden, state, message):
    with pytest.raises(DataError, match=message):
        network(hidden=hidden).predict(np.zeros((3, 5, 2)), state=state)


def test_what_has_no_state():
    ann, x = tl.Network(cell="ann", lag=3), np.zeros((1, 3, 1))
    with pytest.raises(OptionError, match="leave return_state out"):
        ann.predict(x, return_state=True)
    with pytest.raises(OptionError, match="leave state out"):
        ann.predict(x, state=State(np.zeros((1, 64))))
    with pytest.raises(DataError, match="h alone"):
        network("gru", 4).predict(np.zeros((3, 5, 2)), state=State(np.zeros((3, 4)), np.zeros((3, 4))))


# ------------------------------------------------------------------------------------- Monte-Carlo dropout


def test_monte_carlo_samples_are_predictions_with_units_left_out():
    net = network(dropout=0.4, recurrent_dropout=0.2)
    x = np.random.default_rng(3).normal(size=(19, 6, 2))
    outputs = net.monte_carlo(x, samples=50)
    assert outputs.shape == (50, 19, 2) and np.isfinite(outputs).all()
    assert outputs.std(axis=0).min() > 0
    same = net.monte_carlo(x, samples=50, n_threads=2)
    assert same.tobytes() == outputs.tobytes()
    assert net.monte_carlo(x, samples=2, seed=9).tobytes() != outputs[:2].tobytes()
    assert np.unique(outputs[:, 0, 0]).size > 40  # now and then all units of the top layer are left out


def test_monte_carlo_needs_dropout_and_a_count():
    with pytest.raises(OptionError, match="no dropout"):
        network().monte_carlo(np.zeros((1, 3, 2)))
    for samples in (0, 1.5, True):
        with pytest.raises(OptionError, match="samples must be"):
            network(dropout=0.1).monte_carlo(np.zeros((1, 3, 2)), samples=samples)
