"""What the benchmarks share: the cases that they measure, the check before it, and how scripts are run and timed."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

import trendlstm as tl
from trendlstm.config import Cell
from trendlstm.experiments.long_lags import adding

ROOT = Path(__file__).parents[1]
SAMPLES, BATCH_SIZE, HIDDEN, REPEATS = 800, 32, 64, 7
STEPS = (3, 20, 60)
MANY_FITS = 64
TOLERANCE = 1e-4
CORES = len(os.sched_getaffinity(0))


def start_script(script: str, *arguments: str, cores: int = CORES, **pipes: Any) -> subprocess.Popen[str]:
    """A script of this folder, started on the first `cores` cores of this process."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name(script)), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        **pipes,
    )


def run_script(script: str, *arguments: str, cores: int = CORES) -> dict[str, Any]:
    """The JSON object that a script of this folder prints, run on the first `cores` cores of this process."""
    process = start_script(script, *arguments, cores=cores, stderr=subprocess.PIPE)
    printed, errors = process.communicate()
    if process.returncode:
        raise click.ClickException(f"{script} {' '.join(arguments)} failed:\n{errors}")
    return json.loads(printed.splitlines()[-1])


def write_case(
    folder: Path,
    steps: int,
    epochs: int,
    samples: int = SAMPLES,
    hidden: int = HIDDEN,
    batch: int = BATCH_SIZE,
    dtype: str = "float32",
    cell: Cell = "lstm",
    layers: int = 1,
) -> Path:
    """Random windows and targets and the initial weights, for scripts/peers.py."""
    generator = np.random.default_rng(0)
    path = folder / f"case-{cell}-{layers}-{steps}-{epochs}-{samples}-{hidden}-{batch}-{dtype}.npz"
    # uniform: orthogonal weights of 1,024 units take seconds
    network = tl.Network(hidden_size=hidden, layers=layers, cell=cell, dtype=dtype, init="uniform")
    np.savez(
        path,
        x=generator.standard_normal((samples, steps, 1)).astype(dtype),
        y=generator.standard_normal((samples, 1)).astype(dtype),
        epochs=epochs,
        batch_size=batch,
        repeats=REPEATS,
        fits=MANY_FITS,
        cell=cell,
        layers=layers,
        **network.state_dict(),
    )
    return path


def write_long_case(folder: Path, steps: int, hidden: int) -> Path:
    """Two minibatches of the adding problem and a network as `trendlstm reproduce` trains, for scripts/peers.py."""
    sequences = adding(steps, "2022").draw(np.random.default_rng(0), 2 * BATCH_SIZE)
    path = folder / f"long-{steps}-{hidden}.npz"
    network = tl.Network(2, hidden, (), 1, lag=steps, forget_bias="chrono")
    np.savez(
        path,
        x=sequences.x,
        y=sequences.y,
        epochs=1,
        batch_size=BATCH_SIZE,
        repeats=3,
        cell="lstm",
        layers=1,
        **network.state_dict(),
    )
    return path


def require_equal(name: str, values: list[float], reference: list[float]) -> None:
    """Refuse to time what computes something else."""
    if not np.allclose(values, reference, rtol=TOLERANCE, atol=TOLERANCE * np.max(np.abs(reference))):
        raise click.ClickException(f"{name} computes {values}, trendlstm {reference}: nothing was timed")


def flops_per_epoch(
    steps: int, samples: int = SAMPLES, hidden: int = HIDDEN, cell: Cell = "lstm", layers: int = 1
) -> float:
    """Multiplications and additions that an epoch's matrix products need; activations and Adam are not counted.

    Nor are products with h_0, which is 0: the other libraries compute them.
    """
    gates, head = {"lstm": 4, "gru": 3}[cell] * hidden, 32 * hidden + 32 * 32 + 32
    total = 3 * head
    for layer in range(layers):
        features = hidden if layer else 1
        forward = steps * gates * (features + 1) + (steps - 1) * gates * hidden
        # the gradients of the weights, of h, of which h_0 needs none, and of x, of which the input needs none
        backward = forward + (steps - 1) * gates * hidden + (steps * gates * features if layer else 0)
        total += forward + backward
    return 2.0 * samples * total


def machine() -> dict[str, Any]:
    """The processor, how many of its cores may be used, and Python's version."""
    return {"processor": _processor(), "cores": CORES, "python": platform.python_version()}


def versions(*peers: str) -> dict[str, str]:
    """The versions of trendlstm, of what it computes with, and of its peers."""
    return {library: version(library) for library in ("trendlstm", "numba", "numpy", *peers)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
