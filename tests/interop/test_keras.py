"""Weights in Keras' order and shapes, without Keras."""

import numpy as np
import pytest

import trendlstm as tl
from trendlstm.errors import OptionError


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("rnn", 1), ("rnn-sigmoid", 1)])
def test_kernels_are_our_weights_transposed(cell, gates):
    net = tl.Network(2, 3, (4,), 1, cell=cell)
    weights = tl.to_keras_weights(net)
    shapes = [(2, 3 * gates), (3, 3 * gates), (3 * gates,), (3, 4), (4,), (4, 1), (1,)]
    assert [array.shape for array in weights] == shapes
    for ours, theirs in zip(net.state_dict().values(), weights, strict=True):
        np.testing.assert_array_equal(ours.T, theirs)
        assert theirs.flags.c_contiguous


def test_a_gru_has_its_gates_in_the_order_of_keras_and_both_biases_in_one_array():
    net = tl.Network(2, (3, 1), (), 1, cell="gru")
    values = net.state_dict()
    values["recurrent.0.bias_ih"][:] = range(9)
    values["recurrent.0.bias_hh"][:] = range(9, 18)
    net.load_state_dict(values)
    weights = tl.to_keras_weights(net)
    assert [array.shape for array in weights] == [
        (2, 9),
        (3, 9),
        (2, 9),
        (3, 3),
        (1, 3),
        (2, 3),
        (1, 1),
        (1,),
    ]
    r, z, n = np.split(values["recurrent.0.weight_hh"], 3)
    np.testing.assert_array_equal(weights[1], np.concatenate([z, r, n]).T)
    np.testing.assert_array_equal(
        weights[2], [[3, 4, 5, 0, 1, 2, 6, 7, 8], [12, 13, 14, 9, 10, 11, 15, 16, 17]]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "lstm1997"}, "no layer for the cell 'lstm1997'"),
        ({"squash_output": False}, "no LSTM with squash_output=False"),
    ],
)
def test_cells_that_keras_lacks_are_refused(options, said):
    with pytest.raises(OptionError, match=f"Keras has {said}"):
        tl.to_keras_weights(tl.Network(hidden_size=3, **options))
