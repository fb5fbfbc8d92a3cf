"""Walk a grid of sizes with trendlstm, PyTorch and JAX, and name each cell where trendlstm is slower.

Each library has one process for one thread and one for all cores, which wait while another measures. A cell is given
to them in turn, so that what else happens on the machine meets all of them, and it counts only if all compute the same
losses or predictions. On one thread the peers have one thread too; against all of our threads the faster of their one
and all counts. One cell a line goes into bench/grid.jsonl, or with --subset into bench/grid_subset.jsonl; with --resume
an interrupted walk goes on. scripts/update_readme.py copies the summary into the README.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import geometric_mean
from subprocess import PIPE, Popen
from typing import Any, NamedTuple

import click
from measuring import CORES, ROOT, flops_per_epoch, machine, require_equal, start_script, versions, write_case

FULL, SUBSET = ROOT / "bench" / "grid.jsonl", ROOT / "bench" / "grid_subset.jsonl"
NAMES = ("trendlstm", "PyTorch", "JAX")
THREADS = sorted({1, CORES})
AXES: dict[str, tuple[Any, ...]] = {
    "dtype": ("float32", "float64"),
    "job": ("fit", "predict"),
    "H": (16, 32, 64, 128, 256, 512, 1024),
    "minibatch": (1, 8, 32, 128, 512),
    "T": (1, 3, 20, 60, 300),
}
SUBSET_SIZES = (  # H, minibatch, T
    (16, 1, 300),
    (32, 128, 1),
    (64, 32, 20),
    (128, 8, 60),
    (256, 512, 3),
    (512, 32, 20),
    (1024, 1, 3),
)
LONGEST_SECONDS = 3.0  # of one minibatch, estimated: what would take longer is skipped, and named
EPOCH_SECONDS, MOST_MINIBATCHES, MOST_STEPS = 0.02, 128, 2560  # PyTorch takes up to 0.1 ms a step
# Of one core, to choose sizes by: products a second in float32, and what a parameter costs Adam, in products.
FLOPS_PER_SECOND, ADAM_FLOPS = 1e11, 250

Row = dict[
    str, Any
]  # of a cell: its place on each axis, and "ms" by library, a list over THREADS, or None if skipped


class Cell(NamedTuple):
    """A place in the grid, measured on one thread and on all; predictions are of `minibatch` windows in one call."""

    dtype: str
    job: str
    H: int
    minibatch: int
    T: int

    @property
    def seconds(self) -> float:
        """About how long one core takes for a minibatch."""
        flops = flops_per_epoch(self.T, self.minibatch, self.H)
        flops = flops / 3 if self.job == "predict" else flops + ADAM_FLOPS * 4 * self.H**2
        return flops / FLOPS_PER_SECOND * (2 if self.dtype == "float64" else 1)

    @property
    def minibatches(self) -> int:
        """How many make an epoch that is long enough to be timed, and short enough for all libraries."""
        if self.job == "predict":
            return 1
        most = min(MOST_MINIBATCHES, MOST_STEPS // self.T)
        return max(1, min(most, round(EPOCH_SECONDS / self.seconds)))


def all_cells() -> list[Cell]:
    """The grid, by dtype."""
    return [Cell(*place) for place in product(*AXES.values())]


def some_cells() -> list[Cell]:
    """A few of them, among which is every value of each axis."""
    few = {"float32": SUBSET_SIZES, "float64": SUBSET_SIZES[::3]}
    return [Cell(dtype, job, *sizes) for dtype in few for job in AXES["job"] for sizes in few[dtype]]


@contextmanager
def running(dtype: str) -> Iterator[dict[tuple[str, int], Popen[str]]]:
    """Every library's processes, by name and number of cores; of one dtype, because JAX is set to it as a whole."""
    with ExitStack() as stack:
        workers = {}
        for name, cores in product(NAMES, THREADS):
            worker = stack.enter_context(start_script("grid_worker.py", name, cores=cores, stdin=PIPE))
            stack.callback(worker.kill)
            workers[name, cores] = worker
        yield workers


def ask(worker: Popen[str], job: str, case: Path) -> dict[str, Any]:
    """One library's answer about a cell."""
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{job} {case}\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise click.ClickException(f"{' '.join(map(str, worker.args[1:]))} ended at {job} {case.name}.")
    return json.loads(line)


def measure(cell: Cell, workers: dict[tuple[str, int], Popen[str]], folder: Path) -> Row:
    """A cell's row."""
    if cell.seconds > LONGEST_SECONDS:
        return cell._asdict() | {"ms": None}
    samples = cell.minibatch * cell.minibatches
    case = write_case(folder, cell.T, 1, samples, cell.H, cell.minibatch, cell.dtype)
    ms: dict[str, list[float]] = {name: [] for name in NAMES}
    reference: list[float] = []
    for (name, _), worker in workers.items():
        answer = ask(worker, cell.job, case)
        reference = reference or answer["values"]
        require_equal(f"{cell}: {name}", answer["values"], reference)
        ms[name].append(answer["ms"])
    case.unlink()
    return cell._asdict() | {"ms": ms}


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """On what the grid of a file was measured, and its rows; the last line is left out if it was cut off."""
    lines = path.read_text().splitlines(keepends=True)
    header, *rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return header, rows


def ratios(rows: list[Row]) -> list[Row]:
    """Each measured cell once for one thread and once for all: the faster peer, and its time divided by ours."""
    found = []
    for row in rows:
        ms = row["ms"]
        if ms is None:
            continue
        for k, threads in enumerate(["one thread", "all threads"][: len(ms["trendlstm"])]):
            times = {name: min(values[: k + 1]) for name, values in ms.items() if name != "trendlstm"}
            peer = min(times, key=lambda name: times[name])
            ratio = times[peer] / ms["trendlstm"][k]
            found.append(row | {"threads": threads, "peer": peer, "ratio": ratio})
    return sorted(found, key=lambda cell: cell["ratio"])


def describe(cell: Row) -> str:
    """A cell in words."""
    place = f"{cell['job']}, H {cell['H']}, minibatch {cell['minibatch']}, T {cell['T']}, {cell['dtype']}"
    return f"{place}, {cell['threads']}" if "threads" in cell else place


def means(found: list[Row], axis: str) -> dict[Any, float]:
    """The geometric mean of the ratios of all cells with each value of an axis."""
    values = dict.fromkeys(value for value in (*AXES.get(axis, ()), "one thread", "all threads"))
    cells = {value: [cell["ratio"] for cell in found if cell[axis] == value] for value in values}
    return {value: geometric_mean(some) for value, some in cells.items() if some}


def report(rows: list[Row]) -> None:
    """Print the worst ratios and the means, and name each cell below 1 and each that was skipped."""
    found = ratios(rows)
    slower = [cell for cell in found if cell["ratio"] < 1]
    click.echo(f"{len(found)} cells, {len(slower)} of them slower than the faster peer.")
    for cell in found[: max(10, len(slower))]:
        click.echo(f"{cell['ratio']:.2f}x {cell['peer']}: {describe(cell)}")
    for axis in (*AXES, "threads"):
        values = ", ".join(f"{value}: {mean:.1f}x" for value, mean in means(found, axis).items())
        click.echo(f"geometric mean by {axis}: {values}")
    for row in rows:
        if row["ms"] is None:
            click.echo(f"skipped, because it takes too long: {describe(row)}")


@click.command()
@click.option("--subset", is_flag=True, help="About 40 cells, in some minutes.")
@click.option("--resume", is_flag=True, help="Go on where the last walk ended.")
def main(subset: bool, resume: bool) -> None:
    """Walk the grid, write it cell by cell, and print where trendlstm is worst."""
    path, cells = (SUBSET, some_cells()) if subset else (FULL, all_cells())
    header = {"machine": machine(), "versions": versions("torch", "jax")}
    rows: list[Row] = []
    if resume and path.exists():
        before, rows = read(path)
        if before != header:
            raise click.ClickException(
                f"{path.name} is of another machine or other versions: leave --resume out."
            )
    done = {Cell(**{name: row[name] for name in Cell._fields}) for row in rows}
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
    with path.open("a") as file, tempfile.TemporaryDirectory() as folder:
        for dtype in AXES["dtype"]:
            todo = [cell for cell in cells if cell.dtype == dtype and cell not in done]
            if not todo:
                continue
            with running(dtype) as workers:
                for cell in todo:
                    rows.append(measure(cell, workers, Path(folder)))
                    file.write(json.dumps(rows[-1]) + "\n")
                    file.flush()
                    for found in ratios(rows[-1:]):
                        click.echo(f"{describe(found)}: {found['ratio']:.2f}x {found['peer']}")
    report(rows)


if __name__ == "__main__":
    main()
