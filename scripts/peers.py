"""The benchmark's jobs in trendlstm and in other frameworks, each with its best settings for the job.

`python scripts/peers.py JOB NAME CASE` does one job in one framework and prints one JSON object; `bench.py` calls it
so, one process each, for their thread pools and memory must not meet. CASE is an .npz file with the reference model's
initial parameters in the names of `Network.state_dict` (its cell, layers, sizes and dtype may differ, for which PyTorch
alone is ready), the samples x and y, the size of a minibatch, and how often to repeat.
"""

import itertools
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

LEARNING_RATE = 1e-3
Case = Any  # the arrays of an .npz file by name


def cores() -> int:
    return len(os.sched_getaffinity(0))


def load_case(path: str | Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:  # which would read an array again at each access
        return dict(file)


def input_size(case: Case) -> int:
    return next(
        case[name].shape[1] for name in ("recurrent.weight_ih", "recurrent.0.weight_ih") if name in case
    )


def hidden_size(case: Case) -> int:
    return case["dense.0.weight"].shape[1]


def dense_sizes(case: Case) -> list[int]:
    """The widths of the dense layers, the outputs last."""
    count = sum(name.startswith("dense.") and name.endswith(".bias") for name in case)
    return [case[f"dense.{layer}.bias"].size for layer in range(count)]


def batch_size(case: Case) -> int:
    return int(case["batch_size"])


# One network: each function returns train(epochs) and the losses of three Adam steps on the first minibatch.
Trained = tuple[Callable[[int], None], list[float]]


def trendlstm_network(case: Case, seed: int = 0):
    import trendlstm as tl

    dtype = case["x"].dtype.name
    # uniform: orthogonal weights of 1,024 units, here replaced at once, take seconds
    network = tl.Network(
        input_size=input_size(case),
        hidden_size=hidden_size(case),
        dense=tuple(dense_sizes(case)[:-1]),
        layers=int(case["layers"]),
        cell=str(case["cell"]),
        seed=seed,
        dtype=dtype,
        init="uniform",
    )
    network.load_state_dict({name: case[name] for name in network.state_dict()})
    return network


def fit_trendlstm(case: Case) -> Trained:
    x, y, batch = case["x"], case["y"], batch_size(case)
    steps = trendlstm_network(case).fit(x[:batch], y[:batch], epochs=3, batch_size=batch, shuffle=False)
    network = trendlstm_network(case)
    return lambda count: network.fit(x, y, epochs=count, batch_size=batch), steps.loss.tolist()


def torch_model(case: Case):
    import torch

    hidden, layers, sizes = hidden_size(case), int(case["layers"]), dense_sizes(case)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[str(case["cell"])]
            self.recurrent = kind(input_size(case), hidden, layers, batch_first=True)
            dense = []
            for n_in, n_out in itertools.pairwise([hidden, *sizes]):
                dense += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
            self.head = torch.nn.Sequential(*dense[:-1])

        def forward(self, x):
            return self.head(self.recurrent(x)[0][:, -1])

    model = Model().to(torch.from_numpy(case["dense.0.weight"]).dtype)
    values = []
    for layer in range(layers):
        name = "recurrent" if layers == 1 else f"recurrent.{layer}"
        biases = [
            case[f"{name}.{kind}"] for kind in ("bias", "bias_ih", "bias_hh") if f"{name}.{kind}" in case
        ]
        if len(biases) == 1:  # PyTorch has a second bias: kept at 0, because Keras and we have one
            biases.append(np.zeros_like(biases[0]))
            getattr(model.recurrent, f"bias_hh_l{layer}").requires_grad_(False)
        values += [case[f"{name}.weight_ih"], case[f"{name}.weight_hh"], *biases]
    values += [case[f"dense.{layer}.{kind}"] for layer in range(len(sizes)) for kind in ("weight", "bias")]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))
    return model


def torch_trainer(case: Case, x, y):
    """A model and a function that takes an Adam step on some of the samples' rows."""
    import torch

    model = torch_model(case)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=LEARNING_RATE, fused=True)

    def step(rows):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def fit_torch(case: Case) -> Trained:
    import torch

    torch.set_num_threads(cores())
    x, y = torch.tensor(case["x"]), torch.tensor(case["y"])
    _, step = torch_trainer(case, x, y)
    steps = [step(torch.arange(batch_size(case))).item() for _ in range(3)]
    _, step = torch_trainer(case, x, y)

    def train(count: int) -> None:
        for _ in range(count):
            for rows in torch.randperm(len(x)).split(batch_size(case)):
                step(rows)

    return train, steps


def jax_functions(case: Case):
    """The initial state of one network, an epoch and one minibatch as functions of a state, and the predictions."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", case["x"].dtype == np.float64)
    x, y = jnp.asarray(case["x"]), jnp.asarray(case["y"])
    names = [name for name in case if name.startswith(("recurrent", "dense"))]
    parameters = {name: jnp.asarray(case[name]) for name in names}

    def predict(p, x):
        def step(state, x_t):
            h, c = state
            z = x_t @ p["recurrent.weight_ih"].T + h @ p["recurrent.weight_hh"].T + p["recurrent.bias"]
            i, f, g, o = jnp.split(z, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((x.shape[0], hidden_size(case)), x.dtype)
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
        rate, scale = LEARNING_RATE / (1 - 0.9**t), 1 / jnp.sqrt(1 - 0.999**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * scale + 1e-8), p, m, v)
        return (p, m, v, t), loss

    def epoch(state, key):
        batches = jax.random.permutation(key, len(x)).reshape(-1, batch_size(case))
        return lax.scan(train_step, state, batches)[0]

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return (parameters, zeros, zeros, jnp.zeros(())), epoch, train_step, predict


def fit_jax(case: Case) -> Trained:
    import jax
    from jax import lax
    from jax import numpy as jnp

    initial, epoch, train_step, _ = jax_functions(case)
    _, losses = lax.scan(train_step, initial, jnp.tile(jnp.arange(batch_size(case)), (3, 1)))
    epoch = jax.jit(epoch)
    state, key = initial, jax.random.key(0)

    def train(count: int) -> None:
        nonlocal state, key
        for _ in range(count):
            key, now = jax.random.split(key)
            state = epoch(state, now)
        jax.block_until_ready(state)

    return train, [float(loss) for loss in losses]


def keras_model(case: Case, window: tuple[int, ...]):
    """A compiled model of windows (T, F)."""
    import keras

    layers = [
        keras.Input(window),
        keras.layers.LSTM(hidden_size(case)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential(layers)
    values = [case["recurrent.weight_ih"].T, case["recurrent.weight_hh"].T, case["recurrent.bias"]]
    values += [case[f"dense.{layer}.{kind}"].T for layer in range(3) for kind in ("weight", "bias")]
    model.set_weights(values)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8), "mse")
    return model


def fit_keras(case: Case) -> Trained:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    x, y = case["x"], case["y"]
    model = keras_model(case, x.shape[1:])
    steps = [float(model.train_on_batch(x[: batch_size(case)], y[: batch_size(case)])) for _ in range(3)]
    model = keras_model(case, x.shape[1:])
    return lambda count: model.fit(x, y, batch_size=batch_size(case), epochs=count, verbose=0), steps


def fit_keras_tensorflow(case: Case) -> Trained:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    return fit_keras(case)


def fit_keras_jax(case: Case) -> Trained:
    os.environ["KERAS_BACKEND"] = "jax"
    return fit_keras(case)


# Many networks at once: each function returns train(epochs), which trains case["fits"] of them.
def many_trendlstm(case: Case) -> Callable[[int], None]:
    import trendlstm as tl

    networks = [trendlstm_network(case, seed) for seed in range(int(case["fits"]))]
    x, y = case["x"], case["y"]
    return lambda count: tl.fit_many(networks, x, y, epochs=count)


def _torch_worker(path: str, fits: int, orders, done) -> None:
    case = load_case(path)
    trains = [fit_torch(case)[0] for _ in range(fits)]
    for epochs in iter(orders.get, None):
        for train in trains:
            train(epochs)
        done.put(None)


def many_torch(case: Case) -> Callable[[int], None]:
    processes = cores()
    context = multiprocessing.get_context("spawn")
    orders, done = [context.Queue() for _ in range(processes)], context.Queue()
    for rank, order in enumerate(orders):
        fits = len(range(rank, int(case["fits"]), processes))
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[rank]})  # inherited: a core and a thread to each process
        context.Process(target=_torch_worker, args=(sys.argv[3], fits, order, done), daemon=True).start()
        os.sched_setaffinity(0, allowed)

    def train(count: int) -> None:
        for order in orders:
            order.put(count)
        for _ in orders:
            done.get()

    return train


def many_jax(case: Case) -> Callable[[int], None]:
    import jax
    from jax import numpy as jnp

    initial, epoch, _, _ = jax_functions(case)
    fits = int(case["fits"])
    epochs = jax.jit(jax.vmap(epoch))
    state = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], fits, axis=0), initial)
    key = jax.random.key(0)

    def train(count: int) -> None:
        nonlocal state, key
        for _ in range(count):
            key, now = jax.random.split(key)
            state = epochs(state, jax.random.split(now, fits))
        jax.block_until_ready(state)

    return train


# Inference: each function returns predict(x) -> (N, 1).
def predict_trendlstm(case: Case) -> Callable[[np.ndarray], np.ndarray]:
    return trendlstm_network(case).predict


def predict_torch(case: Case) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    torch.set_num_threads(cores())
    model = torch_model(case).eval()

    def predict(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()

    return predict


def predict_jax(case: Case) -> Callable[[np.ndarray], np.ndarray]:
    import jax

    (parameters, *_), _, _, predict = jax_functions(case)
    compiled = jax.jit(predict)
    return lambda x: np.asarray(compiled(parameters, x))


def predict_onnx(case: Case) -> Callable[[np.ndarray], np.ndarray]:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: np.ndarray):
        return numpy_helper.from_array(np.ascontiguousarray(value), name)

    def reorder(gates: np.ndarray) -> np.ndarray:  # ours i, f, g, o; theirs i, o, f, g
        i, f, g, o = np.split(gates, 4)
        return np.concatenate([i, o, f, g])[None]

    bias = reorder(case["recurrent.bias"])
    weights = [
        constant("W", reorder(case["recurrent.weight_ih"])),
        constant("R", reorder(case["recurrent.weight_hh"])),
        constant("B", np.concatenate([bias, np.zeros_like(bias)], axis=1)),
        constant("first", np.array([0])),
    ]
    nodes = [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "W", "R", "B"], ["", "last"], hidden_size=64),
        helper.make_node("Squeeze", ["last", "first"], ["h0"]),
    ]
    for layer in range(3):
        weights += [
            constant(f"w{layer}", case[f"dense.{layer}.weight"]),
            constant(f"b{layer}", case[f"dense.{layer}.bias"]),
        ]
        nodes.append(
            helper.make_node("Gemm", [f"h{layer}", f"w{layer}", f"b{layer}"], [f"z{layer}"], transB=1)
        )
        if layer < 2:
            nodes.append(helper.make_node("Relu", [f"z{layer}"], [f"h{layer + 1}"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", 1])]
    outputs = [helper.make_tensor_value_info("z2", TensorProto.FLOAT, ["N", 1])]
    graph = helper.make_graph(nodes, "reference", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(None, {"x": x})[0]


FIT = {
    "trendlstm": fit_trendlstm,
    "PyTorch": fit_torch,
    "JAX": fit_jax,
    "Keras/TensorFlow": fit_keras_tensorflow,
    "Keras/JAX": fit_keras_jax,
}
MANY = {"trendlstm": many_trendlstm, "PyTorch": many_torch, "JAX": many_jax}
PREDICT = {
    "trendlstm": predict_trendlstm,
    "PyTorch": predict_torch,
    "JAX": predict_jax,
    "ONNX Runtime": predict_onnx,
}


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def do_fit(name: str, case: Case) -> dict[str, Any]:
    train, losses = FIT[name](case)
    count = int(case["epochs"])
    train(2)
    seconds = timed(lambda: train(count), int(case["repeats"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "losses": losses,
        "ms": 1e3 * median(seconds) / count,
        "peak_mib": peak / 1024,
    }


def do_many(name: str, case: Case) -> dict[str, Any]:
    train = MANY[name](case)
    train(1)
    seconds = timed(lambda: train(int(case["epochs"])), int(case["repeats"]))
    return {"fits_per_second": int(case["fits"]) / median(seconds)}


def do_predict(name: str, case: Case) -> dict[str, Any]:
    predict = PREDICT[name](case)
    x = case["x"]
    one, many = x[:1], np.concatenate([x] * -(-10_000 // len(x)))[:10_000]
    for _ in range(200):
        predict(one)
    microseconds = 1e6 * np.array(timed(lambda: predict(one), 2000))
    predict(many)
    seconds = timed(lambda: predict(many), int(case["repeats"]))
    p50, p99 = np.percentile(microseconds, [50, 99]).tolist()
    return {
        "outputs": predict(x[:8])[:, 0].tolist(),
        "p50_us": p50,
        "p99_us": p99,
        "ms_10000": 1e3 * median(seconds),
    }


JOBS = {"fit": (do_fit, FIT), "many": (do_many, MANY), "predict": (do_predict, PREDICT)}


if __name__ == "__main__":
    job, framework, path = sys.argv[1:]
    print(json.dumps(JOBS[job][0](framework, load_case(path))))
