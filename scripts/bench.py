"""Time one fit of the reference model beside PyTorch, JAX and Keras: `make bench`.

800 random windows, batch 32, so 25 Adam steps an epoch; each peer in a process of its own on the same cores, the median
of several repeats after a warm-up. First it checks that all compute the same losses from the same weights.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

import trendlstm as tl

SAMPLES, REPEATS, TOLERANCE = 800, 7, 1e-4
PEERS = ("PyTorch", "JAX", "Keras/TensorFlow", "Keras/JAX")
RESULTS = Path(__file__).parents[1] / "bench" / "results.json"


def measure(name: str, case: Path, cores: int) -> dict:
    """What scripts/peers.py prints, run on the first `cores` cores of this process."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("peers.py")), name, str(case)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    if result.returncode:
        raise click.ClickException(f"{name} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def write_case(path: Path, steps: int) -> None:
    """Windows, targets and initial weights for scripts/peers.py."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((SAMPLES, steps, 1)).astype(np.float32)
    y = generator.standard_normal((SAMPLES, 1)).astype(np.float32)
    epochs = max(2, 60 // steps)
    np.savez(path, x=x, y=y, epochs=epochs, repeats=REPEATS, **tl.Network().state_dict())


@click.command()
@click.option("--no-peers", is_flag=True, help="Time trendlstm alone.")
@click.option("--steps", default="3,20,60", show_default=True, help="Values of T.")
def main(no_peers: bool, steps: str) -> None:
    """Time one fit of the reference model beside its peers."""
    names = ("trendlstm",) if no_peers else ("trendlstm", *PEERS)
    cores = len(os.sched_getaffinity(0))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, steps.split(",")):
            case = Path(folder) / "case.npz"
            write_case(case, count)
            for name in names:
                measured = {threads: measure(name, case, threads) for threads in sorted({1, cores})}
                losses = measured[1]["losses"]
                if name == "trendlstm":
                    reference, own = losses, measured
                if not np.allclose(losses, reference, rtol=TOLERANCE, atol=0):
                    raise click.ClickException(f"{name} computes other losses: {losses}, not {reference}")
                for threads, values in measured.items():
                    ratio = values["ms"] / own[threads]["ms"]
                    results.append(
                        {"T": count, "peer": name, "threads": threads, "ms": values["ms"], "ratio": ratio}
                    )
                    click.echo(
                        f"T={count:<3} {name:<17} {threads} thread{'s' if threads > 1 else ' '} "
                        f"{values['ms']:8.2f} ms/epoch  {ratio:6.1f}x"
                    )
    machine = {"processor": platform.processor() or platform.machine(), "cores": cores}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "one_fit": results}, indent=2) + "\n")
    click.echo(
        f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}"
    )


if __name__ == "__main__":
    main()
