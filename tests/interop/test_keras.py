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
