"""Repeat the experiments of the literature on memory."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from trendlstm import experiments
from trendlstm.cli.common import FORGET_BIAS, compile_kernels, make_console
from trendlstm.cli.options import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    combined,
    device_option,
    examples,
    flag,
    option,
    output_options,
    threads_option,
)
from trendlstm.config import DTYPES, INITS, Cell, Device, DType, Init, NetworkConfig
from trendlstm.errors import MissingLibraryError, OptionError, TrendLSTMError
from trendlstm.nn.device import check_limits, choose_device
from trendlstm.output.console import Console
from trendlstm.output.wording import count, device_sentence

if TYPE_CHECKING:
    from trendlstm.experiments.checkpoints import Checkpoints
    from trendlstm.experiments.models import Model
    from trendlstm.experiments.task import Task
    from trendlstm.experiments.trials import Trial

ALL = "all"
_LONG = 2000  # steps: failing takes so long that two networks are enough, unless others are asked for
_THE_TASKS = "the task's"


def _sizes(sizes: dict[str, tuple]) -> str:
    """What can be chosen of each task: "adding: 100, 500 or 1000; digits: in-order or permuted"."""
    return "; ".join(f"{task}: {' or '.join(_but_last(values))}" for task, values in sizes.items())


def _but_last(values: tuple) -> list[str]:
    """The last value, and before it the others with commas between, if there are any."""
    return [text for text in (", ".join(map(str, values[:-1])), str(values[-1])) if text]


_task_options = combined(
    option(
        "--length",
        type=COUNT,
        default=None,
        show_default="the first of the task's",
        help=f"Steps. {_sizes(experiments.LENGTHS)}.",
    ),
    option(
        "--variant",
        type=click.Choice(sorted({name for names in experiments.VARIANTS.values() for name in names})),
        default=None,
        show_default="the first of the task's",
        help=f"{_sizes(experiments.VARIANTS)}.",
    ),
    flag("--quick", help="Small sizes and few trials, which take seconds a task."),
    option(
        "--cell",
        "cells",
        type=click.Choice(experiments.CELLS),
        multiple=True,
        show_default=_THE_TASKS,
        help="Cell of the networks that are tried; may be given several times.",
    ),
    option(
        "--forget-bias",
        "forget_biases",
        type=click.Choice(list(FORGET_BIAS)),
        multiple=True,
        show_default=_THE_TASKS,
        help="Initial bias of the forget gate; may be given several times.",
    ),
    option("--init", type=click.Choice(INITS), default=NetworkConfig.init, help="Initial weights."),
)
_training_options = combined(
    option(
        "--hidden", "hidden_size", type=COUNT, default=None, show_default=_THE_TASKS, help="Hidden units, H."
    ),
    option("--batch-size", type=COUNT, default=None, show_default=_THE_TASKS, help="Sequences per step."),
    option(
        "--lr",
        "--learning-rate",
        "learning_rate",
        type=POSITIVE,
        default=None,
        show_default=_THE_TASKS,
        help="Learning rate.",
    ),
    option(
        "--halve-every",
        "halved_every",
        type=click.IntRange(0, 100_000_000),
        default=None,
        show_default=_THE_TASKS,
        help="The learning rate falls smoothly to half in so many sequences; 0: it stays.",
    ),
    option(
        "--clip-norm",
        type=NOT_NEGATIVE,
        default=None,
        show_default=_THE_TASKS,
        help="Clip a minibatch's gradient to this norm; 0: do not.",
    ),
    option("--trials", type=COUNT, default=None, show_default=_THE_TASKS, help="Networks of each kind."),
    option(
        "--max-sequences",
        type=click.IntRange(1, 100_000_000),
        default=None,
        show_default=_THE_TASKS,
        help="Training sequences after which a trial ends.",
    ),
)
_run_options = combined(
    option(
        "--dtype", type=click.Choice(DTYPES), default=NetworkConfig.dtype, help="Precision of all arithmetic."
    ),
    option("--seed", type=SEED, default=0, help="Seed of the first trial; the next uses SEED + 1."),
    threads_option,
    device_option,
    option(
        "--out",
        type=click.Path(),
        default=None,
        show_default="runs/TASK-YYYYMMDD-HHMMSS",
        help="The folder for the figure and the tables; must not exist.",
    ),
)


class _Experiment(NamedTuple):
    """A task, and the networks that are tried on it."""

    task: "Task"
    models: "list[Model]"


class _Settings(NamedTuple):
    """What all tasks of a command have in common."""

    seed: int
    dtype: DType
    threads: int | None
    device: Device
    no_plot: bool


@click.command(
    short_help="Repeat an experiment on memory of the literature.",
    epilog=examples(
        "trendlstm reproduce adding --length 10000",
        "trendlstm reproduce continual-reber",
        "trendlstm reproduce long-lag --cell lstm --cell gru --trials 5",
        "trendlstm reproduce all --quick",
    ),
)
@click.argument("task", type=click.Choice((*experiments.TASKS, ALL)))
@_task_options
@_training_options
@_run_options
@flag("--no-plot", help="Draw no picture.")
@output_options
def reproduce(
    task: str,
    length: int | None,
    variant: str | None,
    quick: bool,
    cells: tuple[Cell, ...],
    forget_biases: tuple[str, ...],
    init: Init,
    seed: int,
    dtype: DType,
    threads: int | None,
    device: str,
    out: str | None,
    no_plot: bool,
    as_json: bool,
    quiet: bool,
    **training: Any,
) -> None:
    """Repeat an experiment of the literature on memory, beside the published figures; "all" repeats them all.

    adding, multiplication: of two marked numbers of a long random sequence. temporal-order: in which order two or three
    symbols came. long-lag: a symbol comes again after many random others. reber, continual-reber: the next symbol of a
    grammar, the latter in an endless stream. copy: ten symbols after a long time. digits: an image pixel by pixel.

    Each task has its own defaults, "the task's": docs/experiments.md lists them.

    A command that was interrupted or killed goes on where it was when it is given again.
    """
    console = make_console(as_json, quiet)
    settings = _Settings(seed, dtype, threads, choose_device(device), no_plot)

    if cells and forget_biases and not set(cells) & {"lstm", "lstm1997"}:
        raise OptionError("--forget-bias is for LSTMs: leave it out, or add --cell lstm or --cell lstm1997.")

    def choose(name: str) -> _Experiment:
        return _choose(name, length, variant, quick, cells, forget_biases, init, training)

    if task == ALL:
        for what, value in (("length", length), ("variant", variant)):
            if value is not None:
                raise OptionError(f"{what} is not for all tasks at once: leave it out.")
        given = {"cells": cells or None, "forget_biases": forget_biases or None, "init": init, **training}
        document = _reproduce_all(console, choose, settings, out, {"quick": quick, **given})
    else:
        document = _reproduce_one(console, choose(task), settings, out, device)
    if as_json:
        console.json(document)
    if document.get("failures"):
        click.get_current_context().exit(1)


def _choose(
    name: str,
    length: int | None,
    variant: str | None,
    quick: bool,
    cells: tuple[Cell, ...],
    forget_biases: tuple[str, ...],
    init: Init,
    training: dict[str, Any],
) -> _Experiment:
    """The task and the networks of a command's options."""
    from dataclasses import replace

    from trendlstm.experiments import tasks
    from trendlstm.experiments.models import make_models, usual_models

    if quick and (length is not None or variant is not None):
        raise OptionError("--quick has a size of its own: leave --length and --variant out.")
    task = tasks.quick_task(name) if quick else tasks.make_task(name, length, variant)
    given = {setting: value for setting, value in training.items() if value is not None}
    task = replace(task, training=task.training._replace(**given))
    models = usual_models(name, init)
    if cells or forget_biases:
        biases = [FORGET_BIAS[bias] for bias in forget_biases or ("chrono", "1")]
        models = make_models(cells or dict.fromkeys(model.cell for model in models), biases, init)
    elif quick or task.lag > _LONG:
        models = models[:2]
    return _Experiment(task, models)


def _reproduce_one(
    console: Console, chosen: _Experiment, settings: _Settings, out: str | None, asked: str
) -> dict[str, Any]:
    from trendlstm.output.reproduce import show_findings, task_sentences, trials_table
    from trendlstm.output.runs import RunFolder

    folder = RunFolder(out, chosen.task.name)
    _check_device(chosen, settings)
    with folder, _open_checkpoints(chosen, settings) as kept:
        console.print(task_sentences(chosen.task))
        console.print(device_sentence(asked, settings.device))
        console.print()
        _warn_of_few_sequences(console, chosen.task)
        trials, seconds = _train(console, chosen, settings, kept, "Training")
        document = _write(chosen, settings, trials, seconds, folder.stage)
        path = folder.publish()
        kept.remove()
    console.show(trials_table(chosen.task, trials))
    console.print()
    show_findings(console, document)
    console.print(f"{count(len(trials), 'trial')} took {seconds:.1f} s. The results are in {path}.")
    return {"run": path, **document}


def _warn_of_few_sequences(console: Console, task: "Task") -> None:
    from trendlstm.experiments.task import Criterion

    criterion, most = task.criterion, task.training.max_sequences
    if isinstance(criterion, Criterion) and most < criterion.run:
        console.warning(
            f"No trial can be solved: {criterion.run:,} sequences in a row must be right, but --max-sequences is "
            f"{most:,}."
        )


def _reproduce_all(
    console: Console,
    choose: Callable[[str], _Experiment],
    settings: _Settings,
    out: str | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    from trendlstm.output.reproduce_all import (
        describe_all,
        estimate_sentence,
        summary_table,
        time_text,
        write_summary,
    )
    from trendlstm.output.runs import RunFolder

    folder = RunFolder(out, ALL)
    start = time.perf_counter()
    tasks: dict[str, _Experiment] = {}
    documents: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    failures: dict[str, str] = {}

    @contextmanager
    def failing_alone(name: str) -> Iterator[None]:
        """A task that fails must not lose the others, whatever the reason."""
        try:
            yield
        except MissingLibraryError as error:
            left_out[name] = f"{name} is left out: {error}"
            console.warning(left_out[name])
        except Exception as error:
            is_ours = isinstance(error, TrendLSTMError)
            failures[name] = str(error) if is_ours else f"{type(error).__name__}: {error}"
            console.warning(f"{name} failed: {failures[name]}")

    for name in experiments.TASKS:
        with failing_alone(name):
            chosen = choose(name)
            _check_device(chosen, settings)
            tasks[name] = chosen
    with folder, ExitStack() as stack:
        finished = []
        _compile(console, settings)
        if not given["quick"]:
            console.print(estimate_sentence(tasks.values(), settings.threads))
        for number, (name, chosen) in enumerate(tasks.items(), start=1):
            with failing_alone(name):
                kept = stack.enter_context(_open_checkpoints(chosen, settings))
                trained = _train(console, chosen, settings, kept, f"{name} ({number} of {len(tasks)})")
                part = folder.stage / name
                part.mkdir()
                documents[name] = _write(chosen, settings, *trained, part)
                finished.append(kept)
        for name in failures:
            shutil.rmtree(folder.stage / name, ignore_errors=True)
        seconds = time.perf_counter() - start
        common = {name: value for name, value in settings._asdict().items() if name != "no_plot"}
        document = describe_all(documents, left_out, failures, given | common, settings.device, seconds)
        write_summary(folder.stage, document)
        path = folder.publish()
        for kept in finished:
            kept.remove()
    console.show(summary_table(document))
    console.print()
    console.print(f"{count(len(documents), 'task')} took {time_text(seconds)}. The results are in {path}.")
    return {"run": path, **document, "tasks": documents}


def _check_device(chosen: _Experiment, settings: _Settings) -> None:
    """Raise an OptionError where the device cannot do what is chosen."""
    if settings.device == "cuda":
        from trendlstm.experiments.models import network_config
        from trendlstm.experiments.trials import check_gpu

        check_gpu(chosen.task)
        for model in chosen.models:
            check_limits(network_config(chosen.task, model, settings.seed, settings.dtype), chosen.task.lag)


def _open_checkpoints(chosen: _Experiment, settings: _Settings) -> "AbstractContextManager[Checkpoints]":
    from trendlstm.experiments.checkpoints import Checkpoints, open_checkpoints
    from trendlstm.experiments.trials import settings as trial_settings

    if settings.device == "cuda":
        return nullcontext(Checkpoints(None))
    return open_checkpoints(trial_settings(*chosen, settings.seed, settings.dtype))


def _compile(console: Console, settings: _Settings) -> None:
    if settings.device == "cpu":
        compile_kernels(console, f"stream-{settings.dtype}")


def _train(
    console: Console,
    chosen: _Experiment,
    settings: _Settings,
    kept: "Checkpoints",
    description: str,
) -> "tuple[list[Trial], float]":
    """Run the trials of a task; they, and the seconds that they took."""
    from trendlstm.experiments.trials import run_trials
    from trendlstm.output.reproduce import progress_text

    task, models = chosen
    _compile(console, settings)
    if begun := kept.count():
        console.notice(
            f"{task.title}: going on from the checkpoints of {begun} of {len(models) * task.training.trials} trials, "
            "which an interrupted run of this command has left."
        )
    start = time.perf_counter()
    try:
        with console.progress(description, 1) as bar:
            trials = run_trials(
                task,
                models,
                seed=settings.seed,
                dtype=settings.dtype,
                n_threads=settings.threads,
                device=settings.device,
                progress=lambda progress: bar.update(progress.share, progress_text(task, progress)),
                checkpoints=kept,
            )
    except KeyboardInterrupt as interrupt:
        if not kept.count():
            raise
        raise KeyboardInterrupt(
            "What the trials have done is kept: the same command goes on from there."
        ) from interrupt
    return trials, time.perf_counter() - start


def _write(
    chosen: _Experiment, settings: _Settings, trials: "list[Trial]", seconds: float, folder: Path
) -> dict[str, Any]:
    """Write the files of a task's trials to its folder; returns what `reproduce.json` has."""
    from trendlstm.output.reproduce import describe, write_files

    document = describe(chosen.task, trials, settings.seed, settings.dtype, settings.device, seconds)
    write_files(folder, document, chosen.task, trials)
    if not settings.no_plot:
        from trendlstm.output.plots.reproduce import plot_trials

        plot_trials(trials, chosen.task, folder / "errors.png")
    return document
