"""Forecast with a trained model."""

from dataclasses import asdict, replace
from typing import Any

import click

from trendlstm.cli.common import make_console, ticker_label
from trendlstm.cli.options import examples, file_options, option, output_options
from trendlstm.config import SOURCES, Source
from trendlstm.output.wording import prices_sentence


@click.command(
    short_help="Forecast the next sessions with a trained model.",
    epilog=examples("trendlstm forecast runs/MSFT-20261121-093000 --days 5"),
)
@click.argument("run", type=click.Path())
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
    show_default="the run's",
    help="Where the newest prices come from.",
)
@file_options
@output_options
def forecast(
    run: str,
    days: int | None,
    source: Source | None,
    csv: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Forecast the sessions after the newest prices with the model in the folder RUN.

    Prices come from the run's own source or file, but reach to the newest, whatever its --end was.
    """
    console = make_console(as_json, quiet)
    from trendlstm.data.sources import find_prices
    from trendlstm.output.forecast import level_sentences
    from trendlstm.output.runs import bands_record, load_run
    from trendlstm.output.train import last_close_warning, show_forecast, standing
    from trendlstm.workflows.forecast import days_to_forecast

    loaded = load_run(run)
    forecaster, data = loaded.forecaster, loaded.config.data
    if loaded.status != "finished":
        console.warning(
            f"The training of {run} did not finish ({loaded.status}); its weights are the best until then."
        )
    given = {name: value for name, value in options.items() if value is not None}
    if csv is not None:
        everything = {"years": None, "start": None, "decimal": None, "date_format": None}
        # the run's own file may have several tickers, of which the run's is meant
        ticker = data.ticker if csv == data.csv else ticker_label(None, csv)
        data = replace(data, ticker=ticker, csv=csv, source=source or "auto", **everything)
    elif source is not None:
        data = replace(data, csv=None, source=source, decimal=None, date_format=None)
    data = replace(data, end=None, **given)
    days = days_to_forecast(forecaster, days)
    prices = find_prices(data)
    provenance = prices.provenance.to_dict()
    table, level = loaded.forecast_later(prices, days)
    if provenance["end"] < forecaster.learned_until:
        console.warning(
            f"The model has learned from prices until {forecaster.learned_until}, after the start of this "
            "forecast, so it may know what it forecasts."
        )
    restated, doubt = level_sentences(level, loaded.config.window) if level else ("", "")
    if doubt:
        console.warning(doubt)
    console.print(prices_sentence(provenance))
    if restated:
        console.print(restated)
    console.print(
        f"The model was trained on prices until {forecaster.learned_until}"
        + (
            ", in a final fit on all rows of its run, for the epochs that validation chose."
            if loaded.is_final_fit
            else "; the validation rows after them chose its epoch."
        )
    )
    if loaded.verdict:
        console.print(f"Its run said: {loaded.verdict}")
    console.print()
    trained_on = loaded.config.data.ticker
    by = "" if trained_on == data.ticker else f" by the model of {trained_on}"
    title = f"Forecast of {data.ticker}{by}{standing(loaded.evidence)}"
    show_forecast(console, table, title, loaded.bands, loaded.no_bands)
    if warning := last_close_warning(table):
        console.warning(warning)
    if as_json:
        console.json(
            {
                "run": loaded.path,
                "status": loaded.status,
                "ticker": data.ticker,
                "trained_on": trained_on,
                "provenance": provenance,
                "learned_until": forecaster.learned_until,
                "final_fit": loaded.is_final_fit,
                "verdict": loaded.verdict,
                "evidence": loaded.evidence,
                "price_level": level and asdict(level),
                "forecast_bands": bands_record(loaded.bands[: len(table)]),
                "forecast": table.to_dict("records"),
            }
        )
