"""Gradient flow: what it is by definition, on networks small enough to know the answer."""

import json
import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import assert_close

import trendlstm as tl
from trendlstm.errors import DataError, OptionError
from trendlstm.files import jsonable
from trendlstm.nn.gradient_flow import gradient_flows, half_life, kept_per_step, ratio, weight_gradient_terms

RNNS = ["rnn", "rnn-sigmoid"]
CELLS = ["lstm", "lstm1997", "gru", *RNNS]


def random_problem(seed=0, N=9, T=6, cell="lstm", hidden_size=5, dense=(4,), **options):
    """A network with all parameters random, float64, and samples for it."""
    rng = np.random.default_rng(seed)
    net = tl.Network(2, hidden_size, dense, 2, cell, "float64", **options)
    net.load_state_dict(
        naive.random_params(rng, cell, None, 2, hidden_size, dense, 2, options.get("bias", True))
    )
    return net, rng.uniform(-1.5, 1.5, (N, T, 2)), rng.normal(size=(N, 2))


def with_parameters(net, **values):
    """The network with some parameters of the recurrent layer replaced, the others as they were."""
    changed = {f"recurrent.{name}": value for name, value in values.items()}
    net.load_state_dict({name: changed.get(name, value) for name, value in net.state_dict().items()})
    return net


@st.composite
def problems(draw):
    cell = draw(st.sampled_from(CELLS))
    return random_problem(
        seed=draw(st.integers(0, 2**32 - 1)),
        N=draw(st.sampled_from([1, 7, 8, 20, 65])),
        T=draw(st.integers(1, 8)),
        cell=cell,
        hidden_size=draw(st.sampled_from([1, 3, 16, 17, (4, 3), (3, 2, 17)])),
        dense=tuple(draw(st.lists(st.sampled_from([1, 4]), max_size=2))),
        bias=draw(st.booleans()),
        squash_output=draw(st.booleans()) if cell.startswith("lstm") else True,
    )


# ------------------------------------------------------------------------------------------ the sum of the notes


@settings(max_examples=40, deadline=None)
@given(problems())
def test_all_terms_together_are_the_gradient_that_training_uses(problem):
    net, x, y = problem
    terms = weight_gradient_terms(net, x, y)
    _, gradients = net.loss_and_gradients(x, y)
    top = gradients[[name for name in gradients if name.endswith("weight_hh")][-1]]
    assert terms.shape == (x.shape[1], *top.shape)
    scale = max(np.abs(terms).max(), 1e-300)  # terms may cancel
    assert np.abs(terms.sum(axis=0) - top).max() <= 1e-12 * scale
    norms = np.sqrt((terms**2).sum(axis=(1, 2)))
    assert_close(tl.gradient_flow(net, x, y, jacobian_samples=0).weight_terms, norms, 1e-12)
    assert not terms[-1].any()  # h_0 = 0


def test_the_loss_is_the_networks_own():
    """Two targets of three classes: all terms together are the gradient that training uses."""
    rng = np.random.default_rng(0)
    net = tl.Network(2, 4, (), 2, dtype="float64", loss="cross-entropy", classes=3)
    x, y = rng.normal(size=(9, 5, 2)), rng.integers(3, size=(9, 2))
    _, gradients = net.loss_and_gradients(x, y)
    assert_close(weight_gradient_terms(net, x, y).sum(axis=0), gradients["recurrent.weight_hh"], 1e-12)


def test_a_term_is_the_gradient_of_the_weights_of_one_step_alone():
    """By finite differences in the weights that only step T-k uses."""
    net, x, y = random_problem(N=3, T=4, cell="rnn", hidden_size=3)
    params = net.state_dict()
    terms = weight_gradient_terms(net, x, y)
    for k in range(4):
        for row, column in ((0, 0), (2, 1)):
            losses = []
            for epsilon in (1e-5, -1e-5):
                h = np.zeros((3, 3))
                for t in range(4):
                    weight = params["recurrent.weight_hh"].copy()
                    weight[row, column] += epsilon * (t == 3 - k)
                    h = np.tanh(
                        x[:, t] @ params["recurrent.weight_ih"].T + h @ weight.T + params["recurrent.bias"]
                    )
                losses.append(naive.mse(naive.dense_forward(params, h)[-1], y))
            assert terms[k, row, column] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6, abs=1e-9)


# ---------------------------------------------------------------------------------- gradients and state Jacobians


@settings(max_examples=25, deadline=None)
@given(problems())
def test_against_the_reference_started_at_every_step(problem):
    """The reference, started from the state of step T-k, gives gradients and (by differences) Jacobians.

    Of several layers it is the top one, and what the one below gives it is fixed.
    """
    net, x, y = problem
    params, cell, squash = net.state_dict(), net.config.cell, net.config.squash_output
    N, T, _ = x.shape
    H = net.config.hidden_sizes[-1]
    flow = tl.gradient_flow(net, x, y)
    *below, trace = naive.stack_forward(params, x, cell, squash_output=squash)
    if below:
        params = params | naive.layers_of(params)[-1]
        x = below[-1].h[:, 1:]
    values = naive.dense_forward(params, trace.last)
    _, dh_last = naive.dense_backward(params, values, 2 * (values[-1] - y) / y.shape[1])
    expected = {name: np.zeros(T) for name in ("dloss_dh", "dloss_dc", "dh_dh", "dc_dc")}
    for k in range(T):
        h, c = trace.h[:, T - k], trace.c[:, T - k]
        dh, dc = dh_last, np.zeros_like(dh_last)

        def last_state(h, c, k=k):
            rest = naive.recurrent_forward(params, x[:, T - k :], cell, h0=h, c0=c, squash_output=squash)
            return rest.h[:, -1], rest.c[:, -1]

        if k > 0:
            rest = naive.recurrent_forward(params, x[:, T - k :], cell, h0=h, c0=c, squash_output=squash)
            steps = np.zeros((N, k, H))
            steps[:, -1] = dh_last
            grads = naive.recurrent_backward(params, rest, steps)
            dh, dc = grads["h0"], grads["c0"]
        if cell.startswith("lstm"):
            o, s = trace.gates[T - k - 1][-1], np.tanh(c)
            dc = dc + dh * o * ((1 - s**2) if squash else 1)  # the way through h of the same step
        expected["dloss_dh"][k] = np.linalg.norm(dh, axis=1).mean()
        expected["dloss_dc"][k] = np.linalg.norm(dc, axis=1).mean()
        blocks = np.zeros((2, N, H, H))
        for j in range(H):
            step = 1e-5 * np.eye(H)[j]
            blocks[0, :, :, j] = (last_state(h + step, c)[0] - last_state(h - step, c)[0]) / 2e-5
            blocks[1, :, :, j] = (last_state(h, c + step)[1] - last_state(h, c - step)[1]) / 2e-5
        expected["dh_dh"][k], expected["dc_dc"][k] = np.linalg.norm(blocks, 2, axis=(2, 3)).mean(axis=1)
    assert_close(flow.dloss_dh, expected["dloss_dh"], 1e-10)
    assert_close(flow.dh_dh, expected["dh_dh"], 1e-7)
    if not cell.startswith("lstm"):
        assert flow.dloss_dc is None and flow.dc_dc is None
    else:
        assert_close(flow.dloss_dc, expected["dloss_dc"], 1e-10)
        assert_close(flow.dc_dc, expected["dc_dc"], 1e-7)


@pytest.mark.parametrize("squash_output", [True, False])
def test_the_carousel_of_1997_turns_without_loss_if_no_gate_sees_h(squash_output):
    net, x, y = random_problem(T=40, cell="lstm1997", hidden_size=7, squash_output=squash_output)
    with_parameters(net, weight_hh=np.zeros((21, 7)))
    flow = tl.gradient_flow(net, x, y)
    np.testing.assert_allclose(flow.dc_dc, 1, rtol=1e-12)
    np.testing.assert_allclose(flow.dloss_dc, flow.dloss_dc[0], rtol=1e-12)
    assert flow.dloss_dc[0] > 0
    assert flow.dh_dh[0] == 1 and not flow.dh_dh[1:].any()  # h reaches the next step by the gates alone
    assert flow.dloss_dh[0] > 0 and not flow.dloss_dh[1:].any()
    assert half_life(flow.dc_dc) is None and ratio(flow.dc_dc) == pytest.approx(1)


def test_the_forget_gate_alone_decides_what_the_cell_keeps_if_no_gate_sees_h():
    net, x, y = random_problem(T=30, hidden_size=3)
    b_f = np.array([-1.0, 2.0, 0.5])
    bias = np.concatenate([np.ones(3), b_f, np.ones(6)])
    with_parameters(net, weight_hh=np.zeros((12, 3)), weight_ih=np.zeros((12, 2)), bias=bias)
    f = 1 / (1 + np.exp(-b_f.max()))
    np.testing.assert_allclose(tl.gradient_flow(net, x, y).dc_dc, f ** np.arange(30), rtol=1e-12)


def test_the_product_of_the_notes_far_below_what_a_square_can_hold():
    """One hidden unit: dh_T/dh_{T-k} = product of w (1 - h^2), about 1e-300 at k = 95 and too small from 98 on."""
    net, x, y = random_problem(N=1, T=120, cell="rnn", hidden_size=1)
    with_parameters(net, weight_hh=np.full((1, 1), 1e-3), weight_ih=np.full((1, 2), 0.2))
    h = naive.recurrent_forward(net.state_dict(), x, "rnn").h[0, 1:, 0]
    factors = 1e-3 * (1 - h[:0:-1] ** 2)
    product = np.concatenate([[1], np.cumprod(factors)])
    flow = tl.gradient_flow(net, x, y)
    assert 0 < product[95] < 1e-290 and product[-1] == 0
    np.testing.assert_allclose(flow.dh_dh, product, rtol=1e-10, atol=1e-305)
    np.testing.assert_allclose(flow.dloss_dh / flow.dloss_dh[0], product, rtol=1e-10, atol=1e-305)
    assert 0 < flow.weight_terms[95] < 1e-290


@pytest.mark.parametrize(
    "singular_values", [(1.0, 1.0, 1.0), (1.0, 1 - 1e-9, 0.3), (5.0, 4.9, 1e-9), (2e-200, 1e-200, 0)]
)
def test_spectral_norms_of_equal_near_and_tiny_singular_values(singular_values):
    """Of a linear RNN: with h near 0 the Jacobian of one step is the weight matrix itself."""
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    net, x, y = random_problem(N=2, T=2, cell="rnn", hidden_size=3)
    with_parameters(net, weight_hh=u * singular_values @ v, weight_ih=np.zeros((3, 2)), bias=np.zeros(3))
    assert tl.gradient_flow(net, x, y).dh_dh[1] == pytest.approx(max(singular_values), rel=1e-12)


# ------------------------------------------------------------------------------------------- samples and settings


@pytest.mark.parametrize("cell", CELLS)
def test_means_are_over_samples_and_do_not_depend_on_their_number(cell):
    net, x, y = random_problem(N=11, cell=cell)
    whole = tl.gradient_flow(net, x, y)
    singles = [tl.gradient_flow(net, x[n : n + 1], y[n : n + 1]) for n in range(11)]
    twice = tl.gradient_flow(net, np.concatenate([x, x]), np.concatenate([y, y]))
    for name in ("dloss_dh", "dloss_dc", "dh_dh", "dc_dc"):
        if getattr(whole, name) is not None:
            mean = np.mean([getattr(one, name) for one in singles], axis=0)
            np.testing.assert_allclose(getattr(whole, name), mean, rtol=1e-12)
            np.testing.assert_allclose(getattr(twice, name), mean, rtol=1e-12)
    np.testing.assert_allclose(twice.weight_terms, whole.weight_terms, rtol=1e-12)


def test_jacobian_samples_are_evenly_spaced():
    net, x, y = random_problem(N=33)
    some = tl.gradient_flow(net, x, y, jacobian_samples=5)
    chosen = tl.gradient_flow(net, x[::8], y[::8])
    np.testing.assert_array_equal(some.dh_dh, chosen.dh_dh)
    np.testing.assert_array_equal(some.dc_dc, chosen.dc_dc)
    np.testing.assert_array_equal(some.dloss_dh, tl.gradient_flow(net, x, y).dloss_dh)
    none = tl.gradient_flow(net, x, y, jacobian_samples=0)
    assert none.dh_dh is None and none.dc_dc is None and none.to_dict()["dh_dh"] is None
    every = tl.gradient_flow(net, x, y, jacobian_samples=1000)
    np.testing.assert_array_equal(every.dh_dh, tl.gradient_flow(net, x, y).dh_dh)


def test_many_networks_at_once_give_the_same_bits_on_any_number_of_threads():
    problems = [random_problem(seed, N=70, cell=cell) for seed, cell in enumerate(CELLS)]
    _, x, y = problems[0]
    networks = [net for net, _, _ in problems]
    before = [net.state_dict() for net in networks]
    shares, jacobian_samples = [], [None, 3, 0, 3, 3]
    for threads in (1, 3):
        flows = gradient_flows(networks, x, y, jacobian_samples, n_threads=threads, progress=shares.append)
        for net, samples, flow in zip(networks, jacobian_samples, flows, strict=True):
            alone = tl.gradient_flow(net, x, y, jacobian_samples=samples)
            assert jsonable(flow.to_dict()) == jsonable(alone.to_dict())
        assert shares[-1] == 1 and all(0 <= share <= 1 for share in shares)
    for net, values in zip(networks, before, strict=True):
        assert all((net.state_dict()[name] == value).all() for name, value in values.items())


def test_a_float32_network_is_measured_in_float64():
    net, x, y = random_problem()
    single = tl.Network(2, 5, (4,), 2, dtype="float32")
    single.load_state_dict(net.state_dict())
    net.load_state_dict(single.state_dict())  # the rounded weights
    assert jsonable(tl.gradient_flow(single, x, y).to_dict()) == jsonable(
        tl.gradient_flow(net, x, y).to_dict()
    )


def test_half_life_and_ratio():
    values = np.array([4.0, 3.0, 2.0, 1.9, 8.0])
    assert half_life(values) == 3 and ratio(values) == 2
    assert half_life(np.ones(4)) is None and ratio(np.zeros(4)) is None
    found = tl.gradient_flow(*random_problem(T=3)).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["dloss_dh", "dloss_dc", "weight_terms", "dh_dh", "dc_dc"]
    for summary in found.values():
        values = np.array(summary["values"])
        assert values.shape == (3,)
        assert summary["half_life"] == half_life(values) and summary["ratio"] == ratio(values)
        assert summary["kept_per_step"] == kept_per_step(values)
    assert found["weight_terms"]["ratio"] == 0


def test_what_a_step_keeps_is_the_rate_of_a_geometric_decay_whatever_the_first_step_costs():
    for rate in (0.5, 0.9, 1.0, 1.1):
        for first in (1.0, 100.0):
            values = np.concatenate([[first], rate ** np.arange(20)])
            assert kept_per_step(values) == pytest.approx(rate, rel=1e-12)
    assert kept_per_step(np.ones(2)) is None and kept_per_step(np.array([1.0, 0.0, 0.0])) is None
    assert kept_per_step(np.array([1.0, 0.5, 0.0])) == 0


def test_an_lstm_whose_gates_do_not_look_at_h_keeps_what_its_forget_gate_keeps():
    net = tl.Network(1, 1, (), 1, dtype="float64", seed=3)
    state = net.state_dict()
    state["recurrent.weight_hh"][:] = 0
    net.load_state_dict(state)
    x = np.random.default_rng(0).normal(size=(1, 12, 1))
    flow = tl.gradient_flow(net, x, np.ones((1, 1)), jacobian_samples=0)
    weight, bias = state["recurrent.weight_ih"][1, 0], state["recurrent.bias"][1]  # gates i, f, g, o
    forget = 1 / (1 + np.exp(-(weight * x[0, :, 0] + bias)))
    between = forget[1:-1]  # f_T is the first step back, and f_1 only reaches c_0
    assert kept_per_step(flow.dloss_dc) == pytest.approx(np.exp(np.mean(np.log(between))), rel=1e-9)
    assert half_life(flow.dloss_dh) == 1 and not flow.dloss_dh[1:].any()


def test_a_network_that_is_right_has_no_gradient():
    net, x, _ = random_problem()
    flow = tl.gradient_flow(net, x, net.predict(x))
    assert not flow.dloss_dh.any() and not flow.weight_terms.any()
    assert flow.to_dict()["dloss_dh"]["ratio"] is None


def test_ctrl_c_ends_it():
    class Interrupted(Exception):
        pass

    def interrupt(share):
        raise Interrupted

    net, x, y = random_problem(N=3000, T=30, hidden_size=32)
    with pytest.raises(Interrupted):
        tl.gradient_flow(net, x, y, progress=interrupt)


def test_bad_arguments_are_named():
    net, x, y = random_problem()
    with pytest.raises(OptionError, match="jacobian_samples must be 0 or more, but is -1"):
        tl.gradient_flow(net, x, y, jacobian_samples=-1)
    with pytest.raises(DataError, match="x must have shape"):
        tl.gradient_flow(net, x[:, :, :1], y)
    with pytest.raises(DataError, match="y must have shape"):
        tl.gradient_flow(net, x, y[:5])
    with pytest.raises(DataError, match="finite"):
        tl.gradient_flow(net, np.where(x > 1, math.nan, x), y)
    ann = tl.Network(2, 3, cell="ann", lag=6, output_size=2)
    with pytest.raises(DataError, match=r"^y must have shape \(N, m\): .* last step\.$"):
        tl.gradient_flow(net, x, np.repeat(y[:, None], x.shape[1], axis=1))
    with pytest.raises(OptionError, match="needs a recurrent cell"):
        tl.gradient_flow(ann, x, y)
