"""What the price cache holds, in tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trendlstm.output.console import Console
from trendlstm.output.wording import decimals

if TYPE_CHECKING:
    import pandas as pd


def show_cache(console: Console, entries: Sequence[Mapping[str, Any]]) -> None:
    """What the price cache holds, one line a ticker."""
    rows = [
        [entry["path"], None, None, None, f"damaged: {entry['error']}", None]
        if "error" in entry
        else [
            entry["ticker"],
            entry["rows"],
            entry["start"],
            entry["end"],
            _minutes(entry["fetched_at"]),
            _minutes(entry["fresh_until"]),
        ]
        for entry in entries
    ]
    console.table(
        "Cached prices",
        ["Ticker", "Sessions", "From", "To", "Fetched (UTC)", "Fresh until (UTC)"],
        rows,
        text=("From", "To", "Fetched (UTC)", "Fresh until (UTC)"),
    )


def show_rows(console: Console, prices: "pd.DataFrame", count: int = 5) -> None:
    """The newest rows of some prices."""
    newest = prices.tail(count)
    digits = decimals(float(newest["Close"].iloc[-1]), 5)
    rows = [
        [
            f"{date:%a %Y-%m-%d}",
            *(f"{value:,.{0 if name == 'Volume' else digits}f}" for name, value in row.items()),
        ]
        for date, row in newest.iterrows()
    ]
    console.table(f"The last {len(rows)} sessions", ["Session", *newest.columns], rows)


def _minutes(iso: str | None) -> str | None:
    return None if iso is None else iso[:16].replace("T", " ")
