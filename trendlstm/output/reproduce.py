"""How the trials fared beside the paper: the table, the differences, the conclusions, and the files of a run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.experiments.long_lags import PAPER
from trendlstm.experiments.task import Criterion, Task
from trendlstm.experiments.trials import (
    CURVE_STEP,
    HIDDEN_SIZE,
    TEST_SEQUENCES,
    TRAINING,
    Model,
    Trial,
    TrialsProgress,
)
from trendlstm.files import write_csv, write_json
from trendlstm.output.console import Console
from trendlstm.output.record import header


def task_sentences(task: Task) -> str:
    """What the task asks, and when a trial has succeeded."""
    return f"{task.title}. {task.question}\n{_criterion_sentence(task.criterion)}"


def progress_text(progress: TrialsProgress) -> str:
    """The trials beside a progress bar."""
    return f"{progress.finished} trials ended, {progress.solved} solved"


def by_model(trials: Sequence[Trial]) -> dict[Model, list[Trial]]:
    """The trials of each model, in their order."""
    groups: dict[Model, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.model, []).append(trial)
    return groups


def show_trials(console: Console, task: Task, trials: Sequence[Trial]) -> None:
    """The table of training sequences until success, and the paper's figures under ours."""
    rows: list[list[object]] = []
    for model, group in by_model(trials).items():
        solved = _solved(group)
        figures = [f"{f(solved):,.0f}" if solved else None for f in (np.mean, np.min, np.max)]
        wrong = f"{np.mean([trial.wrong for trial in group]):,.1f}"
        rows.append([model.label, group[0].parameters, f"{len(solved)} of {len(group)}", *figures, wrong])
    paper = task.paper
    rows.append(["paper: LSTM 1997", paper.weights, None, f"{paper.sequences:,}", None, None, paper.wrong])
    columns = ["Network", "Weights", "Solved", "Mean", "Fewest", "Most", f"Wrong of {TEST_SEQUENCES:,}"]
    console.table(f"{task.title}: training sequences until success", columns, rows)
    count = "" if paper.trials is None else f", mean of {paper.trials} trials"
    console.print(
        "Mean, fewest, most: over the trials that were solved. Wrong: fresh sequences that the trained network got "
        f"wrong, mean of all trials.\nPaper: {PAPER}, experiment {paper.experiment}{count}."
    )


def show_findings(console: Console, document: Mapping[str, Any]) -> None:
    """What `describe` concludes, and how these trials differ from the paper's."""
    for title, key in (("Conclusions", "conclusions"), ("Differences from the paper", "differences")):
        console.print("\n".join([f"{title}:", *(f"- {line}" for line in document[key]), ""]))


def conclusions(trials: Sequence[Trial], task: Task, max_sequences: int) -> list[str]:
    """What the numbers say: one sentence a network, how the paper compares, and whether the forget bias decided."""
    groups = by_model(trials)
    sentences = []
    for model, group in groups.items():
        solved = _solved(group)
        text = f"{model.label}: solved in {len(solved)} of {len(group)} trials"
        if solved:
            where = "" if len(solved) == len(group) else ", where solved"
            text += f", after {np.mean(solved):,.0f} sequences on average{where}."
        else:
            text += f" within {max_sequences:,} sequences."
        sentences.append(text)
    successful = {model: group for model, group in groups.items() if _solved(group)}
    if successful:
        sentences.append(_paper_sentence(task, successful))
    rate = {
        model.forget_bias: len(_solved(group)) / len(group)
        for model, group in groups.items()
        if model.cell == "lstm"
    }
    others = [share for bias, share in rate.items() if bias != "chrono"]
    if others and rate.get("chrono", 0) > max(others):
        sentences.append(
            "The same LSTM succeeds or fails by the biases it starts with: what solves the task is a cell that stays "
            "open for as long as it must remember."
        )
    return sentences


def _paper_sentence(task: Task, successful: Mapping[Model, Sequence[Trial]]) -> str:
    """The paper's figure, and what keeps it from being compared with those of the networks that solved the task."""
    paper = task.paper
    reasons = ["it learned by plain gradient descent, these by Adam"]
    if paper.weights is not None:
        reasons.insert(0, f"it has {paper.weights} weights, these {_weights(successful.values())}")
    from_length = [model.label for model in successful if model.forget_bias == "chrono"]
    if from_length:
        labels = " and ".join(f'"{label}"' for label in from_length)
        reasons.append(f"the initial biases of {labels} were set from the task's length")
    return (
        f"The paper's LSTM took {paper.sequences:,} sequences, but is not the same network taught in the same way: "
        f"{'; '.join(reasons)}."
    )


def differences(task: Task, trials: Sequence[Trial]) -> list[str]:
    """Everything in which these trials differ from the paper's."""
    cells = {trial.model.cell for trial in trials}
    rate, clip, batch = TRAINING.learning_rate, TRAINING.clip_norm, TRAINING.batch_size
    paper_weights = "" if task.paper.weights is None else f", {task.paper.weights} weights in all"
    points = [
        f"Adam with learning rate {rate:g}, on the exact gradient by full back-propagation through time, clipped at "
        f"norm {clip:g}; the paper: plain gradient descent on a truncated gradient.",
        f"Minibatches of {batch} sequences, each counted once and judged before the step it leads to; the paper: a "
        "step after every sequence.",
        f"{HIDDEN_SIZE} hidden units, each cell with gates of its own, and one linear output layer trained on the mean "
        f"squared error, {_weights(by_model(trials).values())} weights in all; the paper: fewer cells in blocks that "
        f"share their gates, sigmoid outputs{paper_weights}.",
        "The cell's input and output are squashed by tanh; the paper: by sigmoids stretched to [-2, 2] and [-1, 1].",
    ]
    if "lstm" in cells:
        points.append("LSTM: it has a forget gate, which came three years later (Gers et al. 2000).")
    if "gru" in cells:
        points.append(
            "GRU: it came seventeen years later (Cho et al. 2014), and the paper has no figure of it."
        )
    if any(trial.model.forget_bias == "chrono" and trial.model.is_lstm for trial in trials):
        points.append(
            f"Chrono biases (Tallec & Ollivier 2018): b_f = ln U[1, T-1], b_i = -b_f, with T = {task.lag:,} from "
            "the task's length, so that the cells begin with a memory as long as they need; LSTM 1997: that b_i alone. "
            "The paper too starts with input gates biased shut where the cells would drift, but from no such rule."
        )
    if task.criterion.mean < np.inf:
        points.append(f"The mean error is that of the last {task.criterion.run:,} sequences.")
    if "rnn" in cells:
        points.append(
            "RNN: the paper's nearest figure is that of experiment 2a with 100 distractors, where BPTT and RTRL solved "
            "nothing in 5,000,000 sequences."
            if task.paper.experiment == "2c"
            else "RNN: it is here for comparison; the figure of the paper is the LSTM's alone."
        )
    return points


def write_files(folder: Path, document: dict[str, Any], trials: Sequence[Trial]) -> None:
    """Write `reproduce.json`, `trials.csv` and `curves.csv` (mean |error| against training sequences)."""
    write_json(folder / "reproduce.json", document)
    write_csv(folder / "trials.csv", pd.DataFrame([_trial(trial) for trial in trials]))
    points = [
        {
            **trial.model._asdict(),
            "seed": trial.seed,
            "sequences": min((k + 1) * CURVE_STEP, trial.sequences),
            "mean_error": error,
        }
        for trial in trials
        for k, error in enumerate(trial.curve.tolist())
    ]
    write_csv(folder / "curves.csv", pd.DataFrame(points))


def describe(
    task: Task, trials: Sequence[Trial], max_sequences: int, seed: int, device: str, seconds: float
) -> dict[str, Any]:
    """The content of `reproduce.json`."""
    settings = {
        "hidden_size": HIDDEN_SIZE,
        "batch_size": TRAINING.batch_size,
        "learning_rate": TRAINING.learning_rate,
        "clip_norm": TRAINING.clip_norm,
        "lag": task.lag,
        "seed": seed,
        "max_sequences": max_sequences,
        "device": device,
    }
    return {
        **header(settings, device, seconds),
        "task": task.name,
        "criterion": task.criterion._asdict(),
        "paper": {"citation": PAPER, **task.paper._asdict()},
        "networks": [
            {
                "network": model.label,
                "trials": len(group),
                "solved": len(solved),
                "mean_sequences": np.mean(solved) if solved else None,
                "fewest_sequences": min(solved, default=None),
                "most_sequences": max(solved, default=None),
                "mean_wrong": np.mean([trial.wrong for trial in group]),
            }
            for model, group in by_model(trials).items()
            for solved in [_solved(group)]
        ],
        "trials": [_trial(trial) for trial in trials],
        "conclusions": conclusions(trials, task, max_sequences),
        "differences": differences(task, trials),
    }


def _solved(trials: Sequence[Trial]) -> list[int]:
    return [trial.sequences for trial in trials if trial.outcome == "solved"]


def _weights(groups: Iterable[Sequence[Trial]]) -> str:
    """How many weights the networks have: "929 or 1,233"."""
    return " or ".join(f"{count:,}" for count in sorted({group[0].parameters for group in groups}))


def _criterion_sentence(criterion: Criterion) -> str:
    mean = f" and their mean below {criterion.mean:g}." if criterion.mean < np.inf else "."
    return f"Solved: the last {criterion.run:,} training sequences all had |errors| below {criterion.tolerance:g}{mean}"


def _trial(trial: Trial) -> dict[str, Any]:
    names = ("seed", "outcome", "sequences", "wrong", "parameters", "seconds")
    return {**trial.model._asdict(), **{name: getattr(trial, name) for name in names}}
