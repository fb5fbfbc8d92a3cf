"""Make the packaged sample, trendlstm/data/sample.csv.gz, out of the PyPI package bokeh_sampledata.

Run once by hand: ``pip install bokeh_sampledata==2026.1 && python scripts/make_sample.py``. What the file holds is
said in trendlstm/data/sample.md.
"""

import gzip
from pathlib import Path

import pandas as pd
from bokeh_sampledata import stocks

TICKERS = ("AAPL", "GOOG", "IBM", "MSFT")
TARGET = Path(__file__).parents[1] / "trendlstm" / "data" / "sample.csv.gz"


def adjusted(raw: pd.DataFrame) -> pd.DataFrame:
    """Adjust a table with the columns date, open, high, low, close, volume, adj_close for dividends and splits."""
    table = pd.DataFrame({"Date": raw["date"]})
    for column in ("Open", "High", "Low"):
        table[column] = raw["adj_close"] * (raw[column.lower()] / raw["close"])
    table["Close"] = raw["adj_close"]
    factor = raw["adj_close"] / raw["close"]
    # Dividends change the factor by a few per cent, splits by a whole number.
    change = factor / factor.shift(fill_value=factor.iloc[0])
    split = change.round().where((change - change.round()).abs() < 0.1, 1.0)
    table["Volume"] = raw["volume"] * (split.prod() / split.cumprod())
    return table


def main() -> None:
    """Write the sample."""
    tables = []
    for ticker in TICKERS:
        table = adjusted(pd.DataFrame(getattr(stocks, ticker)))
        table.insert(0, "Ticker", ticker)
        tables.append(table)
    table = pd.concat(tables)
    for column in ("Open", "High", "Low", "Close"):
        table[column] = table[column].map("{:.7g}".format)
    table["Volume"] = table["Volume"].map("{:.0f}".format)
    text = table.to_csv(index=False, lineterminator="\n")
    TARGET.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
