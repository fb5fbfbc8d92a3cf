"""Forecast with a trained model, or train one for it."""

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trendlstm.cli.common import (
    layer_settings,
    load_trained,
    loss_settings,
    make_console,
    refuse_existing,
    ticker_label,
)
from trendlstm.cli.options import (
    cell_option,
    examples,
    file_options,
    loss_options,
    option,
    output_options,
    size_options,
)
from trendlstm.cli.train import make_run
from trendlstm.config import SOURCES, DataConfig, NetworkConfig, Source, TrainConfig, WindowConfig
from trendlstm.errors import OptionError, RunError, SourceError
from trendlstm.files import write_csv
from trendlstm.output.console import Console
from trendlstm.output.wording import prices_sentence

if TYPE_CHECKING:
    from trendlstm.data.prices import PriceSet
    from trendlstm.output.runs import Run


_PRICES = ("calendar", "decimal", "date_format")
_NETWORK = ("cell", "hidden_size", "layers", "dropout", "recurrent_dropout", "loss", "quantiles")


@click.command(
    short_help="Forecast the next sessions, of a ticker or with a trained model.",
    epilog=examples(
        "trendlstm forecast MSFT",
        "trendlstm forecast MSFT --cell gru --layers 2",
        "trendlstm forecast MSFT --quantiles 0.05,0.5,0.95",
        "trendlstm forecast runs/MSFT-20261121-093000 --days 5 --out next.csv",
    ),
)
@click.argument("run", metavar="TICKER|RUN", type=click.Path())
@option(
    "--days",
    type=click.IntRange(1, 1000),
    default=None,
    show_default="10, or a direct model's horizon",
    help="Sessions to forecast.",
)
@option(
    "--source",
    type=click.Choice(SOURCES),
    default=None,
    show_default="the run's, or auto",
    help="Where the newest prices come from.",
)
@cell_option
@size_options
@loss_options
@file_options
@option(
    "--out",
    type=click.Path(dir_okay=False),
    default=None,
    show_default="forecast.csv in the new run of a TICKER",
    help="Also a new file NAME.csv: date, actual and predicted of the past and the next sessions.",
)
@output_options
@click.pass_context
def forecast(
    context: click.Context,
    run: str,
    days: int | None,
    source: Source | None,
    csv: str | None,
    out: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Forecast the sessions after the newest prices.

    With a TICKER a model is trained first, with the defaults of `trendlstm train` but for its cell, layers and loss, on
    four years of prices (with --csv all that the file has); its run is kept in runs/. With the folder RUN of an earlier
    run its model is used. Prices then come from the run's own source or file, but reach to the newest, whatever its
    --end was. A run's folder goes before a ticker of the same name.
    """
    console = make_console(as_json, quiet)
    if not run:
        raise OptionError("TICKER|RUN is empty: give a ticker, or the folder of a run.")
    if out is not None:
        refuse_existing(out)
        if not out.lower().endswith(".csv"):
            raise OptionError(f"--out {out} does not end in .csv: the forecast is written as CSV.")
    network = NetworkConfig(lag=WindowConfig.lag, **layer_settings(options), **loss_settings(options))
    given = {name: options[name] for name in _PRICES if options[name] is not None}
    is_run = _is_run(run)
    if is_run:
        _refuse_network(context, run)
        loaded, prices = _load(console, run, source, csv, given, days)
    else:
        loaded, prices = _train(console, run, source, csv, given, days, as_json, network)
    from trendlstm.output.forecast import learned_sentence, level_sentences
    from trendlstm.output.runs import bands_record
    from trendlstm.output.train import last_close_warning, show_forecast, standing

    ticker, provenance = prices.provenance.ticker, prices.provenance.to_dict()
    table, level = loaded.forecast_later(prices, days)
    rows = None if out is None else loaded.forecast_with_past(prices, table)  # before anything is said
    if is_run:
        restated, doubt = level_sentences(level, loaded.config.window) if level else ("", "")
        if doubt:
            console.warning(doubt)
        console.print(prices_sentence(provenance))
        if restated:
            console.print(restated)
        console.print(learned_sentence(loaded))
        if loaded.verdict:
            console.print(f"Its run said: {loaded.verdict}")
    else:
        console.print()
        console.print(loaded.verdict)
    console.print()
    trained_on = loaded.config.data.ticker
    by = "" if trained_on == ticker else f" by the model of {trained_on}"
    title = f"Forecast of {ticker}{by}{standing(loaded.evidence)}"
    show_forecast(console, table, title, loaded.bands, loaded.no_bands)
    if warning := last_close_warning(table):
        console.warning(warning)
    if out is not None and rows is not None:
        write_csv(out, rows)
    if out is not None or not is_run:
        console.print()
        where = loaded.path / "forecast.csv" if out is None else out
        console.print(f"{where} has the forecast and the predictions of the past sessions.")
    if not is_run:
        console.print(
            f"The run is in {loaded.path}: `trendlstm forecast {loaded.path}` uses its model again."
        )
    if as_json:
        console.json(
            {
                "run": loaded.path,
                "status": loaded.status,
                "ticker": ticker,
                "trained_on": trained_on,
                "provenance": provenance,
                "learned_until": loaded.forecaster.learned_until,
                "final_fit": loaded.is_final_fit,
                "verdict": loaded.verdict,
                "evidence": loaded.evidence,
                "price_level": level and asdict(level),
                "forecast_bands": bands_record(loaded.bands[: len(table)]),
                "forecast": table.to_dict("records"),
            }
        )


def _refuse_network(context: click.Context, run: str) -> None:
    """Raise OptionError for an option that only a new training can follow."""
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if is_given and parameter.name in _NETWORK:
            raise OptionError(
                f"{parameter.opts[0]} is for a new training, but {run} is a run, whose model is trained: leave it out."
            )


def _is_run(text: str) -> bool:
    """Whether an argument means a run's folder: it is one, or it can be no ticker."""
    from trendlstm.output.runs import is_run_folder

    return os.sep in text or not _may_be_ticker(text) or is_run_folder(text)


def _may_be_ticker(text: str) -> bool:
    from trendlstm.data.sources import check_ticker

    try:
        check_ticker(text)
    except OptionError:
        return False
    return True


def _load(
    console: Console,
    path: str,
    source: Source | None,
    csv: str | None,
    given: dict[str, Any],
    days: int | None,
) -> "tuple[Run, PriceSet]":
    """An earlier run, and the newest prices for it."""
    from trendlstm.data.sources import find_prices
    from trendlstm.workflows.forecast import days_to_forecast

    try:
        loaded = load_trained(console, path)
    except RunError as error:
        if not _may_be_ticker(path):
            raise
        raise RunError(f"{error} If the ticker {path} is meant, forecast it in another folder.") from error
    data = loaded.config.data
    if csv is not None:
        everything = {"years": None, "start": None, "decimal": None, "date_format": None}
        # the run's own file may have several tickers, of which the run's is meant
        ticker = data.ticker if csv == data.csv else ticker_label(None, csv)
        data = replace(data, ticker=ticker, csv=csv, source=source or "auto", **everything)
    elif source is not None:
        data = replace(data, csv=None, source=source, decimal=None, date_format=None)
    days_to_forecast(loaded.forecaster, days)  # a wrong number is said before prices are fetched
    prices = find_prices(replace(data, end=None, **given))
    if prices.provenance.end < loaded.forecaster.learned_until:
        console.warning(
            f"The model has learned from prices until {loaded.forecaster.learned_until}, after the start of this "
            "forecast, so it may know what it forecasts."
        )
    return loaded, prices


def _train(
    console: Console,
    ticker: str,
    source: Source | None,
    csv: str | None,
    given: dict[str, Any],
    days: int | None,
    as_json: bool,
    network: NetworkConfig,
) -> "tuple[Run, PriceSet]":
    """A new run with the defaults but for the network's, and the prices that it was trained on."""
    from trendlstm.data.sources import find_prices
    from trendlstm.nn.device import choose_device
    from trendlstm.output.runs import RunFolder, load_run
    from trendlstm.workflows.train import prepare

    data = DataConfig(ticker_label(ticker, csv), source=source or DataConfig.source, csv=csv, **given)
    config = TrainConfig(data=data, network=network, device=choose_device("auto"))
    try:
        prices = find_prices(config.data)
    except SourceError as error:
        raise SourceError(f"There is no run {ticker}, so it was taken for a ticker. {error}") from error
    folder = RunFolder(None, config.data.ticker)
    _, _, path = make_run(
        console, folder, prepare(config, prices), asked_device="auto", draw=True, as_json=as_json, days=days
    )
    return load_run(path), prices
