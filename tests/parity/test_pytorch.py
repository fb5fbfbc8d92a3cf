"""Every output, gradient and Adam step against PyTorch from the same weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import assert_close
from pytorch_twins import Twin
from random_networks import random_network

torch.set_num_threads(1)  # shapes this small only wait for each other's threads

CELLS = ["lstm", "lstm1997", "gru", "rnn", "rnn-sigmoid", "ann"]
SIZES = [1, 2, 4, 7, 8, 13, 16, 33, 64, 130]
RTOL = {"float64": 1e-9, "float32": 1e-4}


def check(net, N, T, rng, padded, every_step=False):
    F, m = net.config.input_size, net.config.output_size
    x = rng.uniform(-1.5, 1.5, (N, T, F)).astype(net.config.dtype)
    shape = (N, T, m) if every_step else (N, m)
    y = (rng.normal(size=shape) + 5 * rng.choice([-1, 1])).astype(net.config.dtype)
    lengths = rng.integers(1, T, N, endpoint=True) if padded else None
    twin, rtol = Twin(net), RTOL[net.config.dtype]

    outputs = twin(torch.from_numpy(x), None if lengths is None else torch.from_numpy(lengths), every_step)
    predicted = net.predict(x, lengths=lengths, every_step=every_step)
    real = ~np.isnan(predicted)
    if every_step and padded:
        assert np.array_equal(real[..., 0], np.arange(T) < lengths[:, None])
    assert_close(predicted[real], outputs.detach().numpy()[real], rtol, "outputs")
    expected = torch.nn.functional.mse_loss(outputs[torch.from_numpy(real)], torch.from_numpy(y[real]))
    expected.backward()
    loss, gradients = net.loss_and_gradients(x, y, lengths=lengths)
    assert loss == pytest.approx(expected.item(), rel=rtol)
    for name, gradient in gradients.items():
        assert_close(gradient, twin.named[name].grad.numpy(), rtol, name)


@st.composite
def networks(draw):
    cell = draw(st.sampled_from(CELLS))
    T = draw(st.integers(1, 12))
    options = {
        "cell": cell,
        "input_size": draw(st.sampled_from([1, 2, 3, 8, 17, 50])),
        "hidden_size": draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=1 if cell == "ann" else 3)),
        "dense": tuple(draw(st.lists(st.sampled_from([1, 3, 8, 17, 32]), max_size=3))),
        "output_size": draw(st.sampled_from([1, 2, 5, 16])),
        "bias": draw(st.booleans()),
        "squash_output": draw(st.booleans()) if cell.startswith("lstm") else True,
        "lag": T if cell == "ann" else None,
    }
    padded, every_step = (draw(st.booleans()) if cell != "ann" else False for _ in range(2))
    samples, seed = draw(st.sampled_from([1, 2, 7, 8, 9, 31, 33])), draw(st.integers(0, 2**32 - 1))
    return options, samples, T, padded, every_step, seed


@settings(max_examples=200, deadline=None)
@given(networks())
def test_float64_outputs_and_gradients(problem):
    check_problem(*problem, "float64")


# The same examples in every run: now and then a float32 gradient is all rounding, however it is computed.
@settings(max_examples=200, deadline=None, derandomize=True)
@given(networks())
def test_float32_outputs_and_gradients(problem):
    check_problem(*problem, "float32")


def check_problem(options, N, T, padded, every_step, seed, dtype):
    rng = np.random.default_rng(seed)
    check(random_network(rng, dtype=dtype, **options), N, T, rng, padded, every_step)


QUANTILES = (0.1, 0.5, 0.8)


def torch_loss(loss, outputs, y):
    """By PyTorch's own functions, but for the pinball loss, which it does not have."""
    if loss == "mae":
        return torch.nn.functional.l1_loss(outputs, y)
    if loss == "huber":
        return torch.nn.functional.huber_loss(outputs, y, delta=1.5)
    if loss == "cross-entropy":
        return torch.nn.CrossEntropyLoss()(outputs.reshape(y.numel(), -1), y.flatten().long())
    if loss == "gaussian":
        mean, raw = outputs.reshape(*y.shape, 2).unbind(-1)
        scale = torch.nn.functional.softplus(raw) + 1e-6
        return torch.nn.GaussianNLLLoss(full=True, eps=1e-30)(mean, y, scale**2)
    error = y[..., None] - outputs.reshape(*y.shape, -1)
    quantiles = torch.tensor(QUANTILES, dtype=y.dtype)
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", ["mae", "huber", "pinball", "gaussian", "cross-entropy"])
def test_other_losses(loss, dtype):
    """The loss and its gradient, and ten steps of Adam."""
    rng = np.random.default_rng(5)
    own = {
        "pinball": {"quantiles": QUANTILES},
        "huber": {"huber_delta": 1.5},
        "cross-entropy": {"classes": 5},
    }
    options = own.get(loss, {})
    net = random_network(
        rng, input_size=3, hidden_size=9, dense=(7,), output_size=2, dtype=dtype, lag=6, loss=loss, **options
    )  # fmt: skip
    x, y = rng.normal(size=(40, 6, 3)).astype(dtype), (1 + 2 * rng.normal(size=(40, 2))).astype(dtype)
    if loss == "cross-entropy":
        y = rng.integers(5, size=(40, 2)).astype(dtype)
    twin, rtol = Twin(net), RTOL[dtype]
    expected = torch_loss(loss, twin(torch.from_numpy(x)), torch.from_numpy(y))
    expected.backward()
    mean, gradients = net.loss_and_gradients(x, y)
    assert mean == pytest.approx(expected.item(), rel=rtol)
    for name, gradient in gradients.items():
        assert_close(gradient, twin.named[name].grad.numpy(), rtol, name)

    net.fit(x, y, epochs=5, batch_size=20, learning_rate=0.01, shuffle=False)
    optimizer = torch.optim.Adam(twin.named.values(), lr=0.01)
    for step in range(10):
        rows = slice(20 * (step % 2), 20 * (step % 2) + 20)
        optimizer.zero_grad()
        torch_loss(loss, twin(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])).backward()
        optimizer.step()
    for name, tensor in net.state_dict().items():
        assert_close(tensor, twin.named[name].detach().numpy(), rtol, name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("T", [3, 20, 60])
def test_reference_model(T, dtype):
    rng = np.random.default_rng(T)
    net = random_network(rng, dtype=dtype)
    assert net.num_params == sum(parameter.numel() for parameter in Twin(net).named.values()) == 20_065
    check(net, 32, T, rng, padded=False)


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}, {"weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("cell", "layers"), [*((cell, 1) for cell in CELLS), ("lstm", 2), ("gru", 2), ("rnn", 3)]
)
def test_ten_adam_steps(cell, layers, dtype, options):
    """Five epochs of two minibatches by torch.optim.Adam, by AdamW for the decoupled decay."""
    rng = np.random.default_rng(5)
    sizes = dict(input_size=3, hidden_size=16, layers=layers, dense=(8, 8))
    net = random_network(rng, cell=cell, **sizes, dtype=dtype, lag=6)
    x, y = rng.normal(size=(40, 6, 3)).astype(dtype), 2 + rng.normal(size=(40, 1)).astype(dtype)
    twin = Twin(net)
    net.fit(x, y, epochs=5, batch_size=20, learning_rate=0.01, shuffle=False, **options)

    weights = [p for name, p in twin.named.items() if "bias" not in name]
    biases = [p for name, p in twin.named.items() if "bias" in name]
    groups = [
        {"params": weights, "weight_decay": options.get("weight_decay", 0.0)},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimizer = (torch.optim.AdamW if "weight_decay" in options else torch.optim.Adam)(groups, lr=0.01)
    for step in range(10):
        rows = slice(20 * (step % 2), 20 * (step % 2) + 20)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])).backward()
        if "clip_norm" in options:
            norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in weights + biases]))
            assert norm > options["clip_norm"], "nothing to clip"
            for parameter in weights + biases:  # clip_grad_norm_ divides by the norm + 1e-6
                parameter.grad *= options["clip_norm"] / norm
        optimizer.step()
    for name, tensor in net.state_dict().items():
        assert_close(tensor, twin.named[name].detach().numpy(), RTOL[dtype], name)


LR = torch.optim.lr_scheduler
SCHEDULES = {  # ours, and PyTorch's of the epochs after the warm-up
    "cosine": ({}, lambda optimizer, epochs: LR.CosineAnnealingLR(optimizer, T_max=epochs)),
    "step": (
        {"step_epochs": 2, "schedule_factor": 0.3},
        lambda optimizer, epochs: LR.StepLR(optimizer, step_size=2, gamma=0.3),
    ),
    "plateau": (  # PyTorch's waits for one epoch more, and does not count every lower loss
        {"plateau_patience": 2, "schedule_factor": 0.3},
        lambda optimizer, epochs: LR.ReduceLROnPlateau(optimizer, factor=0.3, patience=1, threshold=0, eps=0),
    ),
}


@pytest.mark.parametrize("warmup", [0, 2])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_and_momentum(schedule, optimizer, warmup):
    """Twelve epochs of two minibatches; LinearLR, one step() a minibatch, is the warm-up."""
    rng = np.random.default_rng(5)
    net = random_network(rng, input_size=3, hidden_size=8, dense=(8,), dtype="float64")
    x, y = rng.normal(size=(40, 6, 3)), 2 + rng.normal(size=(40, 1))
    validation = rng.normal(size=(20, 6, 3)), rng.normal(size=(20, 1))
    settings, make_schedule = SCHEDULES[schedule]
    rate = 0.5 if optimizer == "sgd" else 0.05
    twin = Twin(net)
    if optimizer == "sgd":
        descent: torch.optim.Optimizer = torch.optim.SGD(twin.named.values(), lr=rate, momentum=0.8)
        settings = settings | {"optimizer": "sgd", "momentum": 0.8}
    else:
        descent = torch.optim.Adam(twin.named.values(), lr=rate)
    linear = (
        LR.LinearLR(descent, start_factor=1 / (2 * warmup), total_iters=2 * warmup - 1) if warmup else None
    )
    rates, kept, lowest = [], {}, np.inf
    for epoch in range(12):
        if epoch == warmup:
            falling = make_schedule(descent, 12 - warmup)
        for rows in (slice(0, 20), slice(20, 40)):
            descent.zero_grad()
            output = twin(torch.from_numpy(x[rows]))
            torch.nn.functional.mse_loss(output, torch.from_numpy(y[rows])).backward()
            rates.append(descent.param_groups[0]["lr"])
            descent.step()
            if epoch < warmup:
                linear.step()
        with torch.no_grad():
            loss = torch.nn.functional.mse_loss(
                twin(torch.from_numpy(validation[0])), torch.from_numpy(validation[1])
            ).item()
        if loss < lowest:
            lowest, kept = loss, {name: value.detach().clone() for name, value in twin.named.items()}
        if epoch >= warmup:
            falling.step(*([loss] if schedule == "plateau" else []))
    history = net.fit(
        x,
        y,
        epochs=12,
        batch_size=20,
        learning_rate=rate,
        shuffle=False,
        validation=validation,
        schedule=schedule,
        warmup=warmup,
        **settings,
    )
    np.testing.assert_allclose(history.learning_rate, rates[1::2], rtol=1e-12)
    assert min(rates[2 * warmup :]) < rate, "the rate has not fallen"
    for name, tensor in net.state_dict().items():
        assert_close(tensor, kept[name].numpy(), 1e-9, name)
