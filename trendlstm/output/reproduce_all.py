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
            "measure": document["criterion"].get("measure"),
            **{
                name: network.get(name)
                for name in (
                    "network",
                    "trials",
                    "solved",
                    "diverged",
                    "mean_sequences",
                    "mean_score",
                    "seconds",
                )
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
            time_text(row["seconds"]),
        ]
        for row in document["rows"]
    ]
    measures = {row["task"]: row["measure"] for row in document["rows"] if row["measure"]}
    remembered = " *: from memory." if any("*" in (_published(row) or "") for row in document["rows"]) else ""
    return Table(
        "Experiments on memory",
        ["Task", "Network", "Solved", "Sequences", "Score", "Published", "Time"],
        rows,
        [
            "Sequences: until success, mean of the trials that were solved. Time: of all trials of the network "
            "together, each on one thread.",
            "Published: sequences until success of the first network that the task's literature has. It was trained "
            f"otherwise; each task's reproduce.json says how.{remembered}",
            *(["Score: the last one, mean of all trials. Every task measures its own:"] if measures else []),
            *(f"- {task}: {measure}." for task, measure in measures.items()),
            *(
                f"{row['task']}, {row['network']}: {row['diverged']} of {row['trials']} trials diverged."
                for row in document["rows"]
                if row["diverged"]
            ),
            *document["left_out"].values(),
            *(f"{name} failed: {why}" for name, why in document["failures"].items()),
        ],
        ["Network"],
    )


def write_summary(folder: Path, document: Mapping[str, Any]) -> None:
    """Write `reproduce.json`."""
    write_json(folder / "reproduce.json", document)


def time_text(seconds: float) -> str:
    """Wall time in seconds, from a minute up in minutes: "3.2 s", "1.5 min"."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _published(row: Mapping[str, Any]) -> str | None:
    if row["published_sequences"] is None:
        return None
    return f"{row['published_sequences']:,}{' *' if row['published_is_remembered'] else ''}"
