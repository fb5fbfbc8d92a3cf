"""Weights by PyTorch's names, without PyTorch: arrays in and out, and what is refused by name."""

import subprocess
import sys

import numpy as np
import pytest

import trendlstm as tl
from trendlstm.errors import OptionError


def state(**changes):
    """Of an LSTM with 2 features, 3 hidden units, and linear layers of 4 and 1."""
    rng = np.random.default_rng(0)
    shapes = {
        "lstm.weight_ih_l0": (12, 2), "lstm.weight_hh_l0": (12, 3), "lstm.bias_ih_l0": (12,), "lstm.bias_hh_l0": (12,),
        "fc1.weight": (4, 3), "fc1.bias": (4,), "fc2.weight": (1, 4), "fc2.bias": (1,),
    } | {name.replace("__", "."): shape for name, shape in changes.items()}  # fmt: skip
    return {name: rng.normal(size=shape) for name, shape in shapes.items() if shape is not None}


def second(**changes):
    """Of a second LSTM layer of 3 hidden units."""
    shapes = {"weight_ih": (12, 3), "weight_hh": (12, 3), "bias_ih": (12,), "bias_hh": (12,)} | changes
    return {f"lstm__{kind}_l1": shape for kind, shape in shapes.items()}


def test_two_biases_are_added():
    values = state()
    net = tl.from_pytorch(values)
    assert net.config == tl.NetworkConfig(2, 3, (4,), 1, dtype="float64")
    ours = net.state_dict()
    np.testing.assert_array_equal(
        ours["recurrent.bias"], values["lstm.bias_ih_l0"] + values["lstm.bias_hh_l0"]
    )
    np.testing.assert_array_equal(ours["dense.1.weight"], values["fc2.weight"])
    back = tl.to_pytorch_state_dict(net)
    assert list(back) == [
        "recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "recurrent.bias_ih_l0", "recurrent.bias_hh_l0",
        "dense.0.weight", "dense.0.bias", "dense.1.weight", "dense.1.bias",
    ]  # fmt: skip
    assert not back["recurrent.bias_hh_l0"].any()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    ("sizes", "last"), [((3,), "weight_ih_l0"), ((3, 3), "weight_ih_l1"), ((3, 4), "1.weight_ih_l0")]
)
def test_layers_there_and_back_by_pytorchs_names(sizes, last, cell, bias):
    """Layers of one size are those of one torch.nn.LSTM, of several a list of them."""
    net = tl.Network(2, sizes, (4,), 1, cell=cell, bias=bias, init="uniform")
    state = tl.to_pytorch_state_dict(net)
    assert [name for name in state if "weight_ih" in name][-1] == f"recurrent.{last}"
    again = tl.from_pytorch(state, cell)
    assert (again.config.hidden_sizes, again.config.cell, again.config.bias) == (sizes, cell, bias)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)


def test_the_two_biases_of_a_gru_stay_two():
    shapes = dict(
        lstm__weight_ih_l0=(9, 2), lstm__weight_hh_l0=(9, 3), lstm__bias_ih_l0=(9,), lstm__bias_hh_l0=(9,)
    )
    values = state(**shapes)
    net = tl.from_pytorch(values)
    assert net.config.cell == "gru"
    for kind in ("bias_ih", "bias_hh"):
        np.testing.assert_array_equal(net.state_dict()[f"recurrent.{kind}"], values[f"lstm.{kind}_l0"])
        np.testing.assert_array_equal(
            tl.to_pytorch_state_dict(net)[f"recurrent.{kind}_l0"], values[f"lstm.{kind}_l0"]
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lstm__weight_hh_l1": (12, 3)}, r"weight_ih or weight_hh is missing beside lstm\.weight_hh_l1"),
        (second(weight_ih=(12, 4)), r"lstm\.weight_ih_l1 takes 4 inputs, but the layer before gives 3"),
        (
            second(weight_ih=(3, 3), weight_hh=(3, 3)),
            r"l1 is of the cell 'rnn', but lstm\.weight_hh_l0 of 'lstm'",
        ),
        (
            second(bias_ih=None, bias_hh=None),
            r"lstm\.weight_ih_l1 has not the biases that lstm\.weight_ih_l0 has",
        ),
        ({"lstm__weight_ih_l0_reverse": (12, 2)}, r"lstm\.weight_ih_l0_reverse runs backwards"),
        ({"lstm__weight_hr_l0": (2, 3)}, r"lstm\.weight_hr_l0 is a projection"),
        ({"other__weight_ih_l0": (12, 3)}, r"weight_hh is missing beside other\.weight_ih_l0"),
        (
            {"lstm__weight_hh_l0": (9, 3)},
            r"lstm\.weight_ih_l0 is of shape \(12, 2\), but beside .* it has 9 rows",
        ),
        (
            {
                "lstm__weight_ih_l0": (9, 2),
                "lstm__weight_hh_l0": (9, 3),
                "lstm__bias_ih_l0": (9,),
                "lstm__bias_hh_l0": None,
            },
            r"lstm\.bias_ih_l0 is the only bias of a GRU",
        ),
        ({"lstm__weight_hh_l0": (13, 3)}, r"of shape \(13, 3\), neither"),
        ({"lstm__weight_hh_l0": None}, r"weight_hh is missing beside lstm\.weight_ih_l0"),
        ({"norm__weight": (3,), "norm__bias": (3,)}, r"norm\.weight, norm\.bias: neither of a"),
        ({"epoch": ()}, "epoch: neither of a"),
        ({"fc1__bias": None}, r"fc1\.weight has no bias"),
        ({"fc2__weight": (1, 5)}, r"fc2\.weight takes 5 inputs, but the layer before gives 4"),
        (
            {name: None for name in ("fc1__weight", "fc1__bias", "fc2__weight", "fc2__bias")},
            "no linear layer comes",
        ),
        (
            {"lstm__weight_ih_l0": (3, 2), "lstm__weight_hh_l0": (3, 3)},
            "tanh or relu: give cell='rnn' if it is tanh",
        ),
    ],
)
def test_tensors_without_a_place_are_named(changes, said):
    with pytest.raises(OptionError, match=said):
        tl.from_pytorch(state(**changes))


def test_what_tensors_do_not_say_must_be_said():
    values = state(
        lstm__weight_ih_l0=(3, 2), lstm__weight_hh_l0=(3, 3), lstm__bias_ih_l0=(3,), lstm__bias_hh_l0=None
    )
    assert tl.from_pytorch(values, cell="rnn").config.cell == "rnn"
    with pytest.raises(OptionError, match="is of the cell 'rnn', but cell is 'lstm'"):
        tl.from_pytorch(values, cell="lstm")
    linear = {name: array for name, array in state(fc1__weight=(4, 6)).items() if name.startswith("fc")}
    with pytest.raises(OptionError, match=r"no recurrent layer .* give cell='ann'"):
        tl.from_pytorch(linear)
    with pytest.raises(OptionError, match="give lag="):
        tl.from_pytorch(linear, "ann")
    assert tl.from_pytorch(linear, "ann", lag=3).config == tl.NetworkConfig(
        2, 4, (), 1, cell="ann", lag=3, dtype="float64"
    )


def test_what_are_no_tensors_of_one_dtype():
    low = {name: array.astype(np.float16) for name, array in state().items()}
    with pytest.raises(OptionError, match="the weights are float16, but"):
        tl.from_pytorch(low)
    with pytest.raises(OptionError, match="the weights are float16 and float64, but"):
        tl.from_pytorch(state() | {"fc2.bias": low["fc2.bias"]})
    with pytest.raises(
        OptionError, match=r"holds others \('model_state_dict'\): give the one with the tensors"
    ):
        tl.from_pytorch({"model_state_dict": state(), "epoch": 3})
    with pytest.raises(OptionError, match="was given a list"):
        tl.from_pytorch([1, 2])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "lstm1997"}, "no layer for the cell 'lstm1997'"),
        ({"cell": "rnn-sigmoid"}, "no layer for the cell 'rnn-sigmoid'"),
        ({"squash_output": False}, "no LSTM with squash_output=False"),
    ],
)
def test_cells_that_pytorch_lacks_are_refused(options, said):
    with pytest.raises(OptionError, match=f"PyTorch has {said}"):
        tl.to_pytorch_state_dict(tl.Network(hidden_size=3, **options))


def test_no_framework_is_imported():
    """Neither on the way in nor out, from plain arrays and an object with a Keras model's methods."""
    script = """
        import sys
        import trendlstm as tl
        net = tl.Network(hidden_size=3, dense=())
        tl.from_pytorch(tl.to_pytorch_state_dict(net))
        tl.to_keras_weights(net)
        for refused in (lambda: tl.from_keras(net), lambda: tl.to_pytorch_state_dict(net, net)):
            try:
                refused()
            except tl.errors.OptionError as error:
                print(error)
        print(sorted({"torch", "keras", "tensorflow", "jax"} & set(sys.modules)))
    """
    import textwrap

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "from_keras takes a Keras model, but was given a Network.",
        "module must be a torch.nn.Module, but is a Network.",
        "[]",
    ]
