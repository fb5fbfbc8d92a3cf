"""Walk forward through years of prices, and say what the forecasts were worth."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trendlstm.cli.common import backtest_config, compile_kernels, make_console, run_record, ticker_label
from trendlstm.cli.options import (
    FILE,
    NOT_NEGATIVE,
    combined,
    examples,
    flag,
    format_options,
    layer_options,
    make_fit_options,
    option,
    output_options,
    period_options,
    report_option,
    walk_options,
    window_options,
)
from trendlstm.config import BacktestConfig, DataConfig
from trendlstm.errors import ClusterError, OptionError, RunError, TrendLSTMError
from trendlstm.output.console import Console

if TYPE_CHECKING:
    from trendlstm.workflows.fold_queue import Engine

_DEFAULTS = BacktestConfig()
_SOME_FAILED = 3
# what may differ from one call with --resume to the next
_FREE = ("resume", "threads", "engine", "scheduler", "no_plot", "report", "as_json", "quiet")

_account_options = combined(
    option(
        "--costs-bps",
        type=NOT_NEGATIVE,
        default=_DEFAULTS.costs_bps,
        help="Costs of trading in 1/10,000 of the turnover; 0, 5 and 10 are always shown.",
    ),
    option(
        "--trials-before",
        type=click.IntRange(0),
        default=_DEFAULTS.trials_before,
        help="Strategies that you tried before on these prices, for the deflated Sharpe ratio.",
    ),
)


@click.command(
    short_help="Walk forward, refit every day, and say what it was worth.",
    epilog=examples(
        "trendlstm backtest MSFT AAPL IBM GOOG --test-years 1 --refit 1 --seeds 3",
        "trendlstm backtest --universe tickers.txt --years 10 --test-years 5",
        "trendlstm backtest --resume runs/BACKTEST-20261121-093000",
        "trendlstm backtest --universe tickers.txt --scheduler tcp://10.0.0.1:8786",
    ),
)
@click.argument("tickers", nargs=-1)
@option("--universe", type=FILE, default=None, help="A file with a ticker a line; # begins a comment.")
@period_options
@option(
    "--csv",
    "csvs",
    type=FILE,
    multiple=True,
    help="Prices from a file, which goes by its name; may be given several times.",
)
@format_options
@walk_options
@_account_options
@window_options
@layer_options
@make_fit_options(_DEFAULTS.fit)
@option(
    "--out",
    type=click.Path(),
    default=None,
    show_default="runs/BACKTEST-YYYYMMDD-HHMMSS",
    help="The backtest's folder; must not exist.",
)
@option(
    "--resume",
    metavar="RUN",
    type=click.Path(),
    default=None,
    help="Go on with an interrupted backtest in this folder, with its prices and settings.",
)
@option(
    "--engine",
    type=click.Choice(["threads", "dask"]),
    default="threads",
    help="What fits: threads of this process, or with the extra dask as many worker processes.",
)
@option(
    "--scheduler",
    metavar="ADDRESS",
    default=None,
    help="Fit on the workers of this Dask scheduler, such as tcp://10.0.0.1:8786, on any machines.",
)
@flag("--no-plot", help="Draw no picture.")
@report_option
@output_options
@click.pass_context
def backtest(
    context: click.Context,
    tickers: tuple[str, ...],
    universe: str | None,
    csvs: tuple[str, ...],
    out: str | None,
    resume: str | None,
    engine: str,
    scheduler: str | None,
    no_plot: bool,
    report: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Forecast the last years of TICKERS day by day, each time with networks that know nothing later.

    For every fold, from --refit sessions to the next, scaler, networks, baselines and intervals are fitted anew on
    the rows before it. The result says how good the forecasts were beside persistence (tomorrow = today), drift and
    ridge, and what following them would have earned after costs beside buy and hold. The exit code is 3 if some
    tickers could not be tested. TICKERS is MSFT unless given.
    """
    console = make_console(as_json, quiet)
    from trendlstm.output.backtest import BacktestFolder, show_backtest, show_plan
    from trendlstm.workflows.backtest import assess
    from trendlstm.workflows.fold_queue import run

    labelled = dict(_labelled(tickers, universe, csvs))
    given: list[str] = []
    if resume is None:
        config = backtest_config(options)
        folder = BacktestFolder.create(out, config, *_load(console, labelled, options))
    else:
        given = [
            name
            for name in context.params
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and name not in _FREE
        ]
        folder = BacktestFolder.resume(resume)
    with folder:
        if given:
            folder.refuse_changes(backtest_config(options), *_load(console, labelled, options))
        planned = folder.planned
        show_plan(console, folder)
        try:
            with (
                _engine(console, engine, scheduler, options["threads"], planned.config) as chosen,
                console.progress("Folds", planned.folds) as bar,
            ):
                failures = run(planned, folder.store, chosen, lambda one: bar.update(one.done, str(one)))
            result = assess(planned, folder.store, failures)
            document = folder.write(result, draw=not no_plot)
            if report:
                from trendlstm.output.report.make import write_report

                write_report(folder.path)
        except (KeyboardInterrupt, ClusterError):
            if folder.finished:
                console.warning(
                    f"{folder.finished:,} of {planned.folds:,} folds are finished. Go on with "
                    f"`trendlstm backtest --resume {folder.path}`."
                )
            raise
    show_backtest(console, result)
    console.print()
    console.print(f"The backtest is in {folder.path}.")
    if as_json:
        console.json(run_record(folder.path, document, report))
    if result.failures:
        context.exit(_SOME_FAILED)


@contextmanager
def _engine(
    console: Console, name: str, scheduler: str | None, threads: int | None, config: BacktestConfig
) -> "Iterator[Engine]":
    """What fits the folds."""
    from trendlstm.nn.threads import thread_count
    from trendlstm.workflows.fold_queue import ThreadEngine

    if name == "threads" and scheduler is None:
        compile_kernels(console, config.network.dtype)
        yield ThreadEngine(threads)
        return
    from trendlstm.workflows.cluster import DaskEngine, connect, local_cluster

    with local_cluster(thread_count(threads)) if scheduler is None else connect(scheduler) as client:
        yield DaskEngine(client)


def _labelled(
    tickers: Iterable[str], universe: str | None, csvs: Iterable[str]
) -> Iterable[tuple[str, str | None]]:
    """Every ticker to test, and its file if it has one; each once."""
    seen = set()
    named = [(ticker_label(ticker, None), None) for ticker in (*tickers, *_universe(universe))]
    files = [(ticker_label(None, csv), csv) for csv in csvs]
    for label, csv in [*named, *files] or [(DataConfig.ticker, None)]:
        if label in seen:
            raise OptionError(
                f"{label} is given twice{'' if csv is None else f', the second time by {csv}'}."
            )
        seen.add(label)
        yield label, csv


def _universe(path: str | None) -> list[str]:
    """The tickers in a file, a line each."""
    if path is None:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise OptionError(f"{path} cannot be read: {why}.") from error
    tickers = []
    for number, line in enumerate(lines, start=1):
        ticker = line.split("#")[0].strip()
        if ticker:
            try:
                tickers.append(ticker_label(ticker, None))
            except OptionError as error:
                raise OptionError(f"{path}, line {number}: {error}") from error
    if not tickers:
        raise OptionError(f"{path} has no tickers: write one a line.")
    return tickers


def _load(
    console: Console, labelled: dict[str, str | None], options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The prices of every ticker, and why some have none."""
    from trendlstm.data.sources import find_prices

    prices, failures = {}, {}
    names = [field.name for field in fields(DataConfig) if field.name not in ("ticker", "csv")]
    with console.progress("Prices", len(labelled)) as bar:
        for number, (label, csv) in enumerate(labelled.items(), start=1):
            own = {name: options[name] for name in names}
            # beside files there may be tickers, and each kind has options of its own
            own |= {"decimal": None, "date_format": None} if csv is None else {"source": DataConfig.source}
            try:
                prices[label] = find_prices(DataConfig(ticker=label, csv=csv, **own))
            except OptionError:
                raise
            except TrendLSTMError as error:
                failures[label] = str(error)
            bar.update(number, label)
    if not prices:
        raise RunError("There are no prices: " + " ".join(failures.values()))
    return prices, failures
