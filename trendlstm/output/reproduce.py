"""How the trials of a task fared beside the literature: tables, differences, conclusions, and the files of a run."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.experiments.learner import CURVE_STEP, exam_interval
from trendlstm.experiments.long_lags import PAPER
from trendlstm.experiments.models import Model
from trendlstm.experiments.task import Criterion, Exam, Published, Task
from trendlstm.experiments.trials import TEST_SEQUENCES, Trial, TrialsProgress, settings
from trendlstm.files import write_csv, write_json
from trendlstm.formats import significant
from trendlstm.output.console import Console
from trendlstm.output.record import header
from trendlstm.output.tables import Table
from trendlstm.output.wording import count


def task_sentences(task: Task) -> str:
    """What the task asks, and when a trial has succeeded."""
    return f"{task.title}. {task.question}\n{criterion_sentence(task)}"


def criterion_sentence(task: Task) -> str:
    """When a trial has succeeded, in words."""
    criterion = task.criterion
    if isinstance(criterion, Criterion):
        mean = f" and their mean below {criterion.mean:g}" if criterion.mean < np.inf else ""
        return (
            f"Solved: the last {criterion.run:,} training sequences all had |errors| below {criterion.tolerance:g}"
            f"{mean}."
        )
    score = f"Score, taken every {exam_interval(task):,} training sequences: {criterion.measure}."
    if criterion.limit is None:
        return f"{score} What counts is the last one."
    return f"{score}\nSolved: a score {limit_text(criterion, criterion.limit)}."


def limit_text(exam: Exam, limit: float) -> str:
    """What a score must be to pass a limit: "below 0.01", "of 99 or more", "of 1"."""
    if exam.more_is_better:
        return "of 1" if limit == 1 else f"of {_limit(limit)} or more"  # no share is more
    return f"below {_limit(limit)}"


def _limit(limit: float) -> str:
    return f"{limit:,.0f}" if limit >= 1 else f"{limit:g}"


def score_text(score: float) -> str:
    """A score with four significant digits, a whole number without places."""
    return f"{score:,.0f}" if score == round(score) else significant(score)


def progress_text(task: Task, progress: TrialsProgress) -> str:
    """The trials beside a progress bar."""
    ended = f"{count(progress.finished, 'trial')} ended"
    return f"{ended}, {progress.solved} solved" if _can_be_solved(task) else ended


def by_model(trials: Sequence[Trial]) -> dict[Model, list[Trial]]:
    """The trials of each model, in their order."""
    groups: dict[Model, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.model, []).append(trial)
    return groups


def trials_table(task: Task, trials: Sequence[Trial]) -> Table:
    """Training sequences until success, or scores where there is none, and the literature's figures under ours."""
    criterion = task.criterion
    if isinstance(criterion, Criterion):
        columns, row, legend = _judged_columns()
    elif criterion.limit is None:
        columns, row, legend = _score_columns()
    else:
        columns, row, legend = _exam_columns(criterion)
    rows = [[model.label, group[0].parameters, *row(group)] for model, group in by_model(trials).items()]
    for published in task.published:
        if published.sequences is not None:
            figures = [f"{published.sequences:,}" if name == "Mean" else None for name in columns]
            label = "from memory" if published.is_remembered else "published"
            rows.append([f"{label}: {published.network}", published.weights, *figures])
    title = "score after training" if columns[0] == "Trials" else "training sequences until success"
    return Table(
        f"{task.title}: {title}",
        ["Network", "Weights", *columns],
        rows,
        [*legend, *map(_published_line, task.published)],
    )


def _judged_columns() -> tuple[list[str], Any, list[str]]:
    def row(group: Sequence[Trial]) -> list[object]:
        return [*_sequences(group), f"{np.mean([trial.wrong for trial in group]):,.1f}"]

    legend = [
        "Mean, fewest, most: over the trials that were solved. Wrong: fresh sequences that the trained network got "
        "wrong, mean of all trials."
    ]
    return ["Solved", "Mean", "Fewest", "Most", f"Wrong of {TEST_SEQUENCES:,}"], row, legend


def _exam_columns(exam: Exam) -> tuple[list[str], Any, list[str]]:
    def row(group: Sequence[Trial]) -> list[object]:
        return [
            *_sequences(group),
            *(_milestone(group, exam, limit) for limit in exam.milestones),
            _mean(_last_scores(group)),
        ]

    sign = "≥" if exam.more_is_better else "<"
    milestones = {limit: f"{sign} {_limit(limit)} after" for limit in exam.milestones}
    legend = [
        "Mean, fewest, most: over the trials that were solved. Score: the last one, mean of all trials.",
        *(
            f"{name}: sequences until the score was first {limit_text(exam, limit)}, mean of the trials that got there "
            "(their number)."
            for limit, name in milestones.items()
        ),
    ]
    return ["Solved", "Mean", "Fewest", "Most", *milestones.values(), "Score"], row, legend


def _score_columns() -> tuple[list[str], Any, list[str]]:
    def row(group: Sequence[Trial]) -> list[object]:
        scores = _last_scores(group)
        return [len(group), _mean(scores), *(score_text(f(scores)) if scores else None for f in (min, max))]

    return (
        ["Trials", "Mean", "Lowest", "Highest"],
        row,
        ["Mean, lowest, highest: of the trials' last scores."],
    )


def _sequences(group: Sequence[Trial]) -> list[object]:
    solved = _solved(group)
    figures = [f"{f(solved):,.0f}" if solved else None for f in (np.mean, np.min, np.max)]
    return [f"{len(solved)} of {len(group)}", *figures]


def _milestone(group: Sequence[Trial], exam: Exam, limit: float) -> str | None:
    reached = _reached(group, exam, limit)
    return f"{np.mean(reached):,.0f} ({len(reached)} of {len(group)})" if reached else None


def _reached(group: Sequence[Trial], exam: Exam, limit: float) -> list[int]:
    """The training sequences after which trials passed a limit, of those that did."""
    return [reached[limit] for trial in group for reached in [trial.reached(exam)] if limit in reached]


def _last_scores(group: Sequence[Trial]) -> list[float]:
    """The last score of every trial that has one: a network may diverge before."""
    return [float(trial.exams[-1, 1]) for trial in group if len(trial.exams)]


def _mean(scores: Sequence[float]) -> str | None:
    return score_text(float(np.mean(scores))) if scores else None


def _published_line(published: Published) -> str:
    sequences = None if published.sequences is None else f"{published.sequences:,} sequences"
    trials = None if published.trials is None else f"mean of {count(published.trials, 'trial')}"
    said = "; ".join(filter(None, [", ".join(filter(None, [sequences, trials])), published.result]))
    remembered = (
        " This figure is from memory: we could not compare it with the text."
        if published.is_remembered
        else ""
    )
    return f"{published.network}: {said or 'no figure'} ({published.source}).{remembered}"


def show_findings(console: Console, document: Mapping[str, Any]) -> None:
    """What `describe` concludes, and how these trials were trained and differ from the papers'."""
    for title, key in (
        ("Conclusions", "conclusions"),
        ("Training, and differences from the papers", "differences"),
    ):
        console.print("\n".join([f"{title}:", *(f"- {line}" for line in document[key]), ""]))


def conclusions(task: Task, trials: Sequence[Trial]) -> list[str]:
    """What the numbers say: one sentence a network, how the paper compares, and whether the forget bias decided."""
    groups = by_model(trials)
    sentences = [_conclusion(task, model, group) for model, group in groups.items()]
    successful = {model: group for model, group in groups.items() if _solved(group)}
    if successful and task.published and task.published[0].sequences is not None:
        sentences.append(_published_sentence(task, task.published[0], successful))
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


def _conclusion(task: Task, model: Model, group: Sequence[Trial]) -> str:
    most, solved, scores = f"{task.training.max_sequences:,}", _solved(group), _last_scores(group)
    said = []
    if _can_be_solved(task):
        text = f"solved in {len(solved)} of {len(group)} trials"
        if solved:
            where = "" if len(solved) == len(group) else ", where solved"
            said.append(f"{text}, after {np.mean(solved):,.0f} sequences on average{where}")
        else:
            said.append(f"{text} within {most} sequences")
    elif scores:
        lowest, highest = score_text(min(scores)), score_text(max(scores))
        mean, spread = (" on average", f", {lowest} to {highest}") if lowest != highest else ("", "")
        trials = count(len(scores), "trial")
        said.append(f"a score of {_mean(scores)}{mean} after {most} sequences{spread} in {trials}")
    if diverged := _diverged(group):
        said.append(f"diverged in {len(diverged)} of {len(group)} trials, after {_range(diverged)} sequences")
    return f"{model.label}: {'; '.join(said)}."


def _published_sentence(task: Task, published: Published, successful: Mapping[Model, Sequence[Trial]]) -> str:
    """A published figure, and what keeps it from being compared with those of the networks that solved the task."""
    reasons = []
    if published.weights is not None:
        reasons.append(f"it has {published.weights} weights, ours have {_weights(successful.values())}")
    if _is_of_1997(task):
        reasons.append("it learned by plain gradient descent, ours by Adam")
    from_length = [model.label for model in successful if model.forget_bias == "chrono"]
    if from_length:
        labels = " and ".join(f'"{label}"' for label in from_length)
        reasons.append(f"the initial biases of {labels} were set from the task's length")
    name = "The paper's LSTM" if published.network == "LSTM 1997" else f'The published "{published.network}"'
    but = f", but is not the same network taught in the same way: {'; '.join(reasons)}" if reasons else ""
    return f"{name} took {published.sequences:,} sequences{but}."


def differences(task: Task, trials: Sequence[Trial], dtype: str) -> list[str]:
    """How these trials were trained, and everything in which they differ from those of the literature."""
    is_of_1997 = _is_of_1997(task)
    cells = {trial.model.cell for trial in trials}
    points = [*_training_points(task, trials, dtype, is_of_1997), *task.differences]
    if is_of_1997:
        points.append(
            "The cell's input and output are squashed by tanh; the paper: by sigmoids stretched to [-2, 2] and [-1, 1]."
        )
        if "lstm" in cells:
            points.append("LSTM: it has a forget gate, which came three years later (Gers et al. 2000).")
        if "gru" in cells:
            points.append(
                "GRU: it came seventeen years later (Cho et al. 2014), and the paper has no figure of it."
            )
    chrono = {
        trial.model.cell for trial in trials if trial.model.is_lstm and trial.model.forget_bias == "chrono"
    }
    if chrono:
        of_1997 = "; LSTM 1997: that b_i alone" if "lstm1997" in chrono else ""
        points.append(
            f"Chrono biases (Tallec & Ollivier 2018): b_f = ln U[1, T-1], b_i = -b_f, with T = {task.lag:,} from "
            f"the task's length, so that the cells begin with a memory as long as they need{of_1997}."
            + (
                " The paper too starts with input gates biased shut where the cells would drift, but from no such rule."
                if is_of_1997
                else ""
            )
        )
    if isinstance(task.criterion, Criterion):
        if task.criterion.mean < np.inf:
            points.append(f"The mean error is that of the last {task.criterion.run:,} sequences.")
        if "rnn" in cells:
            points.append(
                "RNN: the paper's nearest figure is that of experiment 2a with 100 distractors, where BPTT and RTRL "
                "solved nothing in 5,000,000 sequences."
                if any("experiment 2c" in published.source for published in task.published)
                else "RNN: it is here for comparison; the figure of the paper is the LSTM's alone."
            )
    return points


def _training_points(task: Task, trials: Sequence[Trial], dtype: str, is_of_1997: bool) -> list[str]:
    training, groups = task.training, by_model(trials).values()
    clipped = f", clipped at norm {training.clip_norm:g}" if training.clip_norm else ""
    gradient = (
        f"the exact gradient by full back-propagation through time{clipped}"
        if training.truncate is None
        else f"gradients truncated after {training.truncate:,} steps{clipped}, with a step of Adam after each of them, "
        "through which the state is carried"
    )
    halved = training.halved_every
    falling = f", which falls to half in {halved:,} sequences" if halved else ""
    judged = " and judged before the step it leads to" if isinstance(task.criterion, Criterion) else ""
    loss = "the cross-entropy of the softmax" if task.classes else "the mean squared error"
    loss += ", summed over the steps" if task.is_every_step else ""
    published = task.published[0].weights if task.published else None
    weights = "" if published is None else f", {published} weights in all"

    def papers(text: str) -> str:
        return f"; the paper: {text}." if is_of_1997 else "."

    return [
        f"Adam with learning rate {training.learning_rate:g}{falling}, on {gradient}, in {dtype}"
        + papers("plain gradient descent on a truncated gradient"),
        f"Minibatches of {training.batch_size:,} sequences, each counted once{judged}"
        + papers("a step after every sequence"),
        f"{training.hidden_size:,} hidden units, each cell with gates of its own, and one linear output layer trained "
        f"on {loss}, {_weights(groups)} weights in all"
        + papers(f"fewer cells in blocks that share their gates, sigmoid outputs{weights}"),
    ]


def _can_be_solved(task: Task) -> bool:
    """Whether a trial succeeds or not, or has a score and nothing more."""
    return isinstance(task.criterion, Criterion) or task.criterion.limit is not None


def _is_of_1997(task: Task) -> bool:
    """Whether a task is one of the paper that introduced the LSTM."""
    of_paper = any(published.source.startswith(PAPER) for published in task.published)
    return of_paper or isinstance(task.criterion, Criterion)


def write_files(folder: Path, document: dict[str, Any], task: Task, trials: Sequence[Trial]) -> None:
    """Write `reproduce.json`, `trials.csv` and `curves.csv` (errors or scores against training sequences)."""
    write_json(folder / "reproduce.json", document)
    write_csv(folder / "trials.csv", pd.DataFrame(map(partial(_trial, task), trials), dtype=object))
    name = "mean_error" if isinstance(task.criterion, Criterion) else "score"
    points = [
        {**trial.model._asdict(), "seed": trial.seed, "sequences": int(sequences), name: value}
        for trial in trials
        for sequences, value in curve_points(trial).tolist()
    ]
    write_csv(folder / "curves.csv", pd.DataFrame(points))


def curve_points(trial: Trial) -> np.ndarray:
    """(points, 2): training sequences seen, and a trial's mean |error| or score there."""
    if not trial.curve.size:
        return trial.exams
    seen = np.minimum(np.arange(1, trial.curve.size + 1) * CURVE_STEP, trial.sequences)
    return np.column_stack([seen, trial.curve])


def describe(
    task: Task, trials: Sequence[Trial], seed: int, dtype: Any, device: str, seconds: float
) -> dict[str, Any]:
    """The content of `reproduce.json`."""
    groups = by_model(trials)
    chosen = settings(task, list(groups), seed, dtype)
    name, criterion = chosen.pop("task"), chosen.pop("criterion")
    return {
        **header({**chosen, "device": device}, device, seconds),
        "task": name,
        "title": task.title,
        "criterion": {**criterion, "text": criterion_sentence(task)},
        "published": [published._asdict() for published in task.published],
        "networks": [_network(task, model, group) for model, group in groups.items()],
        "trials": [_trial(task, trial) for trial in trials],
        "conclusions": conclusions(task, trials),
        "differences": differences(task, trials, dtype),
    }


def _network(task: Task, model: Model, group: Sequence[Trial]) -> dict[str, Any]:
    solved, criterion = _solved(group), task.criterion
    document: dict[str, Any] = {
        "network": model.label,
        "parameters": group[0].parameters,
        "trials": len(group),
        "solved": len(solved),
        "diverged": len(_diverged(group)),
        "mean_sequences": np.mean(solved) if solved else None,
        "fewest_sequences": min(solved, default=None),
        "most_sequences": max(solved, default=None),
        "seconds": sum(trial.seconds for trial in group),
    }
    if isinstance(criterion, Criterion):
        return document | {"mean_wrong": np.mean([trial.wrong for trial in group])}
    if criterion.limit is None:
        document["solved"] = None
    scores = _last_scores(group)
    return document | {
        "mean_score": np.mean(scores) if scores else None,
        "lowest_score": min(scores, default=None),
        "highest_score": max(scores, default=None),
        "milestones": [
            {"limit": limit, "trials": len(reached), "mean_sequences": np.mean(reached) if reached else None}
            for limit in criterion.milestones
            for reached in [_reached(group, criterion, limit)]
        ],
    }


def _solved(trials: Sequence[Trial]) -> list[int]:
    return [trial.sequences for trial in trials if trial.outcome == "solved"]


def _diverged(trials: Sequence[Trial]) -> list[int]:
    return [trial.sequences for trial in trials if trial.outcome == "diverged"]


def _weights(groups: Iterable[Sequence[Trial]]) -> str:
    """How many weights the networks have: "929 to 1,233"."""
    return _range([group[0].parameters for group in groups])


def _range(numbers: Sequence[int]) -> str:
    """The least and the largest number, or the one that all are: "929 to 1,233", "929"."""
    return " to ".join(f"{number:,}" for number in sorted({min(numbers), max(numbers)}))


def _trial(task: Task, trial: Trial) -> dict[str, Any]:
    values = {
        **trial.model._asdict(),
        **{name: getattr(trial, name) for name in ("seed", "outcome", "sequences", "parameters", "seconds")},
    }
    if isinstance(task.criterion, Criterion):
        return values | {"wrong": trial.wrong}
    reached = trial.reached(task.criterion)
    milestones = {f"reached_{limit:g}": reached.get(limit) for limit in task.criterion.milestones}
    return values | {"score": trial.exams[-1, 1] if len(trial.exams) else None, **milestones}
