"""List, compare and remove runs."""

import sys
from pathlib import Path

import click

from trendlstm.cli.common import make_console
from trendlstm.cli.options import examples, flag, json_option
from trendlstm.errors import OptionError, RunError

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
    from trendlstm.output.run_list import find_entries, show_runs

    # no run has been made yet: that is no mistake
    entries = find_entries(folder or FOLDER) if folder or Path(FOLDER).exists() else []
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
        find_entries,
        read_entry,
        show_comparison,
    )

    entries = [read_entry(path) for path in paths] or find_entries(FOLDER)
    kept = comparable(entries)
    for entry in entries if paths else []:
        if entry not in kept:
            what = f"a {entry.kind} run" if entry.kind == "training" else f"of the kind {entry.kind}"
            raise OptionError(
                f"{entry.path} is {what} ({entry.status}), which has no test figures of one model: leave it out."
            )
    if len(kept) < 2:
        raise RunError(
            f"There {'is 1 finished training run' if kept else 'are no finished training runs'} to compare: give two "
            "or more."
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


@runs.command(
    short_help="Remove runs.", epilog=examples("trendlstm runs remove runs/MSFT-20261121-093000 --yes")
)
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@flag("--yes", help="Do not ask.")
@json_option
def remove(paths: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove the folders of runs with all that is in them, after a question."""
    console = make_console(as_json)
    from trendlstm.output.run_list import read_entry, remove_run
    from trendlstm.output.wording import count

    entries = [read_entry(path) for path in paths]  # all of them are looked at before any is removed
    size = sum(entry.size for entry in entries) / 2**20
    if not yes:
        if not sys.stdin.isatty():
            raise OptionError("Nothing was removed, because there is no terminal to ask on: give --yes.")
        if not click.confirm(f"Remove {', '.join(paths)} ({size:.1f} MiB)?", err=True):
            raise OptionError("Nothing was removed.")
    for entry in entries:
        remove_run(entry)
    console.print(f"Removed {count(len(entries), 'run')}.")
    if as_json:
        console.json({"removed": [entry.path for entry in entries]})
