"""Gates and states over time are those of the reference, and those that a prediction is made of."""

import numpy as np
import pytest
from naive import GATES, assert_close, random_params, recurrent_forward, stack_forward

import trendlstm as tl
from trendlstm.errors import DataError, OptionError

NAMES = {"lstm": "ifgo", "lstm1997": "igo", "gru": "rzn", "rnn": "", "rnn-sigmoid": ""}
PLACES = {"gru": "rzn_"}  # of the gates in the reference's trace, where they are not i, f, g, o


def network_of(cell, rng, features=2, hidden=5, dtype="float64", **settings):
    network = tl.Network(features, hidden, dense=(3,), output_size=2, cell=cell, dtype=dtype, **settings)
    params = random_params(rng, cell, 1, features, hidden, (3,), 2, bias=settings.get("bias", True))
    network.load_state_dict(params)
    return network, params


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"squash_output": False}], ids=str)
@pytest.mark.parametrize("samples", [1, 8, 19])
def test_they_are_the_references(cell, settings, samples):
    rng = np.random.default_rng(samples)
    network, params = network_of(cell, rng, **settings)
    x = rng.normal(size=(samples, 7, 2))
    found = tl.gate_activations(network, x)
    trace = recurrent_forward(params, x, cell, squash_output=settings.get("squash_output", True))
    assert_close(found.h, trace.h[:, 1:], 1e-9, "h")
    for name in "ifgorzn":
        if name not in NAMES[cell]:
            assert getattr(found, name) is None
            continue
        index = PLACES.get(cell, "ifgo").index(name)
        expected = np.stack([gates[index] for gates in trace.gates], axis=1)
        assert_close(getattr(found, name), expected, 1e-9, name)
    if not cell.startswith("lstm"):
        assert found.c is None
    else:
        assert_close(found.c, trace.c[:, 1:], 1e-9, "c")


def test_a_prediction_is_the_dense_layers_of_the_last_hidden_state():
    rng = np.random.default_rng(0)
    network, params = network_of("lstm", rng)
    x = rng.normal(size=(11, 6, 2))
    h = tl.gate_activations(network, x).h[:, -1]
    hidden = np.maximum(h @ params["dense.0.weight"].T + params["dense.0.bias"], 0)
    assert_close(network.predict(x), hidden @ params["dense.1.weight"].T + params["dense.1.bias"], 1e-9)


@pytest.mark.parametrize("cell", GATES)
def test_of_several_layers_they_are_the_top_ones(cell):
    rng = np.random.default_rng(3)
    network, params = network_of(cell, rng, hidden=(4, 6))
    x = rng.normal(size=(9, 7, 2))
    assert_close(tl.gate_activations(network, x).h, stack_forward(params, x, cell)[-1].h[:, 1:], 1e-9)


def test_they_are_in_the_networks_dtype_and_leave_it_as_it_is():
    rng = np.random.default_rng(0)
    network, _ = network_of("lstm", rng, dtype="float32")
    before = network.theta.copy()
    found = tl.gate_activations(network, rng.normal(size=(3, 4, 2)))
    assert found.f.dtype == np.float32 and found.f.shape == (3, 4, 5)
    np.testing.assert_array_equal(network.theta, before)


def test_what_cannot_be_asked():
    with pytest.raises(OptionError, match="'ann'"):
        tl.gate_activations(tl.Network(cell="ann", lag=4), np.zeros((1, 4, 1)))
    with pytest.raises(DataError, match="x must have shape"):
        tl.gate_activations(tl.Network(hidden_size=2), np.zeros((1, 4, 3)))
