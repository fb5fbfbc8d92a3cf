"""The runs in a folder: what each is and what became of it, how training runs differ, and their removal."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from trendlstm.config import TrainConfig
from trendlstm.errors import RunError
from trendlstm.evaluation.evidence import chance_of_a_false_claim
from trendlstm.files import hidden_beside
from trendlstm.formats import figure, p_value
from trendlstm.output.console import Console
from trendlstm.output.fold_file import NAME as FOLD_FILE
from trendlstm.output.wording import count, decimals

_DOCUMENTS = ("run.json", "compare.json", "reproduce.json", FOLD_FILE)
# What the commands write into a run's folder.
_WRITTEN = (
    *_DOCUMENTS,
    *(f"{FOLD_FILE}{end}" for end in ("-journal", "-wal", "-shm")),
    *(f"{stem}.safetensors" for stem in ("model", "model-*", "final", "final-*")),
    *("config.json", "README.md", "metrics.json", "report.html"),
    *(
        f"{stem}.csv"
        for stem in ("history", "inputs", "predictions", "forecast", "compare", "members", "equity")
    ),
    *(f"{stem}.csv" for stem in ("trials", "curves")),
    *("losses.png", "predictions.png", "backtest.png", "errors.png", "gradients.png", "curves.png"),
)
_MOST_TICKERS = 3  # of a backtest that a line names
# settings that change no result, or are told elsewhere
_UNTOLD = (
    "threads",
    "device",
    "data.ticker",
    "data.source",
    "network.lag",
    "network.input_size",
    "network.output_size",
)


@dataclass(frozen=True)
class Entry:
    """One folder that a command of this package wrote.

    Attributes
    ----------
    path : Path
    kind : {"training", "backtest", "comparison", "experiment"}
    of : str
        Its tickers, or its task.
    created : str or None
        ISO time (UTC) of its end.
    status : str
        "finished", or what else became of it: "interrupted", "diverged", "unfinished", "damaged".
    evidence : bool or None
        Whether it found evidence of skill, of any model; None where that was not asked.
    document : dict
        The content of its JSON file; empty if that cannot be read.
    size : int
        Bytes of all its files.
    """

    path: Path
    kind: str
    of: str
    created: str | None
    status: str
    evidence: bool | None
    document: dict[str, Any]
    size: int

    @property
    def test(self) -> dict[str, Any] | None:
        """The model's figures on the test rows, one session ahead; None but for a training run that has them."""
        if self.kind != "training" or not self.document or not self.document["metrics"]:
            return None
        return self.document["metrics"]["test"]["model"][0]

    def to_dict(self) -> dict[str, Any]:
        """All but the document, with the test figures, for JSON."""
        values = asdict(self)
        verdict = values.pop("document").get("verdict")
        return {"run": values.pop("path"), **values, "test": self.test, "verdict": verdict or None}


def read_entry(path: str | Path) -> Entry:
    """What a folder holds.

    Raises
    ------
    RunError
        No command of this package wrote it.
    """
    folder = Path(path)
    name = next((name for name in _DOCUMENTS if (folder / name).is_file()), None)
    if name is None:
        raise RunError(f"{folder} is not a run's folder: it has none of {', '.join(_DOCUMENTS)}.")
    kind = {"compare.json": "comparison", "reproduce.json": "experiment"}.get(name, "training")
    if (folder / FOLD_FILE).is_file():
        kind = "backtest"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if name == FOLD_FILE:
        return Entry(folder, kind, "", None, "unfinished", None, {}, size)
    try:
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        if kind == "backtest":
            document |= json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return Entry(folder, kind, *_KINDS[kind](document), document, size)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Entry(folder, kind, "", None, "damaged", None, {}, size)


def _training(document: dict[str, Any]) -> tuple[str, str, str, bool | None]:
    if document["metrics"]:
        (
            document["metrics"]["test"]["model"][0]["rmse"],
            document["provenance"]["sha256"],
        )  # what else is shown
    return (
        document["settings"]["data"]["ticker"],
        document["created"],
        document["status"],
        document["evidence"],
    )


def _backtest(document: dict[str, Any]) -> tuple[str, str, str, bool | None]:
    tickers = list(document["provenance"])
    more = f" and {len(tickers) - _MOST_TICKERS} more" if len(tickers) > _MOST_TICKERS else ""
    named = ", ".join(tickers[:_MOST_TICKERS]) + more
    return named, document["created"], "finished", any(document["evidence"].values())


def _comparison(document: dict[str, Any]) -> tuple[str, str, str, bool | None]:
    return document["settings"]["data"]["ticker"], document["created"], "finished", None


def _experiment(document: dict[str, Any]) -> tuple[str, str, str, bool | None]:
    return document["task"], document["created"], "finished", None


_KINDS: dict[str, Callable[[dict[str, Any]], tuple[str, str, str, bool | None]]] = {
    "training": _training,
    "backtest": _backtest,
    "comparison": _comparison,
    "experiment": _experiment,
}


def find_entries(folder: str | Path) -> list[Entry]:
    """All runs whose folders lie in a folder, the oldest first; those without a date come last.

    Raises
    ------
    RunError
        The folder cannot be read.
    """
    try:
        paths = sorted(path for path in Path(folder).iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise RunError(
            f"the folder {folder} cannot be read ({error.strerror}): give one that holds runs."
        ) from error
    entries = []
    for path in paths:
        try:
            entries.append(read_entry(path))
        except RunError:
            continue  # something else of the user's
    return sorted(entries, key=lambda entry: (entry.created is None, entry.created or ""))


def show_runs(console: Console, entries: Sequence[Entry]) -> None:
    """What the runs are, a line each."""
    rows = []
    for entry in entries:
        test = entry.test
        rows.append(
            [
                entry.path.name,
                entry.kind,
                entry.of,
                None if entry.created is None else entry.created[:16].replace("T", " "),
                entry.status,
                test and f"{test['rmse']:,.{decimals(test['rmse'], 4)}f}",
                test and figure(test["skill"], "+.3f"),
                _yes(entry.evidence),
                f"{entry.size / 2**20:.1f}",
            ]
        )
    console.table(
        count(len(rows), "run"),
        ["Run", "Kind", "Of", "Made (UTC)", "Status", "Test RMSE", "Skill", "Evidence", "MiB"],
        rows,
        text=("Kind", "Of", "Made (UTC)", "Status", "Evidence"),
    )
    console.print(
        "Skill: 1 - RMSE / RMSE of persistence on the test rows. Evidence: whether it knows more than persistence."
    )


def comparable(entries: Sequence[Entry]) -> list[Entry]:
    """The training runs among some runs that have test figures."""
    return [entry for entry in entries if entry.test is not None]


def differing_settings(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """The settings that are not the same in all training runs.

    Parameters
    ----------
    entries : sequence of Entry
        Training runs.

    Returns
    -------
    dict of str to list
        By name, dotted where it is part of a group such as `network`; a value a run, None where a run lacks it.
    """
    # a setting that an older version did not know is what that version did
    flat = [_flat(TrainConfig().to_dict()) | _flat(entry.document["settings"]) for entry in entries]
    names = dict.fromkeys(name for settings in flat for name in settings if name not in _UNTOLD)
    columns = {name: [settings.get(name) for settings in flat] for name in names}
    return {name: values for name, values in columns.items() if any(value != values[0] for value in values)}


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def show_comparison(console: Console, entries: Sequence[Entry]) -> None:
    """How training runs differ in settings and on their test rows, and what each of them said.

    Parameters
    ----------
    console : Console
    entries : sequence of Entry
        From `comparable`.
    """
    settings = differing_settings(entries)
    rows = []
    for index, entry in enumerate(entries):
        test, prices = entry.test, entry.document["provenance"]
        assert test is not None  # of a comparable run
        hit_rate = test["hit_rate"]["rate"]
        rows.append(
            [
                entry.path.name,
                entry.of,
                *(_setting(values[index]) for values in settings.values()),
                prices["end"],
                test["n"],
                f"{test['rmse']:,.{decimals(test['rmse'], 4)}f}",
                figure(test["skill"], "+.3f"),
                None if hit_rate is None else f"{100 * hit_rate:.1f}",
                p_value(test["clark_west"]["p_value"]),
                p_value(test["correlation"]["test"]["p_value"]),
                _yes(entry.evidence),
            ]
        )
    names = [name.rpartition(".")[2] for name in settings]
    headings = [
        short if names.count(short) == 1 else name for name, short in zip(settings, names, strict=True)
    ]
    figures = ["Test rows", "RMSE", "Skill", "Hit rate %", "CW p", "Corr. p", "Evidence"]
    console.table(
        f"{count(len(rows), 'training run')}: what differs, and the test rows one session ahead",
        ["Run", "Ticker", *headings, "Prices to", *figures],
        rows,
        text=("Ticker", *headings, "Prices to", "Evidence"),
    )
    console.print("\n".join(_legend(entries, bool(settings))))
    for entry in entries:
        console.print()
        console.print(f"{entry.path.name}: {entry.document['verdict']}")


def _legend(entries: Sequence[Entry], settings_differ: bool) -> list[str]:
    lines = [
        "CW p, Corr. p: p-values of the tests of Clark-West and of the correlation of predicted and actual changes.",
    ]
    if not settings_differ and len({entry.of for entry in entries}) == 1:
        lines.append("All settings are the same.")
    if len({entry.document["provenance"]["sha256"] for entry in entries}) > 1:
        lines.append(
            "They were tested on different prices: compare skill, and even that with care, but not RMSE."
        )
    tries = len({entry.test["rmse"] for entry in entries if entry.test})
    if tries > 1:
        lines.append(
            f"They have {tries:,} different results. Of so many without skill at least one claims evidence in up to "
            f"{100 * chance_of_a_false_claim(tries):.0f} % of cases: the best of these test figures flatters its run."
        )
    return lines


def _setting(value: Any) -> str | None:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _yes(evidence: bool | None) -> str | None:
    return None if evidence is None else "yes" if evidence else "no"


def refuse_to_remove(entry: Entry) -> None:
    """Raise RunError for a folder that is a link, holds this process, or has anything that no command has written."""
    path = Path(os.path.abspath(entry.path))
    if path.is_symlink():
        raise RunError(f"{entry.path} is a link: remove it by hand, or give the folder that it points to.")
    if Path.cwd().is_relative_to(path.resolve()):
        raise RunError(f"{entry.path} is the folder that you are in: leave it first.")
    foreign = sorted(file.name for file in path.iterdir() if not (_is_written(file) or _is_part(file)))
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise RunError(
            f"{entry.path} holds {', '.join(foreign[:3])}{more}, which no command has written: move that away first."
        )


def _is_written(path: Path) -> bool:
    return any(map(partial(fnmatch, path.name), _WRITTEN))


def _is_part(path: Path) -> bool:
    """Whether a path is the folder of one of the experiments that were run together."""
    return (path / "reproduce.json").is_file() and all(map(_is_written, path.iterdir()))


def remove_run(entry: Entry) -> None:
    """Remove a run's folder with all that is in it; an end of this process at any moment leaves it whole or hidden.

    Raises
    ------
    RunError
        It cannot be removed.
    """
    path = Path(os.path.abspath(entry.path))
    hidden = hidden_beside(path)
    try:
        os.rename(path, hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        raise RunError(f"{entry.path} cannot be removed ({error.strerror}).") from error
