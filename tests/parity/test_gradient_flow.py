"""Gradient flow against PyTorch's automatic differentiation, on random networks of every recurrent cell."""

import naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import assert_close

import trendlstm as tl
from trendlstm.nn.gradient_flow import weight_gradient_terms

torch.set_num_threads(1)  # shapes this small only wait for each other's threads

RNNS = ["rnn", "rnn-sigmoid"]
RTOL = 1e-9


class Unrolled:
    """The network step by step, with a weight_hh of its own for every step."""

    def __init__(self, net, steps):
        state = {name: torch.from_numpy(value).double() for name, value in net.state_dict().items()}
        self.config = net.config
        self.weight_ih, weight_hh = state["recurrent.weight_ih"], state["recurrent.weight_hh"]
        self.bias = state.get("recurrent.bias", 0.0)
        self.weights_hh = [weight_hh.clone().requires_grad_() for _ in range(steps)]
        self.layers = [
            (state[f"dense.{k}.weight"], state[f"dense.{k}.bias"]) for k in range(len(net.config.dense) + 1)
        ]

    def step(self, x, h, c, t):
        z = x @ self.weight_ih.T + h @ self.weights_hh[t].T + self.bias
        if self.config.cell in RNNS:
            return (torch.tanh(z) if self.config.cell == "rnn" else torch.sigmoid(z)), c
        i, *forget, g, o = z.chunk(4 if self.config.cell == "lstm" else 3, dim=-1)
        c = (torch.sigmoid(forget[0]) * c if forget else c) + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * (torch.tanh(c) if self.config.squash_output else c), c

    def head(self, h):
        for weight, bias in self.layers[:-1]:
            h = torch.relu(h @ weight.T + bias)
        weight, bias = self.layers[-1]
        return h @ weight.T + bias


def expected_flow(net, x, y):
    """(dloss_dh, dloss_dc, terms, dh_dh, dc_dc), all from autograd."""
    x, y = torch.from_numpy(x).double(), torch.from_numpy(y).double()
    steps = x.shape[1]
    unrolled = Unrolled(net, steps)
    h = c = torch.zeros(len(x), net.config.hidden_size, dtype=torch.float64)
    states = [(h, c)]
    for t in range(steps):
        h, c = unrolled.step(x[:, t], h, c, t)
        if net.config.cell not in RNNS:
            c.retain_grad()
            # the h that later steps see, so that dL/dc has the way through h of its own step
        h.retain_grad()
        states.append((h, c))
    losses = ((unrolled.head(h) - y) ** 2).mean(dim=1)
    losses.sum().backward()  # row n of every state's gradient is that of sample n's own loss

    def norms(index):
        if any(state[index].grad is None for state in states[1:]):
            return None
        return np.array([state[index].grad.norm(dim=1).mean().item() for state in states[:0:-1]])

    terms = np.stack([weight.grad.numpy() for weight in unrolled.weights_hh[::-1]]) / len(x)
    hh, cc = [], []
    for k in range(steps):

        def rest(h, c, sample, first=steps - k):
            for t in range(first, steps):
                h, c = unrolled.step(x[sample, t], h, c, t)
            return h, c

        blocks = []
        for sample in range(len(x)):
            state = tuple(part[sample].detach() for part in states[steps - k])
            (h_h, _), (_, c_c) = torch.autograd.functional.jacobian(
                lambda h, c, sample=sample, rest=rest: rest(h, c, sample), state
            )
            blocks.append([torch.linalg.matrix_norm(block, 2).item() for block in (h_h, c_c)])
        hh.append(np.mean([block[0] for block in blocks]))
        cc.append(np.mean([block[1] for block in blocks]))
    return norms(0), norms(1), terms, np.array(hh), np.array(cc)


@st.composite
def networks(draw):
    cell = draw(st.sampled_from(["lstm", "lstm1997", *RNNS]))
    return {
        "cell": cell,
        "input_size": draw(st.sampled_from([1, 3])),
        "hidden_size": draw(st.sampled_from([1, 2, 5, 16, 17])),
        "dense": tuple(draw(st.lists(st.sampled_from([1, 3, 8]), max_size=2))),
        "output_size": draw(st.sampled_from([1, 2])),
        "bias": draw(st.booleans()),
        "squash_output": draw(st.booleans()) if cell not in RNNS else True,
        "dtype": draw(st.sampled_from(["float32", "float64"])),
    }


@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from([1, 2, 8, 9, 11]), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_every_quantity_of_random_networks(options, N, T, seed):
    check(options, N, T, np.random.default_rng(seed))


@pytest.mark.parametrize("cell", ["lstm", "lstm1997", *RNNS])
def test_a_long_lag(cell):
    check({"cell": cell, "hidden_size": 12, "dense": (8,)}, 3, 40, np.random.default_rng(1))


def check(options, N, T, rng):
    net = tl.Network(**options)
    config = net.config
    sizes = config.input_size, config.hidden_size, config.dense, config.output_size
    net.load_state_dict(naive.random_params(rng, config.cell, None, *sizes, config.bias))
    x = rng.uniform(-1.5, 1.5, (N, T, config.input_size))
    y = rng.normal(size=(N, config.output_size)) + 5 * rng.choice([-1, 1])
    dloss_dh, dloss_dc, terms, dh_dh, dc_dc = expected_flow(net, x, y)

    flow = tl.gradient_flow(net, x, y)
    assert_close(flow.dloss_dh, dloss_dh, RTOL, "dloss_dh")
    assert_close(flow.dh_dh, dh_dh, RTOL, "dh_dh")
    if config.cell in RNNS:
        assert flow.dloss_dc is None and flow.dc_dc is None
    else:
        assert_close(flow.dloss_dc, dloss_dc, RTOL, "dloss_dc")
        assert_close(flow.dc_dc, dc_dc, RTOL, "dc_dc")
    assert_close(weight_gradient_terms(net, x, y), terms, RTOL, "terms")
    assert_close(flow.weight_terms, np.linalg.norm(terms, axis=(1, 2)), RTOL, "weight_terms")
    # what is far back is small: each lag on its own scale too
    np.testing.assert_allclose(flow.dloss_dh, dloss_dh, rtol=1e-8, atol=0)
    np.testing.assert_allclose(flow.dh_dh, dh_dh, rtol=1e-8, atol=0)
