"""The reference model in other frameworks, each with its best settings for this job.

`python scripts/peers.py NAME CASE` trains it and prints one JSON object; `bench.py` calls it so, one process a peer,
for their thread pools and memory must not meet. CASE is the path of an .npz file: the initial parameters in the names
of `Network.state_dict`, x, y, epochs and repeats.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

BATCH_SIZE, LEARNING_RATE = 32, 1e-3
Epoch = Callable[[int], None]


def trendlstm(case) -> tuple[Epoch, list[float]]:
    import trendlstm as tl

    def network():
        net = tl.Network()
        net.load_state_dict({name: case[name] for name in net.state_dict()})
        return net

    steps = network().fit(case["x"][:BATCH_SIZE], case["y"][:BATCH_SIZE], epochs=3, shuffle=False)
    net = network()
    return lambda count: net.fit(case["x"], case["y"], epochs=count), steps.loss.tolist()


def torch(case) -> tuple[Epoch, list[float]]:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x, y = torch.tensor(case["x"]), torch.tensor(case["y"])

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(1, 64, batch_first=True)
            self.head = torch.nn.Sequential(
                torch.nn.Linear(64, 32),
                torch.nn.ReLU(),
                torch.nn.Linear(32, 32),
                torch.nn.ReLU(),
                torch.nn.Linear(32, 1),
            )

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    def start():
        model = Model()
        values = [case["recurrent.weight_ih"], case["recurrent.weight_hh"], case["recurrent.bias"]]
        values.append(np.zeros_like(values[2]))  # the second bias is ours twice over: kept at 0
        values += [case[f"dense.{layer}.{kind}"] for layer in range(3) for kind in ("weight", "bias")]
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(torch.tensor(value))
        model.lstm.bias_hh_l0.requires_grad_(False)
        optimizer = torch.optim.Adam(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=LEARNING_RATE,
            fused=True,
        )

        def step(rows) -> float:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            return loss

        return step

    step = start()
    steps = [float(step(torch.arange(BATCH_SIZE))) for _ in range(3)]
    step = start()

    def epochs(count: int) -> None:
        for _ in range(count):
            for rows in torch.randperm(len(x)).split(BATCH_SIZE):
                step(rows)

    return epochs, steps


def jax(case) -> tuple[Epoch, list[float]]:
    import jax
    from jax import lax
    from jax import numpy as jnp

    x, y = jnp.asarray(case["x"]), jnp.asarray(case["y"])
    names = [name for name in case.files if name.startswith(("recurrent", "dense"))]
    parameters = {name: jnp.asarray(case[name]) for name in names}

    def predict(p, x):
        def step(state, x_t):
            h, c = state
            z = x_t @ p["recurrent.weight_ih"].T + h @ p["recurrent.weight_hh"].T + p["recurrent.bias"]
            i, f, g, o = jnp.split(z, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((x.shape[0], 64), x.dtype)
        (h, _), _ = lax.scan(step, (zeros, zeros), x.swapaxes(0, 1))
        for layer in range(3):
            h = h @ p[f"dense.{layer}.weight"].T + p[f"dense.{layer}.bias"]
            h = jax.nn.relu(h) if layer < 2 else h
        return h

    gradient = jax.value_and_grad(lambda p, x, y: jnp.mean((predict(p, x) - y) ** 2))

    def train_step(state, rows):
        p, m, v, t = state
        loss, g = gradient(p, x[rows], y[rows])
        t += 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        p = jax.tree.map(
            lambda p, m, v: (
                p - LEARNING_RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
            ),
            p,
            m,
            v,
        )
        return (p, m, v, t), loss

    @jax.jit
    def epoch(state, key):
        batches = jax.random.permutation(key, len(x)).reshape(-1, BATCH_SIZE)
        return lax.scan(train_step, state, batches)[0]

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    initial = (parameters, zeros, zeros, jnp.zeros(()))
    _, losses = lax.scan(train_step, initial, jnp.tile(jnp.arange(BATCH_SIZE), (3, 1)))
    state = initial
    key = jax.random.key(0)

    def epochs(count: int) -> None:
        nonlocal state, key
        for _ in range(count):
            key, now = jax.random.split(key)
            state = epoch(state, now)
        jax.block_until_ready(state)

    return epochs, [float(loss) for loss in losses]


def keras(case) -> tuple[Epoch, list[float]]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    def start():
        model = keras.Sequential(
            [
                keras.Input(case["x"].shape[1:]),
                keras.layers.LSTM(64),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(1),
            ]
        )
        values = [case["recurrent.weight_ih"].T, case["recurrent.weight_hh"].T, case["recurrent.bias"]]
        values += [case[f"dense.{layer}.{kind}"].T for layer in range(3) for kind in ("weight", "bias")]
        model.set_weights(values)
        model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8), "mse")
        return model

    model = start()
    x, y = case["x"], case["y"]
    steps = [float(model.train_on_batch(x[:BATCH_SIZE], y[:BATCH_SIZE])) for _ in range(3)]
    model = start()
    return lambda count: model.fit(x, y, batch_size=BATCH_SIZE, epochs=count, verbose=0), steps


def keras_tensorflow(case) -> tuple[Epoch, list[float]]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    return keras(case)


def keras_jax(case) -> tuple[Epoch, list[float]]:
    os.environ["KERAS_BACKEND"] = "jax"
    return keras(case)


PEERS = {
    "trendlstm": trendlstm,
    "PyTorch": torch,
    "JAX": jax,
    "Keras/TensorFlow": keras_tensorflow,
    "Keras/JAX": keras_jax,
}


def main() -> None:
    """Train, print {"losses": of three steps, "ms": per epoch}."""
    name, path = sys.argv[1:]
    case = np.load(path)
    count, repeats = int(case["epochs"]), int(case["repeats"])
    epochs, losses = PEERS[name](case)
    epochs(2)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        epochs(count)
        seconds.append((time.perf_counter() - start) / count)
    print(json.dumps({"losses": losses, "ms": 1e3 * median(seconds)}))


if __name__ == "__main__":
    main()
