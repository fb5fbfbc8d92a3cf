"""Measure trendlstm beside PyTorch, JAX, Keras and ONNX Runtime on this machine: `make bench`.

Everything is timed in one run on the same cores and data, each peer in a process of its own (scripts/peers.py), as the
median of several repeats after a warm-up; the peers are measured with one thread and with all, and their faster one
counts. Before any timing all must compute the same losses from the same weights for three Adam steps, and the same
predictions. Writes bench/results.json and docs/growth.png; scripts/update_readme.py copies the tables into the README.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from statistics import median
from typing import Any

import click
import numba
import numpy as np
from backtest_job import PEERS as BACKTEST_PEERS
from breakdown import break_down
from measuring import (
    BATCH_SIZE,
    CORES,
    HIDDEN,
    MANY_FITS,
    REPEATS,
    ROOT,
    SAMPLES,
    STEPS,
    flops_per_epoch,
    machine,
    require_equal,
    run_script,
    versions,
    write_case,
    write_long_case,
)
from peers import FIT, MANY, PREDICT, timed

import trendlstm as tl
from trendlstm.kernels.buffers import aligned_zeros
from trendlstm.kernels.simd import TILE_ROWS, VECTOR_BYTES, full_tile

LONG = (1000, 10_000)  # steps
LARGE = ((64, 512), (256, 32), (256, 512), (512, 32), (512, 512))  # hidden size, minibatch


@numba.njit(nogil=True)
def _multiply_add_loop(out, a, b, times):
    for _ in range(times):
        full_tile(out, a, b, 0, 0, 0, b.shape[0], b.shape[0], b.shape[0], False, True)


def peak_flops(cores: int) -> float:
    """Multiplications and additions a second of so many cores together, from tiles that stay in registers."""
    depth, times, columns = 128, 20_000, 2 * VECTOR_BYTES // 4
    shapes = (TILE_ROWS, columns), (TILE_ROWS, depth), (depth, columns)
    tiles = [[aligned_zeros(shape, np.float32) for shape in shapes] for _ in range(cores)]
    _multiply_add_loop(*tiles[0], 1)

    def multiply() -> None:
        threads = [threading.Thread(target=_multiply_add_loop, args=(*tile, times)) for tile in tiles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2.0 * cores * TILE_ROWS * columns * depth * times / min(timed(multiply, REPEATS))


def fits(case: Path, peers: list[str]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What everyone measures of a case on one thread and on all, once all compute the same."""
    reference: list[float] = []
    for name in ["trendlstm", *peers]:
        for threads in sorted({1, CORES}):
            measured = run_script("peers.py", "fit", name, str(case), cores=threads)
            reference = reference or measured["losses"]
            require_equal(name, measured["losses"], reference)
            yield name, threads, measured


def bench_fit(folder: Path, peers: list[str], peak: dict[int, float]) -> list[dict[str, Any]]:
    """One fit: ms per epoch for one thread and for all."""
    rows = []
    for steps in STEPS:
        for name, threads, measured in fits(write_case(folder, steps, max(2, 60 // steps)), peers):
            row = {"T": steps, "name": name, "threads": threads, "ms": measured["ms"]}
            row["peak_mib"] = measured["peak_mib"]
            if name == "trendlstm":
                row["gflops"] = flops_per_epoch(steps) / measured["ms"] / 1e6
                row["percent_of_peak"] = 1e11 * row["gflops"] / peak[threads]
            rows.append(row)
            say("one fit", row)
    return rows


def bench_large(folder: Path, peers: list[str]) -> list[dict[str, Any]]:
    """One fit of larger networks and minibatches against PyTorch, whose strength they are."""
    rows = []
    for hidden, batch in LARGE:
        for name, threads, measured in fits(write_case(folder, 20, 3, 1024, hidden, batch), peers):
            rows.append({"H": hidden, "batch": batch, "name": name, "threads": threads, "ms": measured["ms"]})
            say("large", rows[-1])
    return rows


def bench_cells(folder: Path, peers: list[str], peak: dict[int, float]) -> list[dict[str, Any]]:
    """One fit of the GRU and of two layers against PyTorch, with the LSTM of one layer for comparison."""
    rows = []
    for cell, layers in (("lstm", 1), ("gru", 1), ("lstm", 2), ("gru", 2)):
        for steps in STEPS:
            case = write_case(folder, steps, max(2, 30 // steps), cell=cell, layers=layers)
            flops = flops_per_epoch(steps, cell=cell, layers=layers)
            for name, threads, measured in fits(case, peers):
                row = {"cell": cell, "layers": layers, "T": steps, "name": name, "threads": threads}
                row["ms"] = measured["ms"]
                if name == "trendlstm":
                    row["percent_of_peak"] = 1e5 * flops / measured["ms"] / peak[threads]
                rows.append(row)
                say("cells and layers", row)
    return rows


def bench_long(folder: Path, peers: list[str]) -> list[dict[str, Any]]:
    """Training on long sequences, the adding problem's, against PyTorch: steps of sequences a second, and memory."""
    rows = []
    for steps in LONG:
        for hidden in (16, HIDDEN):
            for name, threads, measured in fits(write_long_case(folder, steps, hidden), peers):
                row = {"T": steps, "H": hidden, "name": name, "threads": threads}
                row["steps_per_second"] = 2e3 * BATCH_SIZE * steps / measured["ms"]
                row["peak_mib"] = measured["peak_mib"]
                rows.append(row)
                say("long sequences", row)
    return rows


def bench_many(folder: Path, peers: list[str], peak: dict[int, float]) -> list[dict[str, Any]]:
    """Many fits at once: fits a second, each of one epoch."""
    rows = []
    for steps in STEPS:
        case = write_case(folder, steps, 1)
        for name in ["trendlstm", *peers]:
            row = {"T": steps, "name": name, **run_script("peers.py", "many", name, str(case))}
            if name == "trendlstm":
                flops = flops_per_epoch(steps) * row["fits_per_second"]
                row["percent_of_peak"] = 100 * flops / peak[CORES]
            rows.append(row)
            say(f"{MANY_FITS} fits", row)
    return rows


def bench_breakdown(peak: float) -> list[dict[str, Any]]:
    """Where the time of an epoch goes."""
    rows = []
    for steps in STEPS:
        rows.append(break_down(steps, peak))
        say("where an epoch goes", rows[-1])
    return rows


def bench_predict(folder: Path, peers: list[str]) -> list[dict[str, Any]]:
    """Latency of one window and time of 10,000, T = 20."""
    rows: list[dict[str, Any]] = []
    case = write_case(folder, 20, 1)
    reference: list[float] = []
    for name in ["trendlstm", *peers]:
        for threads in sorted({1, CORES}):
            measured = run_script("peers.py", "predict", name, str(case), cores=threads)
            reference = reference or measured["outputs"]
            require_equal(name, measured.pop("outputs"), reference)
            rows.append({"name": name, "threads": threads, **measured})
            say("inference", rows[-1])
    return rows


def bench_process(folder: Path, with_peers: bool) -> list[dict[str, Any]]:
    """The main job as a whole process: first run with an empty cache, later runs, and Keras' equivalent."""
    rows = []
    train = [sys.executable, "-m", "trendlstm", "train", "MSFT", "--source", "sample", "--quiet", "--out"]
    keras = [sys.executable, str(Path(__file__).with_name("keras_job.py"))]
    caches = {"TRENDLSTM_CACHE_DIR": str(folder / "cache")}

    def wall(command: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run(command, env=os.environ | caches, check=True, capture_output=True)
        return time.perf_counter() - start

    rows.append({"name": "trendlstm, first run", "seconds": wall([*train, str(folder / "first")])})
    later = [wall([*train, str(folder / f"later-{k}")]) for k in range(REPEATS)]
    rows.append({"name": "trendlstm, later runs", "seconds": median(later)})
    if with_peers:
        others = [wall([*keras, str(folder / f"keras-{k}")]) for k in range(3)]
        rows.append({"name": "Keras/TensorFlow script", "seconds": median(others[1:])})
    for row in rows:
        say("whole process", row)
    return rows


def bench_backtest(folder: Path, with_peers: bool) -> list[dict[str, Any]]:
    """A year of daily refits; the peers on some of the folds, for the epochs that trendlstm's fits took."""
    rows = []
    for name in ["trendlstm", *(BACKTEST_PEERS if with_peers else [])]:
        rows.append({"name": name, **run_script("backtest_job.py", name, str(folder / "backtest.npz"))})
        say("backtest", rows[-1])
    return rows


def bench_busy() -> list[dict[str, Any]]:
    """One fit while another process keeps one core busy: with every number of threads, and with too many."""
    rows = []
    core = min(os.sched_getaffinity(0))
    busy = subprocess.Popen(
        [sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    try:
        for steps in STEPS:
            for threads in (*range(1, CORES + 1), 2 * CORES):
                rows.append({"T": steps, "threads": threads, "ms": long_fit(steps, threads)})
                say("one core busy", rows[-1])
    finally:
        busy.kill()
        busy.wait()
    return rows


def long_fit(steps: int, threads: int) -> float:
    """Milliseconds per epoch of a fit that lasts long enough to adapt to its machine: a second or so."""
    generator, epochs = np.random.default_rng(0), 1200 // steps
    x = generator.standard_normal((SAMPLES, steps, 1)).astype(np.float32)
    y = generator.standard_normal((SAMPLES, 1)).astype(np.float32)
    network = tl.Network(hidden_size=HIDDEN)
    settings = {"epochs": epochs, "batch_size": BATCH_SIZE, "n_threads": threads}
    return 1e3 * median(timed(lambda: network.fit(x, y, **settings), REPEATS)) / epochs


def bench_growth() -> dict[str, list[dict[str, float]]]:
    """How the time of a fit grows with each size, the others as in the reference model with T = 20."""
    generator = np.random.default_rng(0)

    def seconds(samples=SAMPLES, steps=20, hidden=HIDDEN, batch=BATCH_SIZE, threads=CORES, fits=1) -> float:
        x = generator.standard_normal((samples, steps, 1)).astype(np.float32)
        y = generator.standard_normal((samples, 1)).astype(np.float32)
        networks = [tl.Network(hidden_size=hidden, seed=seed) for seed in range(fits)]
        settings = {"epochs": 1, "batch_size": batch, "n_threads": threads}
        if fits == 1:
            return median(timed(lambda: networks[0].fit(x, y, **settings), 5))
        return median(timed(lambda: tl.fit_many(networks, x, y, **settings), 5))

    sizes = {
        "steps": (3, 10, 30, 100, 300, 1000),
        "hidden": (16, 32, 64, 128, 256, 512),
        "samples": (200, 600, 2000, 6000, 20000),
        "batch": (8, 16, 32, 64, 128, 256, 512),
        "threads": tuple(range(1, CORES + 1)),
        "fits": (1, 4, 16, 64, 256),
    }
    seconds()
    return {
        name: [{"size": size, "seconds": seconds(**{name: size})} for size in values]
        for name, values in sizes.items()
    }


def exponent(points: list[dict[str, float]]) -> float:
    """The slope of log(seconds) against log(size) over the larger half of the sizes."""
    half = points[len(points) // 2 - 1 :] if len(points) > 3 else points
    if len(half) < 2:
        return float("nan")
    return float(np.polyfit(*np.log([[p["size"] for p in half], [p["seconds"] for p in half]]), 1)[0])


def draw_growth(growth: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Six log-log panels of the time of an epoch, each with the exponent of its larger sizes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    names = {
        "steps": "time steps T",
        "hidden": "hidden units H",
        "samples": "samples N",
        "batch": "minibatch",
        "threads": "threads",
        "fits": "fits at once",
    }
    figure = Figure(figsize=(11, 6.5), dpi=110, layout="constrained")
    figure.suptitle(
        "Time of an epoch as one size grows; the others: T 20, H 64, N 800, minibatch 32, all threads"
    )
    for axes, (name, label) in zip(figure.subplots(2, 3).flat, names.items(), strict=True):
        points = growth[name]
        sizes = [p["size"] for p in points]
        axes.loglog(sizes, [1e3 * p["seconds"] for p in points], "o-", color="#0072B2")
        axes.minorticks_off()
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(label)
        axes.set_ylabel("ms per epoch")
        axes.set_title(f"time ~ size^{exponent(points):.2f}")
        axes.grid(color="#DDDDDD")
    figure.savefig(path)


def installed_mib(name: str = "trendlstm") -> float:
    """Size of a distribution and all that it needs, without extras."""
    seen: set[str] = set()
    waiting = [name]
    total = 0
    while waiting:
        found = distribution(waiting.pop())
        if found.name.lower() in seen:
            continue
        seen.add(found.name.lower())
        total += sum(size for file in found.files or [] if (size := _size(Path(str(file.locate())))))
        for requirement in found.requires or []:
            if "extra ==" not in requirement:
                needed = requirement.split(";")[0].split("[")[0].strip(" ()")
                needed = "".join(c if c.isalnum() or c in "-_." else " " for c in needed).split()[0]
                try:
                    distribution(needed)
                except ModuleNotFoundError:  # not on this platform or Python
                    continue
                waiting.append(needed)
    return total / 2**20


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def say(section: str, row: dict[str, Any]) -> None:
    """One line for one measurement."""
    parts = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
    ]
    click.echo(f"{section}: {', '.join(parts)}")


@click.command()
@click.option("--self", "alone", is_flag=True, help="Without peers.")
def main(alone: bool) -> None:
    """Measure trendlstm beside its peers and write bench/results.json."""
    kinds = {"fit": FIT, "many": MANY, "predict": PREDICT}
    peers = {
        job: [] if alone else [name for name in names if name != "trendlstm"] for job, names in kinds.items()
    }
    libraries = () if alone else ("torch", "jax", "keras", "tensorflow", "onnxruntime")
    peak = {cores: peak_flops(cores) for cores in sorted({1, CORES})}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "machine": machine(),
            "versions": versions(*libraries),
            "peak_gflops": peak[1] / 1e9,
            "peak_gflops_all_cores": peak[CORES] / 1e9,
            "one_fit": bench_fit(folder, peers["fit"], peak),
            "breakdown": bench_breakdown(peak[1]),
            "large_fits": bench_large(folder, [name for name in peers["fit"] if name == "PyTorch"]),
            "cells": bench_cells(folder, [name for name in peers["fit"] if name == "PyTorch"], peak),
            "long_sequences": bench_long(folder, [name for name in peers["fit"] if name == "PyTorch"]),
            "many_fits": bench_many(folder, peers["many"], peak),
            "inference": bench_predict(folder, peers["predict"]),
            "backtest": bench_backtest(folder, not alone),
            "process": bench_process(folder, not alone),
            "busy": bench_busy(),
            "growth": bench_growth(),
            "installed_mib": installed_mib(),
        }
    for size, points in results["growth"].items():
        click.echo(f"growth: {size} exponent {exponent(points):.2f}")
    path = ROOT / "bench" / ("self.json" if alone else "results.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    draw_growth(results["growth"], ROOT / "docs" / "growth.png")
    click.echo(f"written to {path.relative_to(ROOT)} and docs/growth.png")


if __name__ == "__main__":
    main()
