"""Copy the figures of bench/results.json and of the grid into the README, between its two `<!-- speed -->` marks."""

import json
from typing import Any

from bench_grid import AXES, FULL, SUBSET, SUBSET_SIZES, describe, means, ratios, read
from measuring import MANY_FITS, ROOT

MARK = "<!-- speed -->"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def best(rows: list[dict[str, Any]], name: str, key: str, **where: Any) -> float:
    """The smallest of `key` among a peer's rows (its faster number of threads)."""
    return min(row[key] for row in rows if row["name"] == name and all(row[k] == v for k, v in where.items()))


def names(rows: list[dict[str, Any]]) -> list[str]:
    """Everyone measured, in the order of measurement."""
    return list(dict.fromkeys(row["name"] for row in rows))


def one_fit(rows: list[dict[str, Any]]) -> str:
    """Milliseconds per epoch."""
    steps = sorted({row["T"] for row in rows})
    body = []
    for threads, label in ((1, "one thread"), (None, "all threads, or one if faster")):
        where = {} if threads is None else {"threads": threads}
        for name in names(rows):
            cells = []
            for count in steps:
                own, ms = (best(rows, who, "ms", T=count, **where) for who in ("trendlstm", name))
                cells.append(f"{ms:.2f}" if name == "trendlstm" else f"{ms:.1f} ({ms / own:.1f}x)")
            body.append([f"{name}, {label}", *cells])
    return table(["ms per epoch (25 Adam steps)", *(f"T = {count}" for count in steps)], body)


def large_fits(rows: list[dict[str, Any]]) -> str:
    """Milliseconds per epoch of larger networks."""
    sizes = list(dict.fromkeys((row["H"], row["batch"]) for row in rows))
    body = []
    for name in names(rows):
        cells = []
        for hidden, batch in sizes:
            own, ms = (best(rows, who, "ms", H=hidden, batch=batch) for who in ("trendlstm", name))
            cells.append(f"{ms:.0f}" if name == "trendlstm" else f"{ms:.0f} ({ms / own:.1f}x)")
        body.append([name, *cells])
    columns = [f"H {hidden}, minibatch {batch}" for hidden, batch in sizes]
    return table(["ms per epoch of 1,024 windows, T = 20", *columns], body)


def cells(rows: list[dict[str, Any]]) -> str:
    """Milliseconds per epoch of other cells and of two layers, with the share of one core's peak."""
    steps = sorted({row["T"] for row in rows})
    body = []
    for cell, layers in dict.fromkeys((row["cell"], row["layers"]) for row in rows):
        for name in names(rows):
            parts = []
            for count in steps:
                where = {"cell": cell, "layers": layers, "T": count}
                own, ms = (best(rows, who, "ms", **where) for who in ("trendlstm", name))
                if name == "trendlstm":
                    share = best(rows, name, "percent_of_peak", threads=1, **where)
                    parts.append(f"{ms:.2f} ({share:.0f} %)")
                else:
                    parts.append(f"{ms:.1f} ({ms / own:.1f}x)")
            body.append([f"{cell.upper()}, {layers} layer{'s' * (layers > 1)}: {name}", *parts])
    return table(
        [
            "ms per epoch (trendlstm: share of one core's peak on one thread)",
            *(f"T = {count}" for count in steps),
        ],
        body,
    )


def long_sequences(rows: list[dict[str, Any]]) -> str:
    """Steps a second of training on long sequences, and the memory of the longest."""
    sizes = list(dict.fromkeys((row["T"], row["H"]) for row in rows))
    body = []
    for name in names(rows):
        cells = []
        for steps, hidden in sizes:
            own, rate = (
                max(row["steps_per_second"] for row in rows if (row["name"], row["T"], row["H"]) == key)
                for key in (("trendlstm", steps, hidden), (name, steps, hidden))
            )
            cells.append(f"{rate:,.0f}" + ("" if name == "trendlstm" else f" ({own / rate:.1f}x)"))
        body.append([name, *cells])
    longest = max(steps for steps, _ in sizes)
    hidden = [size for steps, size in sizes if steps == longest]
    peaks = {  # of the process that was the fastest
        name: [
            max(
                (row["steps_per_second"], row["peak_mib"])
                for row in rows
                if (row["name"], row["T"], row["H"]) == (name, longest, size)
            )[1]
            for size in hidden
        ]
        for name in names(rows)
    }
    memory = "; ".join(
        f"{name} {', '.join(f'{peak:,.0f}' for peak in values)}" for name, values in peaks.items()
    )
    columns = [f"T = {steps:,}, H = {hidden}" for steps, hidden in sizes]
    text = f"Peak MiB of the whole process at T = {longest:,}, H = {', '.join(map(str, hidden))}: {memory}."
    return f"{table(['Training on long sequences: steps of a sequence a second', *columns], body)}\n\n{text}"


def many_fits(rows: list[dict[str, Any]]) -> str:
    """Fits a second."""
    steps = sorted({row["T"] for row in rows})
    body = []
    for name in names(rows):
        values = {row["T"]: row["fits_per_second"] for row in rows if row["name"] == name}
        own = {row["T"]: row["fits_per_second"] for row in rows if row["name"] == "trendlstm"}
        cells = [
            f"{values[t]:.0f}" + ("" if name == "trendlstm" else f" ({own[t] / values[t]:.1f}x)")
            for t in steps
        ]
        label = {"PyTorch": "PyTorch, a process a core", "JAX": "JAX, vmap"}.get(name, name)
        body.append([label, *cells])
    return table(["64 fits at once: fits of one epoch a second", *(f"T = {count}" for count in steps)], body)


def backtest(rows: list[dict[str, Any]]) -> str:
    """Seconds and fits a second of a year of daily refits; the peers' are extrapolated, and say so."""
    own, *peers = rows
    body = [["trendlstm, all folds", f"{own['seconds']:.0f}", f"{own['fits_per_second']:.1f}"]]
    for row in peers:
        label = f"{row['name']}: extrapolated from {row['folds_measured']} folds"
        slower = row["seconds"] / own["seconds"]
        body.append([label, f"{row['seconds']:.0f} ({slower:.1f}x)", f"{row['fits_per_second']:.2f}"])
    columns = [f"A backtest: {own['folds']} daily refits x {own['fits'] // own['folds']} seeds"]
    text = (
        f"Those are {own['fits']:,} fits, stopped early after {own['epochs_per_fit']:.1f} epochs on average; the peers "
        f"train each network for as many. All that trendlstm does besides fitting (samples, ridge, forecasts, the file "
        f"of folds, idle cores) adds {100 * own['overhead']:.1f} % to the fits' own time."
    )
    return f"{table([*columns, 'seconds', 'fits a second'], body)}\n\n{text}"


def busy(rows: list[dict[str, Any]]) -> str:
    """Milliseconds per epoch beside a process that keeps one core busy."""
    steps, threads = (sorted({row[key] for row in rows}) for key in ("T", "threads"))
    ms = {(row["T"], row["threads"]): row["ms"] for row in rows}
    body = [
        [f"{count} threads" if count > 1 else "1 thread", *(f"{ms[t, count]:.2f}" for t in steps)]
        for count in threads
    ]
    columns = [f"T = {count}" for count in steps]
    return table(["ms per epoch while another process keeps one core busy", *columns], body)


def inference(rows: list[dict[str, Any]]) -> str:
    """Latency and throughput."""
    body = []
    for name in names(rows):
        p50, p99 = min((row["p50_us"], row["p99_us"]) for row in rows if row["name"] == name)
        body.append([name, f"{p50:.1f}", f"{p99:.1f}", f"{best(rows, name, 'ms_10000'):.1f}"])
    return table(
        ["Prediction, T = 20", "one window, median µs", "99th percentile µs", "10,000 windows, ms"], body
    )


def share_of_peak(results: dict[str, Any]) -> str:
    """Multiply-adds a second, as a share of what the same cores reach with nothing else to do."""
    own = [row for row in results["one_fit"] if row["name"] == "trendlstm"]
    many = [row for row in results["many_fits"] if row["name"] == "trendlstm"]
    cores = results["machine"]["cores"]
    chosen = {
        "one fit, one thread": [row for row in own if row["threads"] == 1],
        "one fit, all threads": [row for row in own if row["threads"] == cores],
        f"{MANY_FITS} fits, all threads": many,
    }
    body = [[label, *(f"{row['percent_of_peak']:.0f} %" for row in rows)] for label, rows in chosen.items()]
    columns = [f"T = {row['T']}" for row in many]
    peaks = f"{results['peak_gflops']:.0f} GFLOP/s on one core"
    if cores > 1:
        peaks += f" and {results['peak_gflops_all_cores']:.0f} on all {cores}"
    heading = "Share of the peak that a loop of multiply-adds alone reaches"
    return f"{table([heading, *columns], body)}\n\nThat peak is {peaks}."


def breakdown(rows: list[dict[str, Any]]) -> str:
    """Where an epoch's time goes."""
    labels = {
        "products": "matrix products",
        "activations": "sigmoid and tanh",
        "other": "the rest of a pass: cell states, derivatives, loss",
        "loading": "loading samples",
        "gradient_sums": "gradient sums",
        "adam": "Adam",
        "transposes": "transposing the weights",
        "unexplained": "unexplained",
    }
    body = [
        [label, *(f"{100 * row['parts'][part] / row['ms']:.0f} %" for row in rows)]
        for part, label in labels.items()
    ]
    body.append(
        ["*all threads:* waiting for one another", *(f"{row['waiting_percent']:.0f} %" for row in rows)]
    )
    shares = ", ".join(f"{row['products_percent_of_peak']:.0f} % at T = {row['T']}" for row in rows)
    columns = [f"T = {row['T']}" for row in rows]
    text = (
        f"Each part is timed alone (`scripts/breakdown.py`). The products alone reach {shares} of one core's peak; "
        f"padded widths, with zeros, are not counted. Waiting counts only from some microseconds of spinning on."
    )
    return f"{table(['Where the time of an epoch goes, one thread', *columns], body)}\n\n{text}"


def grid() -> str:
    """How trendlstm compares with the faster of PyTorch and JAX over many sizes, and where it is worst."""
    whole = FULL.exists()
    header, rows = read(FULL if whole else SUBSET)
    found = ratios(rows)
    slower = [cell for cell in found if cell["ratio"] < 1]
    skipped = [row for row in rows if row["ms"] is None]
    machine, used = (
        header["machine"],
        ", ".join(f"{name} {number}" for name, number in header["versions"].items()),
    )
    where = "of the whole grid" if whole else f"of {len(SUBSET_SIZES)} of these sizes"
    sizes = "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in AXES.items())
    text = (
        f"Over many sizes ({sizes}; one thread and all), against the faster of PyTorch and JAX: {len(found):,} cells "
        f"{where}, trendlstm slower in {len(slower):,}. Measured by `scripts/bench_grid.py` on "
        f"{machine['cores']} cores ({machine['processor']}), {used}."
    )
    if skipped:
        names = "; ".join(map(describe, skipped))
        text += f" {len(skipped)} sizes whose minibatch takes seconds were skipped: {names}."
    # all that are slower, as long as a reader may want to see them
    shown = found[: max(10, min(len(slower), 20))]
    worst = table(
        [f"The {len(shown)} worst cells", "times as fast as", "the faster peer"],
        [
            [describe(cell), f"{cell['ratio']:.{3 if 0.99 < cell['ratio'] < 1.01 else 2}f}", cell["peer"]]
            for cell in shown
        ],
    )
    if not whole:  # sizes differ in all at once
        return f"{text}\n\n{worst}"
    averages = table(
        ["Times as fast, geometric mean by", ""],
        [
            [axis, ", ".join(f"{value}: {mean:.1f}" for value, mean in means(found, axis).items())]
            for axis in (*AXES, "threads")
        ],
    )
    return f"{text}\n\n{worst}\n\n{averages}"


def main() -> None:
    """Rewrite the README's tables."""
    results = json.loads((ROOT / "bench" / "results.json").read_text())
    fit = results["one_fit"]
    own = [row for row in fit if row["name"] == "trendlstm"]
    process = table(
        ["The main job as a whole process", "seconds"],
        [[row["name"], f"{row['seconds']:.1f}"] for row in results["process"]],
    )
    machine, versions = results["machine"], results["versions"]
    used = ", ".join(f"{name} {number}" for name, number in versions.items())
    memory = max(row["peak_mib"] for row in own if row["T"] == 60)
    text = "\n\n".join(
        [
            f"Measured by `make bench` on {machine['cores']} cores ({machine['processor']}), Python "
            f"{machine['python']}, {used}. In brackets: how many times slower than trendlstm in the same run.",
            one_fit(fit),
            share_of_peak(results),
            breakdown(results["breakdown"]),
            f"At T = 60 the whole process peaks at {memory:.0f} MiB.",
            grid(),
            large_fits(results["large_fits"]),
            cells(results["cells"]),
            *([long_sequences(results["long_sequences"])] if "long_sequences" in results else []),
            many_fits(results["many_fits"]),
            busy(results["busy"]),
            backtest(results["backtest"]),
            inference(results["inference"]),
            process,
            "The first run compiles the kernels. `docs/growth.png` shows how the time grows with each size.",
        ]
    )
    readme = ROOT / "README.md"
    before, _, after = readme.read_text().split(MARK)
    readme.write_text(f"{before}{MARK}\n\n{text}\n\n{MARK}{after}")


if __name__ == "__main__":
    main()
