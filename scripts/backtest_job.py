"""The benchmark's backtest, one ticker refitted every day for a year with 5 seeds: `backtest_job.py NAME CASE`.

`trendlstm` walks through all folds and writes CASE, an .npz file: the samples of 20 of the folds, initial parameters,
and how many epochs its early stopping let each network run. The peers then train just these networks, each for the
epochs that trendlstm's took, with the validation loss after every epoch and the best weights kept; they are given the
samples ready to use, need not forecast, and their start-up is not timed. Prints one JSON object; `bench.py` calls it.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import LEARNING_RATE, Case, batch_size, cores, keras_model, load_case, torch_trainer

TICKER, SEEDS, PEERS_FOLDS = "MSFT", 5, 20
TEST_YEARS = 1.005  # 252 days in the packaged sample

Fit = Callable[
    [Case, int], None
]  # trains on a fold's samples x, y, validation_x, validation_y for so many epochs


def walk(path: str) -> dict[str, Any]:
    """The whole backtest, without the tables at its end."""
    import trendlstm as tl
    from trendlstm.config import BacktestConfig, DataConfig
    from trendlstm.data.frames import price_set
    from trendlstm.nn.many import compile_kernels
    from trendlstm.output.fold_file import FoldFile
    from trendlstm.workflows.fold_queue import ThreadEngine, plan, run

    prices = {TICKER: price_set(tl.load_prices(TICKER, source="sample"), DataConfig(ticker=TICKER))}
    config = BacktestConfig(seeds=SEEDS, test_years=TEST_YEARS)
    compile_kernels()
    with tempfile.TemporaryDirectory() as folder:
        store = FoldFile.create(Path(folder), config, prices)
        start = time.perf_counter()
        planned = plan(prices, config)
        run(planned, store, ThreadEngine(cores()))
        seconds = time.perf_counter() - start
        results = list(store.load(TICKER))
        store.close()
    best = np.array([result.epochs["lstm"] for result in results])
    assert config.fit.patience is not None
    epochs = np.minimum(best + config.fit.patience, config.fit.epochs)
    write_case(path, planned.walks[TICKER], config, epochs)
    own = sum(result.seconds for result in results)
    return {
        "folds": len(results),
        "fits": epochs.size,
        "epochs_per_fit": float(epochs.mean()),
        "seconds": seconds,
        "fits_per_second": epochs.size / seconds,
        "overhead": seconds * cores() / own - 1,
    }


def write_case(path: str, walk: Any, config: Any, epochs: np.ndarray) -> None:
    """Every so many folds' samples in float32, and all epochs (folds, seeds)."""
    from trendlstm.nn.network import Network
    from trendlstm.workflows.folds import make_windows

    chosen = np.linspace(0, len(walk.folds) - 1, PEERS_FOLDS).round().astype(int)
    samples = {}
    for number in chosen.tolist():
        windows = make_windows(walk, walk.folds[number], config)
        for prefix, part in (("", windows.train), ("validation_", windows.validation)):
            samples[f"{number}/{prefix}x"] = part.x.astype(np.float32)
            samples[f"{number}/{prefix}y"] = part.y.astype(np.float32)
    initial = Network.from_config(config.network_of("lstm", 0)).state_dict()
    np.savez(
        path,
        folds=chosen,
        epochs=epochs,
        cell="lstm",
        layers=1,
        batch_size=config.fit.batch_size,
        **samples,
        **initial,
    )


def make_torch(case: Case) -> Fit:
    import torch

    torch.set_num_threads(cores())

    def fit(samples: Case, epochs: int) -> None:
        x, y, validation_x, validation_y = (torch.from_numpy(values) for values in samples)
        model, step = torch_trainer(case, x, y)
        lowest, best = np.inf, {}
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(batch_size(case)):
                step(rows)
            with torch.inference_mode():
                loss = float(torch.nn.functional.mse_loss(model(validation_x), validation_y))
            if loss < lowest:
                lowest, best = loss, {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(best)

    return fit


def make_keras(case: Case, keep_model: bool) -> Fit:
    """With `keep_model` one compiled model starts anew for every fit; otherwise every fit builds its own."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    kept = None

    def start_anew(model: Any, values: list[np.ndarray]) -> None:
        model.set_weights(values)
        for variable in model.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        model.optimizer.learning_rate.assign(LEARNING_RATE)  # is one of the variables

    def fit(samples: Case, epochs: int) -> None:
        nonlocal kept
        x, y, *validation = samples
        if kept is None:
            model = keras_model(case, x.shape[1:])
            if keep_model:
                model.optimizer.build(model.trainable_variables)
                kept = model, model.get_weights()
        else:
            model, initial = kept
            start_anew(model, initial)
        best = keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)
        model.fit(
            x,
            y,
            batch_size=batch_size(case),
            epochs=epochs,
            validation_data=validation,
            callbacks=[best],
            verbose=0,
        )

    return fit


# How a peer is made, and whether it has a process a core or one for all cores.
PEERS: dict[str, tuple[Callable[[Case], Fit], bool]] = {
    "PyTorch, a process a core": (make_torch, True),
    "Keras/TensorFlow, a process a core, one model for all fits": (lambda case: make_keras(case, True), True),
    "Keras/TensorFlow, one process, a model a fit": (lambda case: make_keras(case, False), False),
}


def work(name: str, path: str, allowed: set[int], tasks: Any, reports: Any) -> None:
    """Train what comes from `tasks` on some cores; says so when it is ready, and when it has ended."""
    try:
        _work(name, path, allowed, tasks, reports)
    except BaseException:
        traceback.print_exc()  # before the other end hears of it and ends this process
        reports.put("failed")  # or it would be waited for


def _work(name: str, path: str, allowed: set[int], tasks: Any, reports: Any) -> None:
    os.sched_setaffinity(0, allowed)
    case = load_case(path)
    samples = {
        fold: tuple(case[f"{fold}/{kind}"] for kind in ("x", "y", "validation_x", "validation_y"))
        for fold in case["folds"].tolist()
    }
    fit = PEERS[name][0](case)
    fit(next(iter(samples.values())), 1)
    reports.put("ready")
    for fold, epochs in iter(tasks.get, None):
        fit(samples[fold], epochs)
    reports.put("ended")


def measure_peer(name: str, path: str) -> dict[str, Any]:
    """Time a peer on the folds of a case; all folds would take it longer by their epochs."""
    case = load_case(path)
    epochs = case["epochs"]
    todo = [(fold, count) for fold in case["folds"].tolist() for count in epochs[fold].tolist()]
    allowed = os.sched_getaffinity(0)
    shares = [{core} for core in sorted(allowed)] if PEERS[name][1] else [allowed]
    context = multiprocessing.get_context("spawn")
    tasks, reports = context.Queue(), context.Queue()

    def hear_from_all() -> None:
        for _ in shares:
            if reports.get() == "failed":
                raise SystemExit(f"{name} failed: see above.")

    for share in shares:
        context.Process(target=work, args=(name, path, share, tasks, reports), daemon=True).start()
    hear_from_all()
    start = time.perf_counter()
    for task in [*todo, *[None] * len(shares)]:
        tasks.put(task)
    hear_from_all()
    measured = time.perf_counter() - start
    seconds = measured * float(epochs.sum() / sum(count for _, count in todo))
    return {
        "folds_measured": len(case["folds"]),
        "seconds_measured": measured,
        "seconds": seconds,
        "fits_per_second": epochs.size / seconds,
    }


if __name__ == "__main__":
    chosen_name, case_path = sys.argv[1:]
    print(json.dumps(walk(case_path) if chosen_name == "trendlstm" else measure_peer(chosen_name, case_path)))
