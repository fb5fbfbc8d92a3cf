"""Networks against the reference in naive.py, and what their constructor, state and files promise."""

import os
import pickle
import re
import subprocess
import sys

import naive
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import assert_close
from safetensors.numpy import load_file

import trendlstm as tl
from trendlstm.errors import DataError, OptionError, TrendLSTMError
from trendlstm.kernels import buffers, cells

RNNS = ["rnn", "rnn-sigmoid"]
RECURRENT = ["lstm", "lstm1997", "gru", *RNNS]
CELLS = [*RECURRENT, "ann"]
RTOL = {"float64": 1e-9, "float32": 1e-4}


def network_and_reference(
    rng, cell="lstm", T=5, F=1, H=8, dense=(4,), m=1, bias=True, squash_output=True, dtype="float64"
):
    """A network with random weights and biases everywhere, and the same numbers in float64."""
    net = tl.Network(
        input_size=F,
        hidden_size=H,
        dense=dense,
        output_size=m,
        cell=cell,
        dtype=dtype,
        lag=T if cell == "ann" else None,
        bias=bias,
        squash_output=squash_output,
    )
    net.load_state_dict(naive.random_params(rng, cell, T, F, H, dense, m, bias))
    return net, {name: tensor.astype(np.float64) for name, tensor in net.state_dict().items()}


def data(rng, net, N, T, F, m, every_step=False):
    """Inputs, and targets that lie well away from the outputs, so that no gradient is a small difference."""
    x = rng.uniform(-1.5, 1.5, (N, T, F)).astype(net.dtype)
    shape = (N, T, m) if every_step else (N, m)
    y = (rng.normal(size=shape) + 5 * rng.choice([-1, 1])).astype(net.dtype)
    return x, y


def check_against_naive(net, reference, x, y, cell, rtol, **options):
    lengths, every_step = options.get("lengths"), y.ndim == 3
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    outputs = net.predict(x, lengths=lengths, every_step=every_step)
    expected = naive.predict(reference, x64, cell, every_step, **options)
    assert outputs.dtype == x.dtype
    np.testing.assert_array_equal(np.isnan(outputs), np.isnan(expected))
    assert_close(np.nan_to_num(outputs), np.nan_to_num(expected), rtol, "outputs")

    loss, grads = net.loss_and_gradients(x, y, lengths=lengths)
    expected_loss, expected = naive.loss_and_gradients(reference, x64, y64, cell, **options)
    assert loss == pytest.approx(expected_loss, rel=rtol)
    assert list(grads) == list(net.state_dict())
    for name, gradient in grads.items():
        assert gradient.dtype == x.dtype
        assert_close(gradient, expected[name], rtol, name)


# -------------------------------------------------------------------------------------- against the reference


HIDDEN = st.sampled_from([1, 2, 4, 7, 8, 13, 16, 33, 64])


@st.composite
def problems(draw):
    cell = draw(st.sampled_from(CELLS))
    gated = cell.startswith("lstm")
    shape = {
        "cell": cell,
        "T": draw(st.integers(1, 12)),
        "F": draw(st.sampled_from([1, 2, 3, 8, 17, 50])),
        "H": draw(HIDDEN if cell == "ann" else HIDDEN | st.tuples(HIDDEN, HIDDEN) | st.tuples(*3 * [HIDDEN])),
        "dense": tuple(draw(st.lists(st.sampled_from([1, 3, 8, 17, 32]), max_size=3))),
        "m": draw(st.sampled_from([1, 2, 5, 16])),
        "bias": draw(st.booleans()),
        "squash_output": draw(st.booleans()) if gated else True,
    }
    padded, every_step = (draw(st.booleans()) if cell != "ann" else False for _ in range(2))
    samples, seed = draw(st.sampled_from([1, 2, 7, 8, 9, 31, 33])), draw(st.integers(0, 2**32 - 1))
    return shape, samples, padded, every_step, seed


@settings(max_examples=100, deadline=None)
@given(problems())
def test_float64_outputs_and_gradients_are_the_references(problem):
    check_problem(*problem, "float64")


# The same examples in every run: now and then a float32 gradient is all rounding, however it is computed.
@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_float32_outputs_and_gradients_are_the_references(problem):
    check_problem(*problem, "float32")


def check_problem(shape, N, padded, every_step, seed, dtype):
    rng = np.random.default_rng(seed)
    net, reference = network_and_reference(rng, **shape, dtype=dtype)
    x, y = data(rng, net, N, shape["T"], shape["F"], shape["m"], every_step)
    options = {} if shape["cell"] == "ann" else {"squash_output": shape["squash_output"]}
    if padded:
        options["lengths"] = rng.integers(1, shape["T"], N, endpoint=True)
    check_against_naive(net, reference, x, y, shape["cell"], RTOL[dtype], **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("N", "T", "F", "H", "dense", "m"),
    [
        (1, 1, 1, 1, (), 1),
        (9, 3, 1, 512, (32, 32), 1),
        (17, 4, 50, 130, (130,), 7),
        (70, 60, 1, 64, (32, 32), 1),
        (3, 2, 1, 7, (512,), 1),
        (303, 3, 2, 5, (4,), 2),  # more chunks than the kernels have accumulators
    ],
)
def test_large_and_smallest_shapes(N, T, F, H, dense, m, cell, dtype):
    rng = np.random.default_rng(H)
    net, reference = network_and_reference(rng, cell, T, F, H, dense, m, dtype=dtype)
    x, y = data(rng, net, N, T, F, m)
    check_against_naive(net, reference, x, y, cell, RTOL[dtype])


@pytest.mark.parametrize("cell", CELLS)
def test_lags_as_features_of_one_step(cell):
    rng = np.random.default_rng(1)
    net, reference = network_and_reference(rng, cell, T=1, F=20, H=16)
    x, y = data(rng, net, 12, 1, 20, 1)
    check_against_naive(net, reference, x, y, cell, 1e-9)
    if cell != "ann":  # h_0 is zero: with a single step no gradient reaches the recurrent weights
        assert not net.loss_and_gradients(x, y)[1]["recurrent.weight_hh"].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tanh_and_sigmoid_are_accurate_to_a_few_units_in_the_last_place(dtype):
    """Networks of one unit that are the bare functions: tanh(x), and o c = sigmoid(x), since i = g = 1 makes c = 1."""
    eps, limit = np.finfo(dtype).eps, 80 if dtype == "float32" else 700
    x = np.concatenate(
        [np.linspace(-limit, limit, 20_001), np.geomspace(1e-30, 1, 5_000), np.linspace(-2, 2, 20_001)]
    )
    x = np.concatenate([x, -x]).astype(dtype)
    exact = x.astype(np.longdouble)
    head = {"dense.0.weight": [[1.0]], "dense.0.bias": [0.0]}

    tanh = tl.Network(hidden_size=1, dense=(), cell="ann", lag=1, dtype=dtype)
    tanh.load_state_dict({"hidden.weight": [[1.0]], "hidden.bias": [0.0]} | head)
    np.testing.assert_allclose(tanh.predict(x[:, None, None])[:, 0], np.tanh(exact), rtol=4 * eps)

    sigmoid = tl.Network(hidden_size=1, dense=(), squash_output=False, dtype=dtype)
    gates = {
        "weight_ih": [[0.0], [0.0], [0.0], [1.0]],
        "weight_hh": np.zeros((4, 1)),
        "bias": [1e3, 0.0, 1e3, 0.0],
    }
    sigmoid.load_state_dict({f"recurrent.{name}": value for name, value in gates.items()} | head)
    np.testing.assert_allclose(
        sigmoid.predict(x[:, None, None])[:, 0], 1 / (1 + np.exp(-exact)), rtol=4 * eps
    )


@pytest.mark.parametrize("cell", RECURRENT)
def test_saturated_gates_stay_exact(cell):
    """Pre-activations of hundreds make gates of exactly 0 and 1; nothing overflows or becomes NaN."""
    rng = np.random.default_rng(2)
    net, reference = network_and_reference(rng, cell, F=3)
    x, y = data(rng, net, 9, 5, 3, 1)
    check_against_naive(net, reference, 500 * x, y, cell, 1e-6)  # 1 - h^2 loses digits as h nears 1


@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("cell", CELLS)
def test_float32_survives_huge_inputs(cell, scale):
    """Gradients of the few gates that are not saturated depend on the last bits of z; outputs do not."""
    rng = np.random.default_rng(2)
    net, reference = network_and_reference(rng, cell, F=3, dtype="float32")
    x, y = data(rng, net, 9, 5, 3, 1)
    x *= np.float32(scale)
    assert_close(net.predict(x), naive.predict(reference, x.astype(np.float64), cell), 1e-4)
    assert all(np.isfinite(gradient).all() for gradient in net.loss_and_gradients(x, y)[1].values())


@pytest.mark.parametrize("cell", RECURRENT)
def test_lengths_are_samples_evaluated_one_by_one(cell):
    rng = np.random.default_rng(3)
    net, _ = network_and_reference(rng, cell, T=7, F=2, m=3)
    x, y = data(rng, net, 20, 7, 2, 3)
    lengths = rng.integers(1, 7, 20, endpoint=True)
    lengths[:2] = 1, 7
    rows = [(x[n : n + 1, :length], y[n : n + 1]) for n, length in enumerate(lengths)]
    assert_close(
        net.predict(x, lengths=lengths),
        np.concatenate([net.predict(row) for row, _ in rows]),
        1e-12,
        "outputs",
    )
    loss, grads = net.loss_and_gradients(x, y, lengths=lengths)
    alone = [net.loss_and_gradients(*row) for row in rows]
    assert loss == pytest.approx(np.mean([one[0] for one in alone]), rel=1e-12)
    for name in grads:
        assert_close(grads[name], np.mean([one[1][name] for one in alone], axis=0), 1e-9, name)


def test_padding_after_a_samples_end_has_no_effect():
    rng = np.random.default_rng(4)
    net, _ = network_and_reference(rng, T=6, F=2)
    x, y = data(rng, net, 10, 6, 2, 1)
    lengths = rng.integers(1, 5, 10, endpoint=True)
    other = x.copy()
    for n, length in enumerate(lengths):
        other[n, length:] = 1e30
    assert net.predict(x, lengths=lengths).tobytes() == net.predict(other, lengths=lengths).tobytes()
    grads = [net.loss_and_gradients(rows, y, lengths=lengths)[1] for rows in (x, other)]
    for name in grads[0]:
        assert grads[0][name].tobytes() == grads[1][name].tobytes()


@pytest.mark.parametrize("every_step", [False, True])
def test_outputs_do_not_depend_on_the_number_of_threads(every_step):
    rng = np.random.default_rng(5)
    net, _ = network_and_reference(rng, H=24, dtype="float32")
    x, _ = data(rng, net, 803, 40, 1, 1)  # enough that threads are worth starting
    outputs = {net.predict(x, n_threads=n, every_step=every_step).tobytes() for n in (None, 1, 2, 4, 64)}
    assert len(outputs) == 1


@pytest.mark.parametrize("cell", RECURRENT)
def test_the_outputs_of_every_step_are_those_of_windows_that_end_there(cell):
    rng = np.random.default_rng(9)
    net, _ = network_and_reference(rng, cell, T=6, F=2, m=3)
    x, _ = data(rng, net, 20, 6, 2, 3)
    outputs = net.predict(x, every_step=True)
    assert outputs.shape == (20, 6, 3)
    for t in range(6):
        assert_close(outputs[:, t], net.predict(x[:, : t + 1]), 1e-12)
    lengths = rng.integers(1, 6, 20, endpoint=True)
    cut = net.predict(x, lengths=lengths, every_step=True)
    ended = np.arange(6) >= lengths[:, None]
    assert np.isnan(cut[ended]).all() and cut[~ended].tobytes() == outputs[~ended].tobytes()


@pytest.mark.parametrize("cell", RECURRENT)
def test_a_loss_on_every_step_ignores_what_stands_after_a_samples_end(cell):
    rng = np.random.default_rng(10)
    net, _ = network_and_reference(rng, cell, T=6, F=2)
    x, y = data(rng, net, 20, 6, 2, 1, every_step=True)
    lengths = rng.integers(1, 5, 20, endpoint=True)
    ended = np.arange(6) >= lengths[:, None]
    loss, grads = net.loss_and_gradients(x, y, lengths=lengths)
    errors = (net.predict(x, lengths=lengths, every_step=True) - y)[~ended]
    assert loss == pytest.approx(np.mean(errors**2), rel=1e-12)
    x[ended], y[ended] = 1e30, -1e30
    again, same = net.loss_and_gradients(x, y, lengths=lengths)
    assert again == loss and all(same[name].tobytes() == grads[name].tobytes() for name in grads)


def test_what_every_step_cannot_be():
    net, ann = tl.Network(), tl.Network(cell="ann", lag=5)
    x, y = np.zeros((3, 5, 1)), np.zeros((3, 5, 1))
    with pytest.raises(OptionError, match=r"'ann'.*every_step"):
        ann.predict(x, every_step=True)
    with pytest.raises(DataError, match=r"^y must have shape \(3, 1\), but has \(3, 5, 1\)\.$"):
        ann.loss_and_gradients(x, y)
    with pytest.raises(
        DataError, match=r"^y must have shape \(3, 1\), or \(3, 5, 1\) for .* has \(3, 4, 1\)"
    ):
        net.loss_and_gradients(x, y[:, :4])


def test_any_memory_layout_and_dtype_of_the_callers_arrays():
    rng = np.random.default_rng(6)
    net, _ = network_and_reference(rng, F=3, m=2)
    x, y = data(rng, net, 10, 5, 3, 2)
    x, y = x.astype(np.float32), y.astype(np.float32)  # exactly representable in both
    loss, grads = net.loss_and_gradients(x.astype(np.float64), y.astype(np.float64))
    wide = np.zeros((20, 5, 6))
    wide[::2, :, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for layout in (x, np.asfortranarray(x), wide[::2, :, ::2], read_only):
        before = layout.copy()
        again, same = net.loss_and_gradients(layout, np.asfortranarray(y))
        assert again == loss
        assert all(same[name].tobytes() == grads[name].tobytes() for name in grads)
        np.testing.assert_array_equal(layout, before)


def test_loss_and_gradients_leave_the_weights_alone():
    rng = np.random.default_rng(7)
    net, reference = network_and_reference(rng)
    x, y = data(rng, net, 10, 5, 1, 1)
    net.loss_and_gradients(x, y)
    net.predict(x)
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor, reference[name])


@numba.njit
def call(kernel, *arguments):
    """A kernel that other kernels call."""
    kernel(*arguments)


@pytest.mark.parametrize("squash_output", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cell", RECURRENT)
def test_recurrent_kernels_take_initial_states_and_gradients_of_every_step(cell, dtype, squash_output):
    """What sequence tasks need and forecasting does not use: no public function reaches it."""
    rng = np.random.default_rng(8)
    N, T, F, H = buffers.CHUNK_ROWS, 7, 3, buffers.PADDING
    G = naive.GATES[cell]
    params = naive.random_params(rng, cell, T, F, H)
    x, lengths = rng.normal(size=(N, T, F)), rng.integers(1, T, N, endpoint=True)
    h0, c0 = rng.normal(size=(2, N, H))
    dh_steps = rng.normal(size=(N, T, H)) * (np.arange(T) < lengths[:, None])[:, :, None]
    trace = naive.recurrent_forward(params, x, cell, lengths, h0, c0, squash_output)
    expected = naive.recurrent_backward(params, trace, dh_steps)

    codes = buffers.LSTM, buffers.LSTM1997, buffers.GRU, buffers.RNN, buffers.RNN_SIGMOID
    code = dict(zip(RECURRENT, codes, strict=True))[cell]
    plan = buffers.make_plan(code, T, F, (H,), (), 1, True, squash_output)
    work, x_row = buffers.make_workspace(plan, np.dtype(dtype)), plan.layers[0].x_row
    layer = buffers.layer_views(plan, work, 0)
    # the order of the rows: [h, x, 1], of the GRU [h, 1, x, 1]
    biases = ("bias_hh", "bias_ih") if cell == "gru" else ("bias",)
    names = ("weight_hh", *biases[:-1], "weight_ih", biases[-1])
    W = np.hstack([params[f"recurrent.{name}"].reshape(G * H, -1) for name in names])
    weight = np.ascontiguousarray(W.reshape(G, H, -1).swapaxes(1, 2), dtype)
    transposed = np.ascontiguousarray(weight[:, :H].swapaxes(1, 2))
    dweight = np.full_like(weight, np.nan)
    layer.inputs[:, :, [W.shape[1] - 1, *([H] if cell == "gru" else [])]] = 1
    layer.inputs[0, :, :H] = h0
    layer.inputs[:-1, :, x_row : x_row + F] = x.swapaxes(0, 1)
    external = work.dh_external.reshape(T, -1)
    external[:] = dh_steps.swapaxes(0, 1).reshape(T, -1)
    if cell in RNNS:
        is_logistic = cell == "rnn-sigmoid"
        call(cells.rnn_forward, layer, weight, lengths, H, is_logistic, False, False)
        h = layer.inputs[1:, :, :H].copy()
        call(cells.rnn_backward, layer, transposed, is_logistic, False, external, work.dh)
    elif cell == "gru":
        call(cells.gru_forward, layer, weight, lengths, x_row, False, False)
        h = layer.inputs[1:, :, :H].copy()
        call(cells.gru_backward, layer, transposed, False, external, work.dh, work.dc)
    else:
        layer.cell[0] = c0.ravel()
        kind = cell == "lstm", squash_output, False
        call(cells.lstm_forward, layer, weight, lengths, *kind, False)
        h = layer.inputs[1:, :, :H].copy()
        call(cells.lstm_backward, layer, transposed, *kind, external, work.dh, work.dc)
        assert_close(work.dc.reshape(N, H), expected["c0"], RTOL[dtype], "c0")
    call(cells.recurrent_weight_gradient, dweight, layer, x_row, cell == "gru", 0, False, False)
    for n, length in enumerate(lengths):
        assert_close(h[:length, n], trace.h[n, 1 : length + 1], RTOL[dtype], "h")
    ends = [H, x_row, x_row + F] if cell == "gru" else [H, H + F]
    rows = np.split(dweight.swapaxes(1, 2).reshape(G * H, -1), ends, axis=1)
    for name, gradient in zip(names, rows, strict=True):
        name = f"recurrent.{name}"
        assert_close(gradient.reshape(params[name].shape), expected[name], RTOL[dtype], name)


# --------------------------------------------------------------------------------- parameters and the summary


def test_reference_model_has_the_lecture_notes_parameters():
    net = tl.Network()
    assert net.num_params == 20_065
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        "recurrent.weight_ih": (256, 1),
        "recurrent.weight_hh": (256, 64),
        "recurrent.bias": (256,),
        "dense.0.weight": (32, 64),
        "dense.0.bias": (32,),
        "dense.1.weight": (32, 32),
        "dense.1.bias": (32,),
        "dense.2.weight": (1, 32),
        "dense.2.bias": (1,),
    }
    summary = net.summary()
    counts = re.findall(r"(?<![\d.,])(?:16,896|2,080|1,056|33|20,065)(?![\d.,])", summary)
    assert counts[:4] == ["16,896", "2,080", "1,056", "33"]
    assert "20,065" in counts
    assert "78.38 KB" in summary


@pytest.mark.parametrize(
    ("options", "recurrent"),
    [
        ({"cell": "lstm"}, 4 * 64 * (64 + 1 + 1)),
        ({"cell": "lstm", "bias": False}, 4 * 64 * (64 + 1)),
        ({"cell": "lstm1997"}, 3 * 64 * (64 + 1 + 1)),
        ({"cell": "gru"}, 3 * 64 * (64 + 1 + 2)),
        ({"cell": "gru", "layers": 2}, 3 * 64 * (64 + 1 + 2) + 3 * 64 * (64 + 64 + 2)),
        ({"cell": "gru", "bias": False}, 3 * 64 * (64 + 1)),
        ({"hidden_size": (50, 64)}, 4 * 50 * (50 + 1 + 1) + 4 * 64 * (64 + 50 + 1)),
        ({"cell": "rnn"}, 64 * (64 + 1 + 1)),
        ({"cell": "ann", "lag": 20}, 64 * (20 + 1)),
        ({"cell": "lstm", "input_size": 5}, 4 * 64 * (64 + 5 + 1)),
    ],
)
def test_parameter_counts_of_every_cell(options, recurrent):
    net = tl.Network(**options)
    assert net.num_params == recurrent + 2080 + 1056 + 33
    assert net.num_params == sum(tensor.size for tensor in net.state_dict().values())
    if net.config.layers == 1:
        assert f"{recurrent:,}" in net.summary()
    assert f"{net.num_params:,}" in net.summary()


@pytest.mark.parametrize(
    "dtype", [np.float64, np.dtype("float64"), np.dtype(">f8"), np.zeros(1).dtype], ids=repr
)
def test_numpys_dtypes_are_taken(dtype):
    net, named = tl.Network(dtype=dtype), tl.Network(dtype="float64")
    assert net.config == named.config and net.dtype == named.dtype == np.float64
    assert type(net.config.dtype) is str
    assert net.predict(np.ones((1, 3, 1))).dtype == np.float64


def test_summary_counts_bytes_of_the_networks_dtype():
    assert "156.76 KB" in tl.Network(dtype="float64").summary()


# --------------------------------------------------------------------------------------------- initial values


def test_initial_values_are_keras_by_default():
    state = tl.Network(input_size=50, hidden_size=64, dense=(32, 16)).state_dict()
    for name, fan_in, fan_out in (
        ("recurrent.weight_ih", 50, 256),
        ("dense.0.weight", 64, 32),
        ("dense.1.weight", 32, 16),
        ("dense.2.weight", 16, 1),
    ):
        check_uniform(state[name], np.sqrt(6 / (fan_in + fan_out)))
    i, f, g, o = np.split(state["recurrent.bias"], 4)
    assert np.all(f == 1)
    assert not np.any([i, g, o])
    assert not any(state[f"dense.{k}.bias"].any() for k in range(3))


def check_uniform(tensor, limit):
    """Inside the limits, filling them, and centred."""
    assert np.max(np.abs(tensor)) <= limit
    assert np.max(np.abs(tensor)) > limit * (1 - 20 / tensor.size)
    assert abs(np.mean(tensor)) < 4.5 * limit / np.sqrt(3 * tensor.size)
    assert np.unique(tensor).size > 0.9 * tensor.size


@pytest.mark.parametrize("hidden", [1, 7, 64, 130])
@pytest.mark.parametrize("cell", RECURRENT)
def test_recurrent_weights_start_with_orthonormal_columns(cell, hidden):
    weight = tl.Network(cell=cell, hidden_size=hidden, dtype="float64").state_dict()["recurrent.weight_hh"]
    np.testing.assert_allclose(weight.T @ weight, np.eye(hidden), atol=1e-12)


def test_glorot_and_uniform_initial_values():
    glorot = tl.Network(input_size=50, init="glorot").state_dict()
    check_uniform(glorot["recurrent.weight_ih"], np.sqrt(6 / (50 + 256)))
    check_uniform(glorot["recurrent.weight_hh"], np.sqrt(6 / (64 + 256)))
    uniform = tl.Network(input_size=50, init="uniform").state_dict()
    check_uniform(uniform["recurrent.weight_ih"], 1 / np.sqrt(64))
    check_uniform(uniform["recurrent.weight_hh"], 1 / np.sqrt(64))


def test_initial_values_depend_on_the_seed_alone():
    first, same, other = (tl.Network(seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(first[name].tobytes() == same[name].tobytes() for name in first)
    assert all(not np.array_equal(first[name], other[name]) for name in first if name.endswith("weight_hh"))
    assert all(
        not np.array_equal(first[name], other[name]) for name in first if re.match(r"dense.*weight", name)
    )


def test_initial_values_do_not_depend_on_the_threads_of_the_blas():
    """OpenBLAS adds up in another order for another number of threads, so no sum may be left to it."""
    code = """if True:
        import trendlstm as tl
        state = tl.Network(hidden_size=130, dtype="float64").state_dict()
        print(state["recurrent.weight_hh"].tobytes().hex())
    """
    printed = set()
    for threads in ("1", "2", "3"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads}
        printed.add(subprocess.check_output([sys.executable, "-c", code], env=environment))
    assert len(printed) == 1


@pytest.mark.parametrize("forget_bias", [0, 1])
def test_forget_bias(forget_bias):
    bias = tl.Network(hidden_size=5, forget_bias=forget_bias).state_dict()["recurrent.bias"]
    np.testing.assert_array_equal(bias, [0] * 5 + [forget_bias] * 5 + [0] * 10)


def test_chrono_forget_bias():
    """Tallec & Ollivier 2018: b_f = ln U[1, T-1], b_i = -b_f."""
    bias = tl.Network(hidden_size=100, forget_bias="chrono", lag=20, dtype="float64").state_dict()[
        "recurrent.bias"
    ]
    i, f, g, o = np.split(bias, 4)
    np.testing.assert_array_equal(i, -f)
    assert not np.any([g, o])
    check_uniform(np.exp(f) - 10, 9)


# -------------------------------------------------------------------------------------------- state and files


@pytest.mark.parametrize("cell", CELLS)
def test_state_dict_makes_a_round_trip(cell):
    first = tl.Network(cell=cell, lag=4, input_size=2, hidden_size=9, seed=1)
    second = tl.Network(cell=cell, lag=4, input_size=2, hidden_size=9, seed=2)
    second.load_state_dict(first.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 4, 2))
    assert second.predict(x).tobytes() == first.predict(x).tobytes()
    for name, tensor in first.state_dict().items():
        assert second.state_dict()[name].tobytes() == tensor.tobytes()


def test_state_dict_is_a_snapshot():
    net = tl.Network(hidden_size=4)
    before, x = net.state_dict(), np.ones((3, 2, 1))
    outputs = net.predict(x)
    net.state_dict()["recurrent.bias"][:] = 7
    assert net.predict(x).tobytes() == outputs.tobytes()
    given = {name: tensor.copy() for name, tensor in before.items()}
    net.load_state_dict(given)
    given["recurrent.bias"][:] = 7
    assert net.predict(x).tobytes() == outputs.tobytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("dense.1.bias"), ["dense.1.bias", "missing"]),
        (lambda state: state.update({"dense.9.bias": np.zeros(1)}), ["dense.9.bias"]),
        (
            lambda state: state.update({"dense.0.weight": np.zeros((4, 32))}),
            ["dense.0.weight", "(32, 4)", "(4, 32)"],
        ),
        (
            lambda state: state.update({"dense.0.weight": np.full((4, 32), np.nan)}),
            ["dense.0.weight", "finite as float32 and of shape (32, 4), not (4, 32), but", "[0, 0] is nan."],
        ),
        (
            lambda state: state.update({"dense.0.weight": np.full((32, 4), np.nan)}),
            [
                "parameter dense.0.weight must be finite as float32, but parameter dense.0.weight[0, 0] is nan."
            ],
        ),
    ],
)
def test_load_state_dict_names_what_is_wrong_and_changes_nothing(change, named):
    net = tl.Network(hidden_size=4)
    before = net.state_dict()
    state = tl.Network(hidden_size=4, seed=1).state_dict()
    change(state)
    with pytest.raises(TrendLSTMError) as error:
        net.load_state_dict(state)
    assert all(word in str(error.value) for word in named)
    assert all(net.state_dict()[name].tobytes() == before[name].tobytes() for name in before)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "lstm1997", "dtype": "float64", "squash_output": False},
        {"cell": "rnn", "bias": False, "dense": (), "seed": 12},
        {"cell": "ann", "lag": 6, "init": "uniform"},
        {"forget_bias": "chrono", "lag": 6, "output_size": 5, "input_size": 3},
    ],
)
def test_saved_networks_load_bit_for_bit(options, tmp_path):
    net = tl.Network(**options)
    x = np.random.default_rng(0).normal(size=(5, 6, options.get("input_size", 1)))
    for path in (tmp_path / "a.safetensors", str(tmp_path / "b.safetensors")):
        net.save(path)
        loaded = tl.load(path)
        assert loaded.config == net.config
        assert loaded.predict(x).tobytes() == net.predict(x).tobytes()
        stored = load_file(path)
        assert set(stored) == set(net.state_dict()) == set(loaded.state_dict())
        for name, tensor in net.state_dict().items():
            assert loaded.state_dict()[name].tobytes() == tensor.tobytes() == stored[name].tobytes()


@pytest.mark.parametrize("cell", CELLS)
def test_pickled_networks_are_what_the_kernels_are_compiled_for(cell):
    rng = np.random.default_rng(0)
    net, _ = network_and_reference(rng, cell)
    x, y = data(rng, net, 20, 5, 1, 1)
    expected = net.predict(x)
    net.theta.flags.writeable = False  # as in a memory map
    copy = pickle.loads(pickle.dumps(net))
    assert copy.theta.flags.writeable and copy.theta.ctypes.data % 64 == 0
    assert np.array_equal(copy.predict(x), expected)
    net.theta.flags.writeable = True
    for each in (net, copy):
        each.fit(x, y, epochs=2)
    assert np.array_equal(copy.theta, net.theta)


def test_load_names_the_file_it_cannot_read(tmp_path):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    tl.Network().save(whole)
    for content in (b"", b"no safetensors at all", whole.read_bytes()[:-100]):
        path.write_bytes(content)
        with pytest.raises(TrendLSTMError, match=r"broken\.safetensors"):
            tl.load(path)
    with pytest.raises((TrendLSTMError, FileNotFoundError), match=r"absent\.safetensors"):
        tl.load(tmp_path / "absent.safetensors")


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"input_size": 0}, "input_size"),
        ({"input_size": 1.5}, "input_size"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": -3}, "hidden_size"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"dense": (32, 0)}, "dense"),
        ({"dense": (32, 1.5)}, "dense"),
        ({"dense": 32}, "dense"),
        ({"output_size": 0}, "output_size"),
        ({"cell": "qrnn"}, "cell"),
        ({"hidden_size": ()}, "hidden_size"),
        ({"hidden_size": (8, 0)}, "hidden_size"),
        ({"hidden_size": (8, 9), "layers": 3}, "layers"),
        ({"hidden_size": (1,) * 9}, "layers"),
        ({"layers": 0}, "layers"),
        ({"layers": 9}, "layers"),
        ({"layers": 1.5}, "layers"),
        ({"cell": "ann", "lag": 3, "layers": 2}, "dense"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"dropout": "much"}, "dropout"),
        ({"recurrent_dropout": 1}, "recurrent_dropout"),
        ({"cell": "ann", "lag": 3, "recurrent_dropout": 0.1}, "dropout"),
        ({"dtype": "float16"}, "dtype"),
        ({"dtype": np.float16}, "dtype"),
        ({"dtype": float}, "dtype"),
        ({"dtype": None}, "dtype"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"cell": "ann"}, "lag"),
        ({"cell": "ann", "lag": 0}, "lag"),
        ({"init": "he"}, "init"),
        ({"forget_bias": 2}, "forget_bias"),
        ({"forget_bias": "much"}, "forget_bias"),
        ({"forget_bias": "chrono"}, "lag"),
        ({"forget_bias": "chrono", "lag": 2}, "lag"),
    ],
)
def test_bad_arguments_are_named(options, named):
    with pytest.raises(OptionError, match=rf"\b{named}\b"):
        tl.Network(**options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["predict", "loss_and_gradients", "fit"])
@pytest.mark.parametrize("culprit", ["x", "y"])
def test_non_finite_data_is_refused(culprit, method, value):
    arrays = {"x": np.ones((12, 4, 1)), "y": np.ones((12, 1))}
    if method == "predict":
        if culprit == "y":
            return
        del arrays["y"]
    arrays[culprit].flat[7] = value
    net = tl.Network(hidden_size=4)
    before = net.state_dict()
    with pytest.raises(TrendLSTMError, match=rf"\b{culprit}\b.*finite"):
        getattr(net, method)(**arrays)
    assert all(net.state_dict()[name].tobytes() == before[name].tobytes() for name in before)


@pytest.mark.parametrize(
    ("options", "x_shape", "y_shape", "culprit", "given_shape", "expected_shape"),
    [
        ({"input_size": 3}, (12, 4), (12, 1), "x", "(12, 4)", "(N, T, 3)"),
        ({"input_size": 3}, (12, 4, 2), (12, 1), "x", "(12, 4, 2)", "(N, T, 3)"),
        ({"input_size": 3}, (12, 0, 3), (12, 1), "x", "(12, 0, 3)", "(N, T, 3)"),
        ({"input_size": 3}, (0, 4, 3), (0, 1), "x", "(0, 4, 3)", "(N, T, 3)"),
        ({"cell": "ann", "lag": 5}, (12, 4, 1), (12, 1), "x", "(12, 4, 1)", "(N, 5, 1)"),
        ({}, (12, 4, 1), (11, 1), "y", "(11, 1)", "(12, 1)"),
        ({}, (12, 4, 1), (12, 2), "y", "(12, 2)", "(12, 1)"),
        ({"output_size": 2}, (12, 4, 1), (12,), "y", "(12,)", "(12, 2)"),
        ({"output_size": 5}, (12, 4, 1), (12, 1), "y", "(12, 1)", "(12, 5)"),
    ],
)
@pytest.mark.parametrize("method", ["loss_and_gradients", "fit"])
def test_wrong_shapes_are_named(method, options, x_shape, y_shape, culprit, given_shape, expected_shape):
    net = tl.Network(hidden_size=4, **options)
    with pytest.raises(TrendLSTMError) as error:
        getattr(net, method)(np.zeros(x_shape), np.zeros(y_shape))
    message = str(error.value)
    assert re.search(rf"\b{culprit}\b", message)
    assert given_shape in message
    assert expected_shape in message


@pytest.mark.parametrize("lengths", [[1, 2], [0, 1, 2], [1, 2, 5], [1.5, 2, 3]])
def test_bad_lengths_are_refused(lengths):
    with pytest.raises(TrendLSTMError, match="lengths"):
        tl.Network(hidden_size=4).predict(np.zeros((3, 4, 1)), lengths=np.array(lengths))


def test_repr_names_what_is_not_usual():
    usual = (
        "Network(cell='lstm', input_size=1, hidden_size=64, dense=(32, 32), output_size=1, dtype='float32'"
    )
    assert repr(tl.Network()) == f"{usual})"
    assert repr(tl.Network(layers=2, dropout=0.2)) == f"{usual}, layers=2, dropout=0.2)"
    told = repr(tl.Network(loss="pinball", quantiles=(0.1, 0.5)))
    assert told == f"{usual}, loss='pinball', quantiles=(0.1, 0.5))"
    assert repr(tl.Network(loss="cross-entropy", classes=3)) == f"{usual}, loss='cross-entropy', classes=3)"


def test_a_pickle_holds_settings_and_weights_alone():
    """What the kernels make of the settings may look otherwise in another version."""
    net = tl.Network(hidden_size=[3, 2])
    net.predict(np.zeros((2, 4, 1)))
    assert b"Plan" not in pickle.dumps(net)
    assert net.config == tl.NetworkConfig(hidden_size=[3, 2])
