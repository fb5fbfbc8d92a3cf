"""All experiments on memory together: how long they may take, the table of what came of them, and its file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trendlstm.experiments.models import Model
from trendlstm.experiments.task import Task
from trendlstm.experiments.trials import most_seconds
from trendlstm.files import write_json
from trendlstm.nn.threads import thread_count
from trendlstm.output.record import header
from trendlstm.output.reproduce import score_text
from trendlstm.output.tables import Table
from trendlstm.output.wording import count


def estimate_sentence(tasks: Iterable[tuple[Task, Sequence[Model]]], threads: int | None) -> str:
    """How long all trials take at most, by the time of a first minibatch and exam of each network."""
    minutes = sum(most_seconds(task, models, threads) for task, models in tasks) / 60
    long = f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"
    return (
        f"All trials take {long} at most on {count(thread_count(threads), 'thread')} of this machine, by the time of a "
        "first minibatch and exam of each network. Trials that succeed end sooner."
    )


def describe_all(
    documents: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
    failures: Mapping[str, str],
    settings: Mapping[str, Any],
    device: str,
    seconds: float,
) -> dict[str, Any]:
    """The content of the `reproduce.json` above those of the tasks: a row a network, and why tasks are missing."""
    rows = [
        {
            "task": document["task"],
            **{
                name: network.get(name)
                for name in ("network", "trials", "solved", "mean_sequences", "mean_score", "seconds")
            },
            "published_sequences": next((one["sequences"] for one in document["published"]), None),
            "published_is_remembered": any(one["is_remembered"] for one in document["published"][:1]),
        }
        for document in documents.values()
        for network in document["networks"]
    ]
    return {
        **header(settings, device, seconds),
        "task": "all",
        "rows": rows,
        "left_out": dict(left_out),
        "failures": dict(failures),
    }


def summary_table(document: Mapping[str, Any]) -> Table:
    """A row a task and network of what `describe_all` gave."""
    rows = [
        [
            row["task"],
            row["network"],
            None if row["solved"] is None else f"{row['solved']} of {row['trials']}",
            None if row["mean_sequences"] is None else f"{row['mean_sequences']:,.0f}",
            None if row["mean_score"] is None else score_text(row["mean_score"]),
            _published(row),
            f"{row['seconds'] / 60:.1f}",
        ]
        for row in document["rows"]
    ]
    return Table(
        "Experiments on memory",
        ["Task", "Network", "Solved", "Sequences", "Score", "Published", "Minutes"],
        rows,
        [
            "Sequences: until success, mean of the trials that were solved. Score: the last one, mean of all trials; "
            "what it measures is in each task's reproduce.json.",
            "Published: sequences until success of the first network that the task's literature has; *: from memory. "
            "Minutes: of one core, for all trials of the network.",
            *document["left_out"].values(),
            *(f"{name} failed: {why}" for name, why in document["failures"].items()),
        ],
        ["Network"],
    )


def write_summary(folder: Path, document: Mapping[str, Any]) -> None:
    """Write `reproduce.json`."""
    write_json(folder / "reproduce.json", document)


def _published(row: Mapping[str, Any]) -> str | None:
    if row["published_sequences"] is None:
        return None
    return f"{row['published_sequences']:,}{' *' if row['published_is_remembered'] else ''}"
