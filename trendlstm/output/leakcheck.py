"""What a leak check found: a table and a sentence."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trendlstm.output.console import Console

if TYPE_CHECKING:
    from trendlstm.evaluation.leakcheck import LeakCheck


def show_training_checks(console: Console, checks: Sequence["LeakCheck"], cell: str) -> None:
    """The table of a training's checks, and what is compared."""
    _show_checks(console, checks, {"scaler": "Scaler", "model": cell, "recursive": "Recursive"})
    has_recursive = any(check.what == "recursive" for check in checks)
    recursive = ", and the recursive forecast" if has_recursive else ""
    legend = [
        "same (n): n numbers with the same bits as before. Compared are the fitted scaler, drift's predictions from",
        f"validation and test days, those of ridge and {cell} from test days, each up to the day{recursive}.",
        "A dash: nothing to compare, for validation, which comes after that day, has a part in it. After the last",
        "training day prices are not truncated: no validation rows would be left.",
    ]
    console.print("\n".join(legend))


def show_walk_checks(console: Console, checks: Sequence["LeakCheck"]) -> None:
    """The table of a walk's checks, and what is compared."""
    headings = {name: name.capitalize() for name in ("bands", "signals", "positions", "returns")}
    _show_checks(console, checks, headings)
    legend = [
        "same (n): n numbers with the same bits as before. Compared are forecasts that were made up to the day, those",
        "of every single network too; the edges of their bands, and the miscoverage that adaptive ones had learned;",
        "their signs (signals); weights and turnover that the accounts had decided on by then, and the forecasts that",
        "they follow (positions); what they had earned (returns). A dash: nothing to compare. After the first day of",
        "the walk prices are not truncated: nothing could be traded.",
    ]
    console.print("\n".join(legend))


def _show_checks(console: Console, checks: Sequence["LeakCheck"], headings: Mapping[str, str]) -> None:
    """One row for each day and change, one column for each table that was compared."""
    names = list(dict.fromkeys(check.what for check in checks))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for check in checks:
        verdict = (
            f"CHANGED {check.changed:,} of {check.compared:,}"
            if check.changed
            else f"same ({check.compared:,})"
        )
        rows.setdefault((check.after, check.change), {})[check.what] = verdict
    columns = ["Prices after", "were", *(headings.get(name, name) for name in names)]
    console.table(
        "What must not depend on prices after a day, compared bit by bit",
        columns,
        [[*key, *(found.get(name) for name in names)] for key, found in rows.items()],
        text=columns,
    )


def leak_sentence(checks: Sequence["LeakCheck"], cell: str) -> str:
    """Whether anything saw its future; `cell` is what the table "model" is called."""
    leaks = [check for check in checks if check.changed]
    if not leaks:
        changes = len({(check.after, check.change) for check in checks})
        numbers = sum(check.compared for check in checks)
        return f"No leak found: in {changes} changes of later prices all {numbers:,} compared numbers kept every bit."
    names = {"model": cell, "recursive": "recursive forecast"}
    who = ", ".join(dict.fromkeys(names.get(check.what, check.what) for check in leaks))
    first = leaks[0]
    return (
        f"A leak: {who} changed; the first was {names.get(first.what, first.what)} of {first.first_changed}, when the "
        f"prices after {first.after} were {first.change}."
    )
