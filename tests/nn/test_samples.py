"""Arrays as people hold them: what is taken, and what is refused in words."""

import numpy as np
import pandas as pd
import pytest

import trendlstm as tl
from trendlstm.errors import DataError, OptionError

RNG = np.random.default_rng(0)
X, Y, LENGTHS = RNG.normal(size=(20, 3, 1)), RNG.normal(size=(20, 1)), RNG.integers(1, 4, 20)


def network(**options):
    return tl.Network(hidden_size=3, dense=(), **options)


def uses(net):
    """Everything that takes x and y."""
    return [
        lambda x, y: net.fit(x, y, epochs=1),
        lambda x, y: net.fit(X, np.zeros((20, net.config.output_size)), epochs=1, validation=(x, y)),
        lambda x, y: tl.fit_many([net], [x], [y], epochs=1),
        lambda x, y: net.loss_and_gradients(x, y),
        lambda x, y: tl.gradient_flow(net, x, y),
    ]


class Tensor:
    """What PyTorch's tensors do that need a gradient."""

    shape = (20, 3, 1)

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )


@pytest.mark.parametrize("y", [Y[:, 0], list(Y[:, 0]), pd.Series(Y[:, 0])], ids=["array", "list", "Series"])
def test_targets_of_one_output_may_be_flat(y):
    net = network(dtype="float64")
    assert net.loss_and_gradients(X, y)[0] == net.loss_and_gradients(X, Y)[0]
    flat, column = network(), network()
    assert (
        flat.fit(X, y, epochs=3, validation=(X, y)).loss.tolist() == column.fit(X, Y, epochs=3).loss.tolist()
    )
    for name, value in column.state_dict().items():
        np.testing.assert_array_equal(flat.state_dict()[name], value)


def test_flat_targets_of_several_outputs_are_refused():
    for use in uses(network(output_size=2)):
        with pytest.raises(DataError, match=r"y must have shape \(20, 2\), .* but has \(20,\)"):
            use(X, Y[:, 0])


def test_complex_numbers_are_refused():
    net = tl.Network(seed=0)
    with pytest.raises(DataError, match="x holds complex numbers"):
        net.predict(X + 1j)
    with pytest.raises(DataError, match="y holds complex numbers"):
        net.fit(X, Y.astype(np.complex128), epochs=1)


def test_a_single_network_is_no_sequence_of_them():
    with pytest.raises(OptionError, match="networks must be a sequence: put a single network into a list"):
        tl.fit_many(tl.Network(), X, Y, epochs=1)


def test_masked_arrays_are_refused_with_or_without_gaps():
    net = network()
    for mask in (False, True):
        x, y = np.ma.masked_array(X, mask), np.ma.masked_array(Y, mask)
        for use in uses(net):
            with pytest.raises(DataError, match="x is a masked array"):
                use(x, Y)
            with pytest.raises(DataError, match="y is a masked array"):
                use(X, y)
        with pytest.raises(DataError, match="x is a masked array"):
            net.predict(x)
        with pytest.raises(DataError, match="lengths is a masked array"):
            net.predict(X, lengths=np.ma.masked_array(LENGTHS, mask))
        state = net.state_dict()
        state["dense.0.bias"] = np.ma.masked_array(state["dense.0.bias"], mask)
        with pytest.raises(DataError, match=r"dense\.0\.bias is a masked array"):
            net.load_state_dict(state)


def test_tensors_that_need_a_gradient_are_refused_in_the_words_of_their_library():
    net = network()
    for use in uses(net):
        with pytest.raises(DataError, match=r"x must be an array .* \(N, T, 1\): .*Use tensor\.detach"):
            use(Tensor(), Y)
        with pytest.raises(DataError, match=r"y must be an array .* \(20, 1\): .*Use tensor\.detach"):
            use(X, Tensor())
    with pytest.raises(DataError, match=r"parameter dense\.0\.bias must be .*detach"):
        net.load_state_dict({**net.state_dict(), "dense.0.bias": Tensor()})


def test_subclasses_of_arrays_are_arrays():
    class Labelled(np.ndarray):
        pass

    net = network(dtype="float64")
    assert type(net.predict(X.view(Labelled))) is np.ndarray
    np.testing.assert_array_equal(net.predict(X.view(Labelled)), net.predict(X))
