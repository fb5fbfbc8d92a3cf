"""One library's process of scripts/bench_grid.py: `python scripts/grid_worker.py NAME`.

Answers each line "JOB CASE" on standard input with one JSON object: the milliseconds of an epoch of fitting, or of one
call that predicts all of the case's windows, and the numbers by which bench_grid.py sees that all compute the same.
"""

import json
import math
import sys
from collections.abc import Callable
from statistics import median

from peers import FIT, PREDICT, Case, load_case, timed

LEAST_SECONDS, MOST_COUNT = 0.05, 1000  # of a timed call
ENOUGH_SECONDS, LEAST_REPEATS, MOST_REPEATS = 1.0, 3, 5  # of all timed calls


def milliseconds(run: Callable[[int], object]) -> float:
    """The time of one repetition of run(count), as the median of several calls long enough to be timed."""
    run(1)  # compiles
    (once,) = timed(lambda: run(1), 1)
    count = min(MOST_COUNT, math.ceil(LEAST_SECONDS / once))
    repeats = min(MOST_REPEATS, max(LEAST_REPEATS, int(ENOUGH_SECONDS / (count * once))))
    return 1e3 * median(timed(lambda: run(count), repeats)) / count


def fit(name: str, case: Case) -> tuple[float, list[float]]:
    """Milliseconds per epoch, and the losses of three Adam steps."""
    train, losses = FIT[name](case)
    return milliseconds(train), losses


def predict(name: str, case: Case) -> tuple[float, list[float]]:
    """Milliseconds of predicting all windows in one call, and the first predictions."""
    call, x = PREDICT[name](case), case["x"]

    def run(count: int) -> None:
        for _ in range(count):
            call(x)

    return milliseconds(run), call(x)[:8, 0].tolist()


JOBS = {"fit": fit, "predict": predict}


def main(name: str) -> None:
    for line in sys.stdin:
        job, path = line.split(maxsplit=1)
        ms, values = JOBS[job](name, load_case(path.strip()))
        print(json.dumps({"ms": ms, "values": values}), flush=True)
        if name == "JAX":
            import jax

            jax.clear_caches()  # a grid of compiled programs would fill the memory


if __name__ == "__main__":
    main(sys.argv[1])
