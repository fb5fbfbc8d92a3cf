"""List, compare and remove runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trendlstm.cli.common import make_console
from trendlstm.cli.options import examples, flag, json_option
from trendlstm.errors import OptionError

if TYPE_CHECKING:
    from trendlstm.output.run_list import Entry

FOLDER = "runs"  # where commands put runs unless told otherwise


class _ListUnlessTold(click.Group):
    """A group whose command `list` need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_ListUnlessTold,
    short_help="List, compare and remove runs.",
    epilog=examples(
        "trendlstm runs list",
        "trendlstm runs compare runs/MSFT-20261121-093000 runs/MSFT-20261121-094500",
        "trendlstm runs remove runs/MSFT-20261121-093000",
    ),
)
def runs() -> None:
    """List, compare and remove what train, compare, backtest and reproduce have written.

    Without a command they are listed.
    """


@runs.command(
    "list",
    short_help="List the runs in a folder.",
    epilog=examples("trendlstm runs list", "trendlstm runs list experiments --json"),
)
@click.argument("folder", required=False, type=click.Path())
@json_option
def list_runs(folder: str | None, as_json: bool) -> None:
    """List the runs in FOLDER, which is the folder runs unless given."""
    console = make_console(as_json)
    from trendlstm.output.run_list import show_runs

    entries = _found(folder or FOLDER)
    if entries:
        show_runs(console, entries)
    else:
        console.print(f"The folder {folder or FOLDER} holds no runs.")
    if as_json:
        console.json({"folder": folder or FOLDER, "runs": [entry.to_dict() for entry in entries]})


@runs.command(
    short_help="Show how training runs differ.",
    epilog=examples(
        "trendlstm runs compare", "trendlstm runs compare runs/MSFT-20261121-093000 runs/MSFT-20261121-094500"
    ),
)
@click.argument("paths", metavar="[RUN]...", nargs=-1, type=click.Path())
@json_option
def compare(paths: tuple[str, ...], as_json: bool) -> None:
    """Show how training runs differ: settings, test figures, and what each said.

    Without a RUN: all finished training runs in the folder runs.
    """
    console = make_console(as_json)
    from trendlstm.output.run_list import (
        comparable,
        differing_settings,
        read_entry,
        show_comparison,
    )

    entries = [read_entry(path) for path in _each_once(paths)] if paths else _found(FOLDER)
    kept = comparable(entries)
    for entry in entries if paths else []:
        if entry not in kept:
            what = f"a {entry.kind} run" if entry.kind == "training" else f"of the kind {entry.kind}"
            raise OptionError(
                f"{entry.path} is {what} ({entry.status}), which has no test figures of one model: leave it out."
            )
    if len(kept) < 2:
        raise OptionError(
            f"There {'is 1 finished training run' if kept else 'are no finished training runs'} to compare: give two "
            "different ones or more."
        )
    show_comparison(console, kept)
    if as_json:
        different = differing_settings(kept)
        console.json(
            {
                "runs": [
                    {
                        **entry.to_dict(),
                        "settings": {name: values[index] for name, values in different.items()},
                    }
                    for index, entry in enumerate(kept)
                ]
            }
        )


def _found(folder: str) -> "list[Entry]":
    """The runs in a folder. The folder of no run yet need not be there; another one that is not is perhaps a slip."""
    from trendlstm.output.run_list import find_entries

    if folder == FOLDER and not Path(FOLDER).exists():
        return []
    if not Path(folder).is_dir():
        raise OptionError(
            f"{folder} is neither a folder nor one of the commands {', '.join(runs.commands)}: give one of these."
        )
    return find_entries(folder)


@runs.command(
    short_help="Remove runs.", epilog=examples("trendlstm runs remove runs/MSFT-20261121-093000 --yes")
)
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@flag("--yes", help="Do not ask.")
@json_option
def remove(paths: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove the folders of runs with all that is in them, after a question.

    A folder with files that no command has written is left alone.
    """
    console = make_console(as_json)
    from trendlstm.output.run_list import read_entry, refuse_to_remove, remove_run
    from trendlstm.output.wording import count

    entries = [read_entry(path) for path in _each_once(paths)]
    for entry in entries:  # all of them are looked at before any is removed
        refuse_to_remove(entry)
    named = ", ".join(str(entry.path) for entry in entries)
    size = sum(entry.size for entry in entries) / 2**20
    if not yes:
        if not sys.stdin.isatty():
            raise OptionError("Nothing was removed, because there is no terminal to ask on: give --yes.")
        try:
            agreed = click.confirm(f"Remove {named} ({size:.1f} MiB)?", err=True)
        except click.Abort as error:  # Ctrl-C
            raise KeyboardInterrupt from error
        if not agreed:
            entries = []
    for entry in entries:
        remove_run(entry)
    console.print(f"Removed {count(len(entries), 'run')}." if entries else "Nothing was removed.")
    if as_json:
        console.json({"removed": [entry.path for entry in entries]})


def _each_once(paths: tuple[str, ...]) -> list[str]:
    """The paths without those that mean a folder that was named before."""
    return list({Path(path).resolve(): path for path in reversed(paths)}.values())[::-1]
