"""Fetch, show or clear cached prices."""

import click

from trendlstm.caches import cache_folder
from trendlstm.cli.common import make_console
from trendlstm.cli.options import examples, flag, json_option, years_option
from trendlstm.config import (
    DataConfig,
)
from trendlstm.errors import OptionError, SourceError, TrendLSTMError
from trendlstm.output.data import show_cache, show_rows
from trendlstm.output.wording import prices_sentence


@click.group(epilog=examples("trendlstm data fetch MSFT AAPL --years 10"))
def data() -> None:
    """Fetch, show or clear cached prices."""


@data.command(
    short_help="Fetch prices from Yahoo now and keep them in the cache.",
    epilog=examples("trendlstm data fetch MSFT AAPL --years 10"),
)
@click.argument("tickers", nargs=-1, required=True)
@years_option
@json_option
def fetch(tickers: tuple[str, ...], years: float | None, as_json: bool) -> None:
    """Fetch the prices of TICKERS from Yahoo now and keep them in the cache."""
    console = make_console(as_json)
    from trendlstm.data.sources import check_ticker, find_prices

    fetched, failed = [], 0
    for ticker in map(check_ticker, tickers):
        try:
            provenance = find_prices(DataConfig(ticker, years=years, source="yahoo")).provenance.to_dict()
        except TrendLSTMError as error:
            console.error(error)
            failed = error.exit_code
        else:
            console.print(prices_sentence(provenance))
            fetched.append(provenance)
    if as_json:
        console.json({"fetched": fetched})
    click.get_current_context().exit(failed)


@data.command(epilog=examples("trendlstm data show", "trendlstm data show MSFT"))
@click.argument("ticker", required=False)
@json_option
def show(ticker: str | None, as_json: bool) -> None:
    """Show what the price cache holds; with TICKER its newest rows."""
    console = make_console(as_json)
    from trendlstm.data.cache import list_cache, read_cache
    from trendlstm.data.sources import check_ticker

    if ticker is not None:
        ticker = check_ticker(ticker)
        prices = read_cache(ticker)
        if prices is None:
            raise SourceError(
                f"The cache has no prices of {ticker}: fetch them with `trendlstm data fetch {ticker}`."
            )
        (entry,) = (entry for entry in list_cache() if entry.get("ticker") == ticker)
        console.print(prices_sentence(entry))
        console.print()
        show_rows(console, prices.frame)
        if as_json:
            console.json(entry)
        return
    folder, entries = cache_folder("prices"), list_cache()
    console.print(f"Price cache: {folder}")
    if entries:
        show_cache(console, entries)
    else:
        console.print("It is empty.")
    if as_json:
        console.json({"folder": folder, "entries": entries})


@data.command(epilog=examples("trendlstm data clear MSFT", "trendlstm data clear --all"))
@click.argument("tickers", nargs=-1)
@flag("--all", "everything", help="All tickers.")
@json_option
def clear(tickers: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Delete the cached prices of TICKERS, or of all."""
    console = make_console(as_json)
    if bool(tickers) == everything:
        raise OptionError("Give either tickers to clear or --all.")
    from trendlstm.data.cache import clear_cache
    from trendlstm.data.sources import check_ticker

    wanted = [None] if everything else [check_ticker(ticker) for ticker in tickers]
    deleted = [path for ticker in wanted for path in clear_cache(ticker)]
    console.print("\n".join([*(f"Deleted {path}." for path in deleted)] or ["There was nothing to delete."]))
    if as_json:
        console.json({"deleted": deleted})
