"""Networks with other losses than the mean squared error: against the reference, and what they predict."""

import re

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import assert_close

import trendlstm as tl
from trendlstm.errors import DataError, OptionError, TrainingError
from trendlstm.nn.many import recurse

RTOL = {"float64": 1e-9, "float32": 1e-4}
LOSSES = {
    "mae": naive.Loss("mae"),
    "huber": naive.Loss("huber", delta=2.0),
    "pinball": naive.Loss("pinball", (0.1, 0.5, 0.75, 0.9)),
    "gaussian": naive.Loss("gaussian"),
    "cross-entropy": naive.Loss("cross-entropy", classes=5),
}


def network_of(loss, rng, cell="lstm", T=5, F=2, H=8, dense=(4,), m=1, dtype="float64"):
    """A network with random weights everywhere, and the same numbers in float64."""
    net = tl.Network(
        F,
        H,
        dense,
        m,
        cell,
        dtype,
        lag=T,
        loss=loss.name,
        quantiles=loss.quantiles,
        huber_delta=loss.delta,
        classes=loss.classes,
    )
    net.load_state_dict(naive.random_params(rng, cell, T, F, H, dense, m * loss.each))
    return net, {name: tensor.astype(np.float64) for name, tensor in net.state_dict().items()}


def expected_predictions(loss, outputs):
    """What the outputs (..., m * each) of the reference mean."""
    out = outputs.reshape(*outputs.shape[:-1], -1, loss.each)
    if loss.name == "pinball":
        return np.sort(out, axis=-1)
    if loss.name == "gaussian":
        return np.stack([out[..., 0], np.log1p(np.exp(out[..., 1])) + 1e-6], axis=-1)
    if loss.name == "cross-entropy":
        return np.exp(out) / np.exp(out).sum(axis=-1, keepdims=True)
    return outputs


def draw_targets(loss, rng, *shape):
    """Class numbers, or normal numbers."""
    return rng.integers(loss.classes, size=shape) if loss.classes else 2 * rng.normal(size=shape)


@st.composite
def problems(draw):
    cell = draw(st.sampled_from(["lstm", "lstm1997", "rnn", "ann"]))
    shape = {
        "cell": cell,
        "T": draw(st.integers(1, 7)),
        "F": draw(st.sampled_from([1, 2, 17])),
        "H": draw(st.sampled_from([1, 3, 8, 17])),
        "dense": draw(st.sampled_from([(), (5,), (17, 3)])),
        "m": draw(st.sampled_from([1, 2, 7, 16])),
    }
    padded, every_step = (draw(st.booleans()) if cell != "ann" else False for _ in range(2))
    samples, seed = draw(st.sampled_from([1, 7, 8, 9, 33])), draw(st.integers(0, 2**32 - 1))
    return draw(st.sampled_from(sorted(LOSSES))), shape, samples, padded, every_step, seed


@settings(max_examples=60, deadline=None)
@given(problems())
def test_float64_losses_and_gradients_are_the_references(problem):
    check_problem(*problem, "float64")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_float32_losses_and_gradients_are_the_references(problem):
    check_problem(*problem, "float32")


def check_problem(name, shape, N, padded, every_step, seed, dtype):
    rng, loss = np.random.default_rng(seed), LOSSES[name]
    net, reference = network_of(loss, rng, **shape, dtype=dtype)
    T, F, m = (shape[size] for size in "TFm")
    x = rng.uniform(-1.5, 1.5, (N, T, F)).astype(dtype)
    # well away from the outputs, and on one side: no error is at a kink, and no gradient a small difference
    distance = rng.choice([-1, 1]) * rng.uniform(3, 6, (N, T, m) if every_step else (N, m))
    if name == "huber":
        distance *= rng.choice([0.1, 1], distance.shape)
    classes = draw_targets(loss, rng, *distance.shape)
    options = {} if not padded else {"lengths": rng.integers(1, T, N, endpoint=True)}
    wide = x.astype(np.float64)
    outputs = naive.predict(reference, wide, shape["cell"], every_step, **options)
    centre = np.nan_to_num(outputs.reshape(*distance.shape, loss.each).mean(axis=-1))
    y = classes if loss.classes else (centre + distance).astype(dtype)

    predicted = net.predict(x, every_step=every_step, **options)
    expected = expected_predictions(loss, outputs)
    assert predicted.dtype == dtype
    np.testing.assert_array_equal(np.isnan(predicted), np.isnan(expected))
    assert_close(np.nan_to_num(predicted), np.nan_to_num(expected), RTOL[dtype], "predictions")

    mean, gradients = net.loss_and_gradients(x, y, **options)
    expected_mean, expected = naive.loss_and_gradients(
        reference, wide, y.astype(np.float64), shape["cell"], loss, **options
    )
    assert mean == pytest.approx(expected_mean, rel=RTOL[dtype])
    for parameter, gradient in gradients.items():
        assert_close(gradient, expected[parameter], RTOL[dtype], parameter)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_training_is_the_references(name, n_threads):
    """Losses and weights of three epochs, and the validation losses; minibatches of 20, 20 and 5."""
    rng, loss = np.random.default_rng(3), LOSSES[name]
    x, y = rng.normal(size=(45, 6, 2)), draw_targets(loss, rng, 45, 3)
    xv, yv = rng.normal(size=(19, 6, 2)), draw_targets(loss, rng, 19, 3)
    net, reference = network_of(loss, rng, T=6, m=3)
    after_epoch, losses = naive.fit(
        reference, x, y, epochs=3, batch_size=20, learning_rate=0.01, loss=loss, seed=0
    )
    history = net.fit(
        x, y, epochs=3, batch_size=20, learning_rate=0.01, validation=(xv, yv), n_threads=n_threads
    )
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    validated = [loss.mean(naive.predict(params, xv), yv) for params in after_epoch]
    np.testing.assert_allclose(history.validation_loss, validated, rtol=1e-9)
    for parameter, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[history.best_epoch - 1][parameter], 1e-9, parameter)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_are_the_same_bits_on_any_number_of_threads(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 4, 2)), draw_targets(LOSSES[name], rng, 150, 2)
    weights = set()
    for n_threads in (1, 2, 5, 16):
        net, _ = network_of(LOSSES[name], np.random.default_rng(1), T=4, m=2, dtype="float32")
        net.fit(x, y, epochs=2, batch_size=130, n_threads=n_threads)
        weights.add(net.theta.tobytes())
    assert len(weights) == 1


def test_fits_of_several_losses_at_once_are_each_fit_alone():
    """A thread's memory goes from one network to the next, whose quantiles may be others."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3, 1)), rng.normal(size=(20, 1))
    settings = [dict(loss="pinball", quantiles=levels) for levels in ((0.1, 0.5), (0.2, 0.9))]
    settings += [dict(loss="huber", huber_delta=delta) for delta in (0.1, 1.0)] + [dict(loss="mae"), {}]
    settings += [dict(loss="cross-entropy", classes=classes) for classes in (2, 3)]
    ys = [y > 0 if options.get("classes") else y for options in settings]

    def networks():
        return [tl.Network(hidden_size=3, dense=(), **options) for options in settings]

    together, alone = networks(), networks()
    tl.fit_many(together, x, ys, epochs=2, n_threads=1)
    for net, targets in zip(alone, ys, strict=True):
        net.fit(x, targets, epochs=2)
    weights = [net.theta.tobytes() for net in alone]
    assert [net.theta.tobytes() for net in together] == weights
    assert len(set(weights)) == len(weights)


@pytest.mark.parametrize(
    "options", [{}, {"truncate": 3}, {"dropout": 0.3, "recurrent_dropout": 0.2}], ids=str
)
def test_training_on_the_classes_of_every_step_is_the_references(options):
    """Two layers, two targets, samples of different lengths."""
    rng, loss = np.random.default_rng(4), naive.Loss("cross-entropy", classes=3)
    dropout = {name: value for name, value in options.items() if "dropout" in name}
    net = tl.Network(
        2, (5, 3), (), 2, dtype="float64", seed=7, loss="cross-entropy", classes=3, **dropout
    )  # fmt: skip
    reference = net.state_dict()
    x, y, lengths = rng.normal(size=(21, 7, 2)), rng.integers(3, size=(21, 7, 2)), rng.integers(1, 8, 21)
    fit = dict(epochs=3, batch_size=10, learning_rate=0.02, lengths=lengths)
    after_epoch, losses = naive.fit(reference, x, y, loss=loss, seed=7, **fit, **options)
    history = net.fit(x, y, **fit, truncate=options.get("truncate"))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    for parameter, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][parameter], 1e-9, parameter)


# ---------------------------------------------------------------------------------------- what they predict


def test_predicted_quantiles_are_those_of_the_targets():
    """Without informative inputs every quantile is the targets' own; they never cross."""
    rng = np.random.default_rng(0)
    x, y = np.zeros((2000, 1, 1)), rng.exponential(size=(2000, 1))
    net = tl.Network(hidden_size=1, dense=(), loss="pinball", quantiles=(0.1, 0.5, 0.9))
    net.fit(x, y, epochs=60, batch_size=200, learning_rate=0.05)
    predicted = net.predict(x[:1])
    assert predicted.shape == (1, 1, 3)
    np.testing.assert_allclose(predicted[0, 0], np.quantile(y, [0.1, 0.5, 0.9]), atol=0.06)


def test_a_predicted_normal_distribution_is_that_of_the_targets():
    rng = np.random.default_rng(0)
    x, y = rng.choice([-1.0, 1.0], (2000, 1, 1)), rng.normal(size=(2000, 1))
    y = np.where(x[:, 0] > 0, 0.5 + 2 * y, -1 + 0.3 * y)
    net = tl.Network(hidden_size=4, dense=(), loss="gaussian")
    net.fit(x, y, epochs=60, batch_size=200, learning_rate=0.05)
    for sign, expected in ((1, (0.5, 2.0)), (-1, (-1.0, 0.3))):
        np.testing.assert_allclose(net.predict([[[sign]]])[0, 0], expected, atol=0.1)


def test_the_last_layer_has_the_outputs_of_a_target_side_by_side():
    net = tl.Network(hidden_size=3, dense=(), output_size=2, loss="pinball", quantiles=(0.1, 0.5, 0.9))
    assert net.state_dict()["dense.0.weight"].shape == (6, 3)
    assert "(None, 6)" in net.summary()
    values = {name: np.zeros_like(value) for name, value in net.state_dict().items()}
    values["dense.0.bias"] = [3.0, 1.0, 2.0, -1.0, -2.0, -3.0]
    net.load_state_dict(values)
    np.testing.assert_array_equal(net.predict(np.zeros((1, 1, 1)))[0], [[1, 2, 3], [-3, -2, -1]])
    # what is trained are the quantiles as they stand, not as they are sorted
    _, gradients = net.loss_and_gradients(np.zeros((1, 1, 1)), [[2.5, 0.0]])
    np.testing.assert_allclose(gradients["dense.0.bias"], np.array([0.9, -0.5, -0.9, -0.1, -0.5, -0.9]) / 6)


def test_a_scale_stays_positive_and_finite():
    net = tl.Network(hidden_size=1, dense=(), loss="gaussian", dtype="float32")
    values = {name: np.zeros_like(value) for name, value in net.state_dict().items()}
    x = np.zeros((1, 1, 1))
    for raw, scale in ((-1e4, 1e-6), (1e4, 1e4), (0.0, np.log(2))):
        net.load_state_dict({**values, "dense.0.bias": [0.0, raw]})
        assert net.predict(x)[0, 0, 1] == pytest.approx(scale, rel=1e-5)
        loss, gradients = net.loss_and_gradients(x, [[1.0]])
        assert np.isfinite(loss) and all(np.isfinite(one).all() for one in gradients.values())


@pytest.mark.parametrize("classes", [2, 16, 33])
def test_predicted_probabilities_are_how_often_the_classes_come(classes):
    """Without informative inputs; a class that never comes is given next to nothing."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(classes - 1))
    x, y = np.zeros((4000, 1, 1)), rng.choice(classes - 1, size=4000, p=share)
    net = tl.Network(hidden_size=1, dense=(), loss="cross-entropy", classes=classes)
    net.fit(x, y, epochs=40, batch_size=200, learning_rate=0.1)
    predicted = net.predict(x[:1])
    assert predicted.shape == (1, 1, classes) and predicted.sum() == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(predicted[0, 0], np.bincount(y, minlength=classes) / 4000, atol=0.02)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_large_outputs_are_finite(dtype):
    net = tl.Network(hidden_size=1, dense=(), loss="cross-entropy", classes=3, dtype=dtype)
    values = {name: np.zeros_like(value) for name, value in net.state_dict().items()}
    net.load_state_dict({**values, "dense.0.bias": [-3e4, 2e4, 2e4]})
    x = np.zeros((1, 1, 1))
    np.testing.assert_array_equal(net.predict(x), [[[0, 0.5, 0.5]]])
    for target, expected, slopes in ((0, 5e4 + np.log(2), (-1, 0.5, 0.5)), (1, np.log(2), (0, -0.5, 0.5))):
        loss, gradients = net.loss_and_gradients(x, [target])
        assert loss == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(gradients["dense.0.bias"], slopes)


@pytest.mark.parametrize("number", [0, 2])
def test_outputs_that_are_not_finite_end_a_fit_on_classes(number):
    """The first output is where the search for the largest begins."""
    net, x, y = (
        tl.Network(hidden_size=1, dense=(), loss="cross-entropy", classes=3),
        np.ones((4, 1, 1)),
        [1] * 4,
    )
    values = {name: np.ones_like(value) for name, value in net.state_dict().items()}
    values["dense.0.weight"][number], values["dense.0.bias"][number] = 3e38, 3e38
    net.load_state_dict(values)
    with pytest.raises(TrainingError, match="no longer finite in epoch 1"):
        net.fit(x, y, epochs=2)


def test_probabilities_of_every_step_and_with_dropout():
    rng = np.random.default_rng(0)
    net = tl.Network(2, 4, (), 3, loss="cross-entropy", classes=2, dropout=0.5)
    x, lengths = rng.normal(size=(5, 6, 2)), [6, 1, 3, 2, 5]
    every = net.predict(x, lengths, every_step=True)
    assert every.shape == (5, 6, 3, 2)
    np.testing.assert_array_equal(np.isnan(every[..., 0, 0]), np.arange(6) >= np.array(lengths)[:, None])
    np.testing.assert_array_equal(every[np.arange(5), np.array(lengths) - 1], net.predict(x, lengths))
    drawn = net.monte_carlo(x, samples=7)
    assert drawn.shape == (7, 5, 3, 2) and np.ptp(drawn, axis=0).max() > 0
    np.testing.assert_allclose(drawn.sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["pinball", "gaussian"])
@pytest.mark.parametrize("relative", [False, True])
def test_the_recursion_is_fed_the_point_forecast(name, relative):
    """The median of the quantiles as sorted, or the mean; the reference feeds back `predict`'s, step by step."""
    loss, rng = LOSSES[name], np.random.default_rng(2)
    networks = [network_of(loss, rng, T=4, F=1)[0] for _ in range(2)]
    history = rng.normal(size=(3, 4))
    path = history.copy()
    for _ in range(5):
        window = path[:, -4:]
        anchor = window[:, -1:] if relative else 0.0
        point = [net.predict((window - anchor)[:, :, None])[:, 0, loss.quantiles.index(0.5) if name == "pinball" else 0]
                 for net in networks]  # fmt: skip
        path = np.hstack([path, anchor + np.mean(point, axis=0)[:, None]])
    np.testing.assert_allclose(recurse(networks, history, 5, relative), path[:, 4:], rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_saved_networks_keep_their_loss(name, tmp_path):
    net, _ = network_of(LOSSES[name], np.random.default_rng(0))
    net.save(tmp_path / "net.safetensors")
    loaded, x = tl.load(tmp_path / "net.safetensors"), np.ones((3, 5, 2))
    assert loaded.config == net.config
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"loss": "l2"}, "loss must be one of mse, mae, huber, pinball, gaussian, cross-entropy, but is 'l2'."),
        ({"loss": "pinball"}, "loss 'pinball' needs quantiles, such as 0.1, 0.5, 0.9."),
        ({"quantiles": (0.5,)}, "quantiles are of the loss 'pinball', but the loss is 'mse': leave them out."),
        ({"loss": "cross-entropy"}, "loss 'cross-entropy' needs classes, their number, such as 10."),
        ({"classes": 3}, "classes are of the loss 'cross-entropy', but the loss is 'mse': leave them out."),
        *(
            ({"loss": "cross-entropy", "classes": wrong}, "classes must be a whole number from 2 to 16777216, but is")
            for wrong in [1, -2, 2.0, True, "3", 2**24 + 1]
        ),
        ({"huber_delta": 2.0}, "huber_delta is of the loss 'huber', but the loss is 'mse': leave it out."),
        ({"loss": "huber", "huber_delta": 0}, "huber_delta must be a number above 0, but is 0."),
        *(
            ({"loss": "pinball", "quantiles": wrong}, "quantiles must be different numbers above 0 and below 1,")
            for wrong in [(0.0, 0.5), (0.5, 1.0), (0.9, 0.1), (0.5, 0.5), (0.5, np.nan), ("0.5",), 0.5]
        ),
    ],
    ids=str,
)  # fmt: skip
def test_bad_losses_are_named(options, named):
    with pytest.raises(OptionError, match="^" + re.escape(named)):
        tl.Network(**options)


@pytest.mark.parametrize(
    ("y", "named"),
    [
        ([0, 1, 2, 3], "y must hold the numbers of classes, whole ones from 0 to 2, but y[3] is 3.0."),
        ([[0], [-1], [2], [7]], "y must hold the numbers of classes, whole ones from 0 to 2, but y[1, 0] is -1.0."),
        ([0, 1, 1.5, 2], "y must hold the numbers of classes, whole ones from 0 to 2, but y[2] is 1.5."),
        (np.eye(4)[:, :3], "y must have shape (4, 1), or (4, 2, 1) for the outputs of every step, but has (4, 3): "
         "classes are given by their numbers, not in a column each."),
        (np.zeros(3), "y must have shape (4, 1), or (4, 2, 1) for the outputs of every step, but has (3, 1)."),
        (np.array([0, 1, np.nan, 2]), "y must be finite as float32, but y[2] is nan."),
        (np.full((4, 2, 1), np.nan), "y must be finite as float32, but y[0, 0, 0] is nan."),
        (np.full((4, 2, 1), 9), "y must hold the numbers of classes, whole ones from 0 to 2, but y[0, 0, 0] is 9.0."),
    ],
    ids=str,
)  # fmt: skip
def test_targets_that_are_no_classes_are_named(y, named):
    net, x, good = (
        tl.Network(hidden_size=2, loss="cross-entropy", classes=3),
        np.zeros((4, 2, 1)),
        [0, 1, 2, 0],
    )
    for name, call in (
        ("", lambda: net.fit(x, y)),
        ("", lambda: net.loss_and_gradients(x, y)),
        ("validation ", lambda: net.fit(x, good, validation=(x, y))),
    ):
        told = named.replace("y must", f"{name}y must").replace("but y", f"but {name}y")
        with pytest.raises(DataError, match=f"^{re.escape(told)}"):
            call()


@pytest.mark.parametrize("options", [{"loss": "mae"}, {"loss": "cross-entropy", "classes": 2}], ids=str)
def test_the_gpu_refuses_other_losses(options):
    from trendlstm.nn.device import check_limits

    with pytest.raises(OptionError, match=r"^device 'cuda' trains on the loss 'mse' only: use device 'cpu'"):
        check_limits(tl.Network(**options).config, 20)
