"""The page of a run."""

from pathlib import Path

import click

from trendlstm.cli.common import make_console, refuse_existing
from trendlstm.cli.options import examples, option, output_options
from trendlstm.errors import OptionError


@click.command(
    short_help="Write a run's report: one page with charts that works offline.",
    epilog=examples(
        "trendlstm report runs/MSFT-20261121-093000",
        "trendlstm report runs/BACKTEST-20261121-093000 --out backtest.html",
    ),
)
@click.argument("run", type=click.Path())
@option(
    "--out",
    type=click.Path(dir_okay=False),
    default=None,
    show_default="report.html in RUN",
    help="The page to write, which must not exist; report.html in RUN is replaced.",
)
@output_options
def report(run: str, out: str | None, as_json: bool, quiet: bool) -> None:
    """Write what the folder RUN holds as one page of HTML, which any browser opens without a network.

    RUN is what `trendlstm train`, `compare` or `backtest` wrote. The page has the verdict, charts that zoom, tables
    that sort, and for a trained LSTM or GRU its gates over one window.
    """
    console = make_console(as_json, quiet)
    if out is not None:
        refuse_existing(out)
        if Path(out).suffix.lower() not in (".html", ".htm"):
            raise OptionError(f"{out} would be a page of HTML: give it a name that ends in .html.")
    from trendlstm.output.report.make import write_report

    path = write_report(run, out)
    console.print(f"The report is in {path}.")
    if as_json:
        console.json({"run": run, "report": path})
