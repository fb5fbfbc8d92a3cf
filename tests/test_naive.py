"""The reference is tested first: equations against scalar arithmetic, gradients by finite differences."""

import math

import naive
import numpy as np
import pytest
from naive import assert_close

RNNS = ["rnn", "rnn-sigmoid"]
STATELESS = [*RNNS, "gru"]  # without a cell state beside the hidden state
RECURRENT = ["lstm", "lstm1997", "gru", *RNNS]


def central_differences(f, tensor, step=1e-5):
    """df/dtensor, element by element; `f` takes no argument and reads `tensor`, which is changed in place."""
    gradient = np.empty_like(tensor)
    for index in np.ndindex(tensor.shape):
        value = tensor[index]
        tensor[index] = value + step
        above = f()
        tensor[index] = value - step
        below = f()
        tensor[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient


def problem(cell, bias=True, seed=0, N=4, T=5, F=2, H=3, dense=(4, 3), m=2):
    rng = np.random.default_rng(seed)
    params = naive.random_params(rng, cell, T, F, H, dense, m, bias)
    return rng, params, rng.normal(size=(N, T, F)), rng.normal(size=(N, m))


def test_the_comparison_itself_can_fail():
    b = np.array([1e-6, -2.0])
    assert_close(b + 1.9e-9, b, 1e-9)
    for a in (b + 2.1e-9, b[:1], np.array([1e-6, np.nan]), np.array([np.inf, -2.0])):
        with pytest.raises(AssertionError):
            assert_close(a, b, 1e-9)
    assert_close(np.zeros(2), np.zeros(2), 1e-9)
    with pytest.raises(AssertionError):
        assert_close(np.full(2, 1e-300), np.zeros(2), 1e-9)


# -------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("squash_output", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", RECURRENT)
def test_network_gradients_are_the_finite_differences(cell, bias, squash_output, every_step):
    rng, params, x, y = problem(cell, bias)
    if every_step:
        y = rng.normal(size=(4, 5, 2))
    options = {
        "lengths": np.array([5, 1, 3, 4]),
        "h0": rng.normal(size=(4, 3)),
        "c0": rng.normal(size=(4, 3)),
        "squash_output": squash_output,
    }
    weight = rng.normal(size=y.shape)
    tensors = params | {"x": x, "h0": options["h0"], "c0": options["c0"]}
    if cell in STATELESS:
        del tensors["c0"]

    def outputs():
        return naive.predict(params, x, cell, every_step, **options)

    random_loss = naive.backward(params, x, weight, cell, **options)
    _, squared_loss = naive.loss_and_gradients(params, x, y, cell, **options)
    assert set(tensors) <= set(random_loss) == set(squared_loss)
    for name, tensor in tensors.items():
        weighted = central_differences(
            lambda: np.nansum(outputs() * weight), tensor
        )  # NaN after a sample's end
        assert_close(random_loss[name], weighted, 1e-6)
        assert_close(squared_loss[name], central_differences(lambda: naive.mse(outputs(), y), tensor), 1e-6)


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("cell", RECURRENT)
def test_gradients_of_several_layers_with_dropout_are_the_finite_differences(cell, every_step):
    rng, params, x, y = problem(cell, H=(3, 4, 2))
    if every_step:
        y = rng.normal(size=(4, 5, 2))
    h0 = [rng.normal(size=(4, H)) for H in (3, 4, 2)]
    dropped = naive.draw_dropped(5, 2, np.arange(4), 5, (3, 4, 2), 0.3, 0.4)
    options = {"lengths": np.array([5, 1, 3, 4]), "h0": h0, "dropped": dropped}

    def loss():
        return naive.mse(naive.predict(params, x, cell, every_step, **options), y)

    _, grads = naive.loss_and_gradients(params, x, y, cell, **options)
    for name, tensor in (params | {"x": x}).items():
        assert_close(grads[name], central_differences(loss, tensor), 1e-6, name)
    for layer, tensor in enumerate(h0):
        assert_close(grads["h0"][layer], central_differences(loss, tensor), 1e-5, f"h0 of layer {layer}")


@pytest.mark.parametrize("bias", [True, False])
def test_ann_gradients_are_the_finite_differences(bias):
    rng, params, x, y = problem("ann", bias)
    weight = rng.normal(size=y.shape)

    def outputs():
        return naive.predict(params, x, "ann")

    random_loss = naive.backward(params, x, weight, "ann")
    _, squared_loss = naive.loss_and_gradients(params, x, y, "ann")
    for name, tensor in (params | {"x": x}).items():
        assert_close(random_loss[name], central_differences(lambda: np.sum(outputs() * weight), tensor), 1e-6)
        assert_close(squared_loss[name], central_differences(lambda: naive.mse(outputs(), y), tensor), 1e-6)


LOSSES = [
    naive.Loss("mae"),
    naive.Loss("huber", delta=0.6),
    naive.Loss("pinball", (0.05, 0.5, 0.9)),
    naive.Loss("gaussian"),
    naive.Loss("cross-entropy", classes=3),
]


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_the_gradients_of_every_loss_are_the_finite_differences(loss, every_step):
    rng, params, x, _ = problem("lstm", m=2 * loss.each)
    lengths = np.array([5, 1, 3, 4])
    shape = (4, 5, 2) if every_step else (4, 2)
    y = rng.integers(loss.classes, size=shape) if loss.classes else rng.normal(size=shape)

    def outputs():
        return naive.predict(params, x, "lstm", every_step, lengths=lengths)

    # at a kink there is no derivative: no error may be within reach of a step of 0 or of Huber's delta
    errors = np.abs(outputs().reshape(*y.shape, loss.each) - y[..., None])
    assert loss.classes or (np.nanmin(errors) > 1e-3 and np.nanmin(np.abs(errors - loss.delta)) > 1e-3)
    if loss.name == "huber":
        assert np.nanmin(errors) < loss.delta < np.nanmax(errors), "one of the branches is not tested"
    mean, gradients = naive.loss_and_gradients(params, x, y, "lstm", loss, lengths=lengths)
    assert mean == loss.mean(outputs(), y)
    for name, tensor in (params | {"x": x}).items():
        assert_close(gradients[name], central_differences(lambda: loss.mean(outputs(), y), tensor), 1e-6)


def test_losses_are_the_equations_written_out():
    y = np.array([[1.0]])
    assert naive.Loss("mae").mean(np.array([[3.5]]), y) == 2.5
    assert naive.Loss("huber", delta=2.0).mean(np.array([[3.5]]), y) == 2.0 * (2.5 - 1.0)
    assert naive.Loss("huber", delta=3.0).mean(np.array([[3.5]]), y) == 2.5**2 / 2
    pinball = naive.Loss("pinball", (0.1, 0.9))
    assert pinball.mean(np.array([[3.0, 0.0]]), y) == pytest.approx((0.9 * 2 + 0.9 * 1) / 2)
    # the density of a normal distribution, with a scale of softplus(0.3) + 1e-6
    scale = math.log1p(math.exp(0.3)) + 1e-6
    density = math.exp(-((1.0 - 0.2) ** 2) / (2 * scale**2)) / (scale * math.sqrt(2 * math.pi))
    assert naive.Loss("gaussian").mean(np.array([[0.2, 0.3]]), y) == pytest.approx(-math.log(density))
    # two targets of three classes each: the second class of the first one, the third of the other
    powers = [math.exp(z) for z in (0.5, 1.0, -2.0)]
    losses = [-math.log(powers[k] / sum(powers)) for k in (1, 2)]
    classes = naive.Loss("cross-entropy", classes=3)
    found, _ = classes.of_targets(np.array([[0.5, 1.0, -2.0] * 2]), np.array([[1, 2]]))
    np.testing.assert_allclose(found, [losses], rtol=1e-14)


@pytest.mark.parametrize("squash_output", [True, False])
@pytest.mark.parametrize("cell", RECURRENT)
def test_sequence_gradients_are_the_finite_differences(cell, squash_output):
    """The loss looks at h_t of every step, not only of the last."""
    rng, params, x, _ = problem(cell)
    lengths = np.array([5, 2, 1, 4])
    h0, c0 = rng.normal(size=(2, 4, 3))
    weight = rng.normal(size=(4, 5, 3)) * (np.arange(5) < lengths[:, None])[:, :, None]

    def trace():
        return naive.recurrent_forward(params, x, cell, lengths, h0, c0, squash_output)

    grads = naive.recurrent_backward(params, trace(), weight)
    tensors = {name: p for name, p in params.items() if name.startswith("recurrent.")}
    tensors |= {"x": x, "h0": h0, "c0": c0}
    if cell in STATELESS:
        del tensors["c0"]
    for name, tensor in tensors.items():
        assert_close(
            grads[name], central_differences(lambda: np.sum(trace().h[:, 1:] * weight), tensor), 1e-6
        )


# -------------------------------------------------------------------------------------------------- equations


def test_lstm_step_is_the_equations_written_out():
    _, params, x, _ = problem("lstm", N=1, T=2, F=1, H=1, dense=(), m=1)
    W, U, b = (params[f"recurrent.{name}"].ravel() for name in ("weight_ih", "weight_hh", "bias"))
    h = c = 0.0
    for t in range(2):
        z_i, z_f, z_g, z_o = (W[k] * x[0, t, 0] + U[k] * h + b[k] for k in range(4))
        i, f, o = (1 / (1 + math.exp(-z)) for z in (z_i, z_f, z_o))
        c = f * c + i * math.tanh(z_g)
        h = o * math.tanh(c)
    trace = naive.recurrent_forward(params, x)
    assert trace.c[0, -1, 0] == pytest.approx(c, rel=1e-14)
    assert trace.last[0, 0] == pytest.approx(h, rel=1e-14)
    expected = params["dense.0.weight"][0, 0] * h + params["dense.0.bias"][0]
    assert naive.predict(params, x)[0, 0] == pytest.approx(expected, rel=1e-14)


def test_lstm1997_is_the_lstm_whose_forget_gate_is_open():
    _, params, x, _ = problem("lstm1997", dense=())
    opened = dict(params)
    for name, fill in (("weight_ih", 0.0), ("weight_hh", 0.0), ("bias", 1e3)):  # sigmoid(1000) is exactly 1
        i, g, o = np.split(params[f"recurrent.{name}"], 3)
        opened[f"recurrent.{name}"] = np.concatenate([i, np.full_like(i, fill), g, o])
    assert_close(naive.predict(params, x, "lstm1997"), naive.predict(opened, x, "lstm"), 1e-14)


def test_gru_step_is_the_equations_written_out():
    _, params, x, _ = problem("gru", N=1, T=2, F=1, H=1)
    W, U, b, d = (
        params[f"recurrent.{name}"].ravel() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = 0.0
    for t in range(2):
        r, z = (1 / (1 + math.exp(-(W[k] * x[0, t, 0] + b[k] + U[k] * h + d[k]))) for k in (0, 1))
        n = math.tanh(W[2] * x[0, t, 0] + b[2] + r * (U[2] * h + d[2]))
        h = (1 - z) * n + z * h
    assert naive.recurrent_forward(params, x, "gru").last[0, 0] == pytest.approx(h, rel=1e-14)


def test_a_layer_sees_the_hidden_states_of_the_one_below():
    _, params, x, _ = problem("gru", H=(3, 4))
    below, above = naive.layers_of(params)
    h = naive.recurrent_forward(below, x, "gru").h[:, 1:]
    top = naive.stack_forward(params, x, "gru")[-1]
    np.testing.assert_array_equal(top.h, naive.recurrent_forward(above, h, "gru").h)


def test_dropout_scales_what_it_keeps_and_a_sequence_has_one_recurrent_mask():
    shape = 40, (7, 30)
    dropped = naive.draw_dropped(3, 1, np.arange(10, 26), *shape, 0.25, 0.5)
    for values, p in ((dropped.outputs, 0.25), (dropped.recurrent, 0.5)):
        for factors in values:
            assert set(np.unique(factors)) == {0.0, 1 / (1 - p)}
            spread = math.sqrt(p * (1 - p) / factors.size)
            assert abs(np.mean(factors == 0) - p) < 4.5 * spread
    assert [value.shape for value in dropped.recurrent] == [(16, 7), (16, 30)]
    others = [naive.draw_dropped(3, 2, np.arange(10, 26), *shape, 0.25, 0.5)]
    others += [naive.draw_dropped(4, 1, np.arange(10, 26), *shape, 0.25, 0.5)]
    for other in others:
        assert np.mean(other.outputs[1] == dropped.outputs[1]) < 0.7  # 0.625 by chance


@pytest.mark.parametrize(
    ("cell", "activation"), [("rnn", np.tanh), ("rnn-sigmoid", lambda z: 1 / (1 + np.exp(-z)))]
)
def test_rnn_is_the_equation_written_out(cell, activation):
    _, params, x, _ = problem(cell, N=1, T=2)
    W, U, b = (params[f"recurrent.{name}"] for name in ("weight_ih", "weight_hh", "bias"))
    h1 = activation(W @ x[0, 0] + b)
    h2 = activation(U @ h1 + W @ x[0, 1] + b)
    assert_close(naive.recurrent_forward(params, x, cell).last[0], h2, 1e-14)


def test_squash_output_switches_the_last_tanh():
    _, params, x, _ = problem("lstm")
    squashed, plain = (naive.recurrent_forward(params, x, squash_output=squash) for squash in (True, False))
    o = plain.gates[0][3]
    assert_close(plain.h[:, 1], o * plain.c[:, 1], 1e-14)
    assert_close(squashed.h[:, 1], o * np.tanh(plain.c[:, 1]), 1e-14)


def test_hidden_layers_are_relu_and_the_last_is_linear():
    params = {
        "dense.0.weight": np.array([[1.0], [-1.0]]),
        "dense.0.bias": np.array([0.0, 0.5]),
        "dense.1.weight": np.array([[-2.0, -3.0]]),
        "dense.1.bias": np.array([0.25]),
    }
    outputs = naive.dense_forward(params, np.array([[2.0], [-2.0]]))[-1]
    np.testing.assert_array_equal(outputs, [[-3.75], [-7.25]])


@pytest.mark.parametrize("cell", RECURRENT)
def test_lengths_are_samples_cut_short(cell):
    """Whatever stands after a sample's length, even NaN, has no effect on outputs or gradients."""
    _, params, x, y = problem(cell, N=5, T=6)
    lengths = np.array([6, 1, 4, 5, 2])
    for n, length in enumerate(lengths):
        x[n, length:] = np.nan
    loss, grads = naive.loss_and_gradients(params, x, y, cell, lengths=lengths)
    rows = [(x[n : n + 1, :length], y[n : n + 1]) for n, length in enumerate(lengths)]
    alone = [naive.loss_and_gradients(params, *row, cell) for row in rows]
    assert loss == pytest.approx(np.mean([one[0] for one in alone]), rel=1e-14)
    for name in params:
        assert_close(grads[name], np.mean([one[1][name] for one in alone], axis=0), 1e-13)


@pytest.mark.parametrize("cell", RECURRENT)
def test_the_outputs_of_every_step_are_those_of_sequences_that_end_there(cell):
    """And their loss is the mean over all elements, however many steps a sample has."""
    rng, params, x, _ = problem(cell, N=5, T=6)
    y, lengths = rng.normal(size=(5, 6, 2)), np.array([6, 1, 4, 5, 2])
    outputs = naive.predict(params, x, cell, every_step=True, lengths=lengths)
    errors = []
    for n, length in enumerate(lengths):
        for t in range(length):
            assert_close(outputs[n, t], naive.predict(params, x[n : n + 1, : t + 1], cell)[0], 1e-13)
            errors.append(outputs[n, t] - y[n, t])
        assert np.isnan(outputs[n, length:]).all()
    loss, grads = naive.loss_and_gradients(params, x, y, cell, lengths=lengths)
    assert loss == pytest.approx(np.mean(np.square(errors)), rel=1e-14)
    y[np.isnan(outputs)] = np.nan
    _, same = naive.loss_and_gradients(params, x, y, cell, lengths=lengths)
    assert all(np.array_equal(same[name], grads[name]) for name in params)


def test_state_carries_a_sequence_on():
    _, params, x, _ = problem("lstm", T=6)
    first = naive.recurrent_forward(params, x[:, :2])
    rest = naive.recurrent_forward(params, x[:, 2:], h0=first.h[:, -1], c0=first.c[:, -1])
    np.testing.assert_array_equal(rest.last, naive.recurrent_forward(params, x).last)


# --------------------------------------------------------------------------------------------------- training


def test_splitmix64_gives_its_published_numbers():
    state, drawn = 1234567, []
    for _ in range(5):
        state, number = naive.splitmix64(state)
        drawn.append(number)
    assert drawn == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_shuffles_are_permutations_that_differ_by_seed_and_epoch():
    orders = {tuple(naive.shuffled(50, seed, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_shuffle_puts_every_sample_everywhere_equally_often():
    trials, n = 6000, 5
    counts = np.zeros((n, n))
    for epoch in range(trials):
        counts[np.arange(n), naive.shuffled(n, 7, epoch)] += 1
    assert np.abs(counts - trials / n).max() < 4.5 * math.sqrt(trials / n * (1 - 1 / n))


def test_adam_is_the_algorithm_written_out():
    g = [0.5, -0.25, 2.0]
    params = {"w.weight": np.array([1.0]), "w.bias": np.array([1.0])}
    adam = naive.Adam(params, learning_rate=0.1, weight_decay=0.01)
    weight = bias = 1.0
    m = v = 0.0
    for t in (1, 2, 3):
        params = adam.step(params, {name: np.array([g[t - 1]]) for name in params})
        m, v = 0.9 * m + 0.1 * g[t - 1], 0.999 * v + 0.001 * g[t - 1] ** 2
        update = 0.1 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        weight, bias = weight - update - 0.1 * 0.01 * weight, bias - update
        assert params["w.weight"][0] == pytest.approx(weight, rel=1e-14)
        assert params["w.bias"][0] == pytest.approx(bias, rel=1e-14)


def test_adam_eps_stands_outside_the_root():
    params = {"w.weight": np.array([0.0])}
    new = naive.Adam(params, learning_rate=1.0).step(params, {"w.weight": np.array([1e-8])})
    assert new["w.weight"][0] == pytest.approx(-0.5, rel=1e-6)


def test_sgd_is_the_algorithm_written_out():
    g = [0.5, -0.25, 2.0]
    params = {"w.weight": np.array([1.0]), "w.bias": np.array([1.0])}
    sgd = naive.SGD(params, learning_rate=0.1, weight_decay=0.01, momentum=0.8)
    weight = bias = 1.0
    velocities = [g[0], g[1] + 0.8 * g[0], g[2] + 0.8 * g[1] + 0.64 * g[0]]
    for gradient, velocity in zip(g, velocities, strict=True):
        params = sgd.step(params, {name: np.array([gradient]) for name in params})
        weight, bias = weight - 0.1 * velocity - 0.1 * 0.01 * weight, bias - 0.1 * velocity
        assert params["w.weight"][0] == pytest.approx(weight, rel=1e-14)
        assert params["w.bias"][0] == pytest.approx(bias, rel=1e-14)


def rates(epochs=6, steps=2, losses=(), **schedule):
    """The rates of all steps, an epoch a row."""
    every = [
        naive.scheduled_rate(n, steps, epochs, 0.8, list(losses), **schedule)
        for n in range(1, epochs * steps + 1)
    ]
    return np.reshape(every, (epochs, steps))


def test_schedules_written_out():
    half = math.sqrt(0.5)
    np.testing.assert_allclose(rates(), 0.8, rtol=1e-14)
    cosine = 0.4 * np.array([2, 1 + half, 1, 1 - half])
    np.testing.assert_allclose(rates(4, schedule="cosine"), np.stack([cosine] * 2, 1), rtol=1e-14)
    stepped = rates(5, schedule="step", step_epochs=2, schedule_factor=0.5)
    np.testing.assert_allclose(stepped[:, 0], [0.8, 0.8, 0.4, 0.4, 0.2], rtol=1e-14)
    warmed = rates(6, schedule="cosine", warmup=2)
    np.testing.assert_allclose(warmed[:2].ravel(), [0.2, 0.4, 0.6, 0.8], rtol=1e-14)
    np.testing.assert_allclose(warmed[2:, 1], cosine, rtol=1e-14)


def test_a_plateau_is_epochs_without_a_lower_loss_counted_anew_after_each():
    losses = [5, 4, 4, 4.5, 3, 3, 3, 3, 3, 2]
    assert [naive.reductions(losses[:n], 0, 2) for n in range(11)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert naive.reductions([1, 2, 2, 2], 0, 1) == 3
    assert naive.reductions([1, 2, 2, 2], 1, 1) == 2  # without the warm-up's
    plateau = rates(10, losses=losses, schedule="plateau", plateau_patience=2, schedule_factor=0.5)
    np.testing.assert_allclose(plateau[:, 0], [0.8] * 4 + [0.4] * 3 + [0.2] * 2 + [0.1], rtol=1e-14)


def test_clip_scales_the_norm_over_all_tensors():
    grads = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    clipped = naive.clip(grads, 1.0)
    np.testing.assert_allclose(clipped["a"], [0.6, 0.0])
    np.testing.assert_allclose(clipped["b"], [[0.8]])
    assert naive.clip(grads, 5.0) is grads and naive.clip(grads, None) is grads


def test_fit_is_one_adam_step_a_minibatch():
    """Seven samples in minibatches of three: 3, 3 and 1."""
    _, params, x, y = problem("lstm", N=7)
    expected, adam, total = params, naive.Adam(params, 0.01), 0.0
    for rows in ([0, 1, 2], [3, 4, 5], [6]):
        loss, grads = naive.loss_and_gradients(expected, x[rows], y[rows])
        expected = adam.step(expected, grads)
        total += loss * len(rows)
    after_epoch, losses = naive.fit(params, x, y, batch_size=3, learning_rate=0.01, shuffle=False)
    assert losses == [pytest.approx(total / 7, rel=1e-14)]
    for name in params:
        np.testing.assert_array_equal(after_epoch[0][name], expected[name])


def test_fit_changes_the_rate_before_each_step():
    """Two minibatches an epoch; the plateau is that of the validation, which this fit makes worse and worse."""
    _, params, x, y = problem("lstm", N=6)
    schedule = {"schedule": "plateau", "plateau_patience": 1, "warmup": 1, "schedule_factor": 0.5}
    expected, sgd = params, naive.SGD(params, 0.0, momentum=0.7)
    far = naive.predict(params, x) + 10 * (naive.predict(params, x) - y)
    for n, rate in enumerate([0.005, 0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005]):
        rows = [[0, 1, 2], [3, 4, 5]][n % 2]
        sgd.learning_rate = rate
        expected = sgd.step(expected, naive.loss_and_gradients(expected, x[rows], y[rows])[1])
    options = {"epochs": 4, "batch_size": 3, "learning_rate": 0.01, "shuffle": False, "validation": (x, far)}
    after_epoch, _ = naive.fit(params, x, y, optimizer="sgd", momentum=0.7, **options, **schedule)
    for name in params:
        np.testing.assert_allclose(after_epoch[3][name], expected[name], rtol=1e-12)


def test_fit_on_every_step_weighs_minibatches_by_their_steps():
    rng, params, x, _ = problem("rnn-sigmoid", N=5)
    y, lengths = rng.normal(size=(5, 5, 2)), np.array([5, 1, 2, 4, 3])
    expected, adam, total = params, naive.Adam(params, 0.01), 0.0
    for rows, steps in (([0, 1, 2], 8), ([3, 4], 7)):
        loss, grads = naive.loss_and_gradients(
            expected, x[rows], y[rows], "rnn-sigmoid", lengths=lengths[rows]
        )
        expected = adam.step(expected, grads)
        total += loss * steps
    after_epoch, losses = naive.fit(
        params, x, y, "rnn-sigmoid", batch_size=3, learning_rate=0.01, shuffle=False, lengths=lengths
    )
    assert losses == [pytest.approx(total / 15, rel=1e-14)]
    for name in params:
        np.testing.assert_array_equal(after_epoch[0][name], expected[name])


def test_fit_learns():
    _, params, x, _ = problem("lstm", N=40, m=1)
    y = x[:, -1:, 0] - 0.5 * x[:, 0, 1:]
    _, losses = naive.fit(params, x, y, epochs=60, batch_size=8, learning_rate=0.01)
    assert losses[-1] < 0.2 * losses[0]
