"""Repeat the long-lag experiments."""

import time

import click

from trendlstm import experiments
from trendlstm.cli.common import FORGET_BIAS, compile_kernels, make_console
from trendlstm.cli.options import (
    COUNT,
    SEED,
    combined,
    device_option,
    examples,
    flag,
    listed,
    option,
    output_options,
    threads_option,
)
from trendlstm.config import INITS, Cell, Init, NetworkConfig
from trendlstm.nn.device import check_limits, choose_device
from trendlstm.output.wording import device_sentence

_reproduce_options = combined(
    option(
        "--length",
        type=COUNT,
        default=None,
        show_default="100",
        help=f"Of adding: {listed(experiments.ADDING_LENGTHS)}; of long-lag: {listed(experiments.LONG_LAGS)}.",
    ),
    option(
        "--variant",
        type=click.Choice(experiments.TEMPORAL_ORDERS),
        default=None,
        show_default="6a",
        help="Of temporal-order: two or three symbols to remember.",
    ),
    option(
        "--cell",
        "cells",
        type=click.Choice(experiments.CELLS),
        multiple=True,
        default=experiments.USUAL_CELLS,
        help="May be given several times.",
    ),
    option(
        "--forget-bias",
        "forget_biases",
        type=click.Choice(list(FORGET_BIAS)),
        multiple=True,
        default=("chrono", "1"),
        help="Initial bias of the forget gate; may be given several times.",
    ),
    option("--init", type=click.Choice(INITS), default=NetworkConfig.init, help="Initial weights."),
    option("--trials", type=COUNT, default=experiments.TRIALS, help="Networks of each kind."),
    option(
        "--max-sequences",
        type=click.IntRange(1, 100_000_000),
        default=experiments.MAX_SEQUENCES,
        help="Training sequences after which a trial ends unsolved.",
    ),
    option("--seed", type=SEED, default=0, help="Of the first trial; the next has SEED + 1."),
    threads_option,
    device_option,
    option(
        "--out",
        type=click.Path(),
        default=None,
        show_default="runs/TASK-LENGTH-YYYYMMDD-HHMMSS",
        help="The folder for the figure and the tables; must not exist.",
    ),
)


@click.command(
    short_help="Repeat a long-lag experiment of the first LSTM paper.",
    epilog=examples(
        "trendlstm reproduce adding --length 100",
        "trendlstm reproduce temporal-order --variant 6b",
        "trendlstm reproduce long-lag --cell lstm --cell gru --trials 5",
    ),
)
@click.argument("task", type=click.Choice(experiments.TASKS))
@_reproduce_options
@flag("--no-plot", help="Draw no picture.")
@output_options
def reproduce(
    task: str,
    length: int | None,
    variant: str | None,
    cells: tuple[Cell, ...],
    forget_biases: tuple[str, ...],
    init: Init,
    trials: int,
    max_sequences: int,
    seed: int,
    threads: int | None,
    device: str,
    out: str | None,
    no_plot: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Repeat a long-lag experiment of the paper that introduced the LSTM, beside the paper's own figures.

    adding: add two marked numbers of a long random sequence. temporal-order: in which order two or three symbols
    came. long-lag: a symbol comes again after many random others.
    """
    console = make_console(as_json, quiet)
    from trendlstm.experiments.tasks import make_task
    from trendlstm.experiments.trials import HIDDEN_SIZE, make_models, run_trials
    from trendlstm.output.reproduce import (
        describe,
        progress_text,
        show_findings,
        show_trials,
        task_sentences,
        write_files,
    )
    from trendlstm.output.runs import RunFolder

    chosen = make_task(task, length, variant)
    models = make_models(cells, [FORGET_BIAS[bias] for bias in forget_biases], init)
    folder = RunFolder(out, chosen.name)
    used = choose_device(device)
    if used == "cuda":
        for cell in cells:
            network = NetworkConfig(input_size=chosen.input_size, hidden_size=HIDDEN_SIZE, cell=cell)
            check_limits(network, chosen.lag)
    console.print(task_sentences(chosen))
    console.print(device_sentence(device, used))
    console.print()
    with folder:
        if used == "cpu":
            compile_kernels(console, "stream")
        start = time.perf_counter()
        with console.progress("Training", 1) as bar:
            results = run_trials(
                chosen,
                models,
                trials=trials,
                max_sequences=max_sequences,
                seed=seed,
                n_threads=threads,
                device=used,
                progress=lambda progress: bar.update(progress.share, progress_text(progress)),
            )
        document = describe(chosen, results, max_sequences, seed, used, time.perf_counter() - start)
        write_files(folder.stage, document, results)
        if not no_plot:
            from trendlstm.output.plots.reproduce import plot_trials

            plot_trials(results, chosen, folder.stage / "errors.png")
        path = folder.publish()
    show_trials(console, chosen, results)
    console.print()
    show_findings(console, document)
    console.print(f"All {len(results)} trials took {document['seconds']:.1f} s. The results are in {path}.")
    if as_json:
        console.json({"run": path, **document})
