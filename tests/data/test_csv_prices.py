"""Prices from files: what is understood, and what is refused with file, row and column."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from price_tables import csv_file, days_csv, load_csv, notices, prices_frame

from trendlstm.data.sources import load_prices
from trendlstm.errors import DataError


def test_yahoo_download_format_is_adjusted(tmp_path):
    path = csv_file(
        tmp_path,
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        "2024-01-02,10.0,12.0,9.0,11.0,5.5,100\n"
        "2024-01-03,11.0,13.0,10.0,12.0,12.0,200\n",
    )
    frame = load_csv(path)
    np.testing.assert_allclose(frame.to_numpy(), [[5, 6, 4.5, 5.5, 100], [11, 13, 10, 12, 200]], rtol=1e-15)
    assert (
        list(frame.columns) == ["Open", "High", "Low", "Close", "Volume"]
        and (frame.dtypes == np.float64).all()
    )
    provenance = frame.attrs["provenance"]
    assert provenance["adjusted"] and provenance["source"] == provenance["requested_source"] == "csv"
    assert (
        provenance["csv"] == str(path) and provenance["calendar"] == "XNYS" and provenance["exchange"] is None
    )
    assert any("Adj Close / Close" in notice for notice in notices(frame))


EXPECTED = pd.DataFrame(
    {
        "Open": [1010.5, 1020.25],
        "High": [1100.0, 1200.0],
        "Low": [1000.0, 1010.0],
        "Close": [1050.0, 1060.5],
        "Volume": [1234500.0, 89000.0],
    },
    index=pd.DatetimeIndex(["2024-02-01", "2024-02-14"], name="Date").as_unit("ns"),
)
FORMATS = {
    "Stooq": "Date,Open,High,Low,Close,Volume\n2024-02-01,1010.5,1100,1000,1050,1234500\n"
    "2024-02-14,1020.25,1200,1010,1060.5,89000\n",
    "Stooq in bulk": "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    "X.US,D,20240201,000000,1010.5,1100,1000,1050,1234500,0\n"
    "X.US,D,20240214,000000,1020.25,1200,1010,1060.5,89000,0\n",
    "Nasdaq": "Date,Close/Last,Volume,Open,High,Low\n02/14/2024,$1060.50,89000,$1020.25,$1200.00,$1010.00\n"
    "02/01/2024,$1050.00,1234500,$1010.50,$1100.00,$1000.00\n",
    "thousands, quotes, blanks, a byte-order mark, Windows line ends, a blank line, times": "\ufeffdate, OPEN ,high,"
    'low,close,volume\r\n2024-02-14 00:00:00-05:00,"1,020.25", 1200 ,"1,010","$1,060.50",89000\r\n\r\n'
    '2024-02-01T00:00:00Z,"1,010.50","1,100","1,000","1,050","1,234,500"\r\n',
    "yfinance": "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n"
    "2024-02-01,1050,1100,1000,1010.5,1234500\n2024-02-14,1060.5,1200,1010,1020.25,89000\n",
    "yfinance by ticker": "Ticker,X,X,X,X,X\nPrice,Open,High,Low,Close,Volume\nDate,,,,,\n"
    "2024-02-01,1010.5,1100,1000,1050,1234500\n2024-02-14,1020.25,1200,1010,1060.5,89000\n",
    "an index without a name": EXPECTED.rename_axis(None).to_csv(),
    "a counted index": EXPECTED.reset_index().to_csv(),
    "Investing.com": '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    '"02/14/2024","1,060.50","1,020.25","1,200.00","1,010.00","89.00K","1.00%"\n'
    '"02/01/2024","1,050.00","1,010.50","1,100.00","1,000.00","1.2345M","-0.12%"\n',
    "Investing.com, day first": '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    '"14/02/2024","1,060.50","1,020.25","1,200.00","1,010.00","89.00K","1.00%"\n'
    '"01/02/2024","1,050.00","1,010.50","1,100.00","1,000.00","1.2345M","-0.12%"\n',
    "Alpha Vantage": "timestamp,open,high,low,close,volume\n2024-02-14,1020.2500,1200,1010,1060.5,89000\n"
    "2024-02-01,1010.5,1100,1000,1050,1234500\n",
    "Alpha Vantage through pandas": "date,1. open,2. high,3. low,4. close,5. volume\n"
    "2024-02-14,1020.2500,1200,1010,1060.5,89000\n2024-02-01,1010.5,1100,1000,1050,1234500\n",
    "German Excel": "Date;Open;High;Low;Close;Volume\n01.02.2024;1.010,50;1.100;1.000;1.050,00;1.234.500\n"
    "14.02.2024;1.020,25;1.200;1.010;1.060,50;89.000\n",
    "German Excel in German": "Datum;Eröffnung;Hoch;Tief;Schluss;Volumen\n"
    "01.02.2024;1010,50;1100;1000;1050,00;1234500\n14.02.2024;1020,25;1200;1010;1060,50;89000\n",
    "tabs": "Date\tOpen\tHigh\tLow\tClose\tVolume\n2024/02/01\t1010.5\t1100\t1000\t1050\t1234500\n"
    "2024/02/14\t1020.25\t1200\t1010\t1060.5\t89000\n",
    "MetaTrader": "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\n"
    "2024.02.01\t1010.5\t1100\t1000\t1050\t7\t1234500\n2024.02.14\t1020.25\t1200\t1010\t1060.5\t8\t89000\n",
    "one ticker in a column": "Symbol,date,open,high,low,close,volume\nX,2024-02-01,1010.5,1100,1000,1050,1234500\n"
    "X,2024-02-14,1020.25,1200,1010,1060.5,89000\n",
}


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(tmp_path, kind):
    frame = load_csv(csv_file(tmp_path, FORMATS[kind]))
    pd.testing.assert_frame_equal(frame, EXPECTED)
    assert not frame.attrs["provenance"]["adjusted"]
    order_said = any("newest to oldest" in notice for notice in notices(frame))
    assert order_said == any(name in kind for name in ("Nasdaq", "quotes", "Investing", "Alpha"))


def test_date_and_close_alone_with_a_calendar(tmp_path):
    path = csv_file(tmp_path, "Date,Close,Note\n1/12/2024,10,a\n1/16/2024,11,b\n")
    frame = load_csv(path, calendar="XLON")
    assert list(frame.columns) == ["Close"] and frame.index[1] == pd.Timestamp("2024-01-16")
    assert frame.attrs["provenance"]["calendar"] == "XLON"


def test_volume_without_any_value_is_left_out_and_said(tmp_path):
    frame = load_csv(csv_file(tmp_path, "Date,Close,Volume\n2024-01-02,10,N/A\n2024-01-03,11,N/A\n"))
    assert list(frame.columns) == ["Close"] and "Volume has no values" in notices(frame)[0]


def test_a_day_without_trade_is_no_fault(tmp_path):
    frame = load_csv(csv_file(tmp_path, "Date,Close,Volume\n2024-01-02,10,0\n2024-01-03,11,5\n"))
    assert list(frame["Volume"]) == [0, 5]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(12)),
    repeated=st.lists(st.integers(0, 11), max_size=4),
    empty=st.integers(0, 3),
    dollars=st.booleans(),
    us=st.booleans(),
)
def test_order_repeats_and_empty_rows_lose_nothing(tmp_path, order, repeated, empty, dollars, us):
    frame = prices_frame(12).drop(columns="Volume") * 100
    lines = [
        ",".join(
            [
                f"{day:%m/%d/%Y}" if us else f"{day:%Y-%m-%d}",
                *(f'"${v:,.4f}"' if dollars else f"{v!r}" for v in map(float, row)),
            ]
        )
        for day, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    rows = [lines[i] for i in order] + [lines[i] for i in repeated]
    rows[3:3] = [f"{'12/31/2021' if us else '2021-12-31'},null,null,null,null"] * empty
    loaded = load_csv(csv_file(tmp_path, "Date,Open,High,Low,Close\n" + "\n".join(rows)))
    expected = frame.round(4) if dollars else frame
    pd.testing.assert_frame_equal(loaded, expected, rtol=1e-15)
    said = " ".join(notices(loaded))
    assert ("repeated exactly" in said) == bool(repeated)
    assert ("without any price" in said) == bool(empty)
    assert ("sorted" in said) == (not pd.Index([*order, *repeated]).is_monotonic_increasing)


OK = "2024-01-02,10,12,9,11,100"


@pytest.mark.parametrize(
    "content, words",
    [
        ("Date,Open,High\n2024-01-02,1,2\n", ["no column Close", "Date, Open, High"]),
        ("Close\n10\n", ["no column Date"]),
        (
            "Exceeded the daily hits limit\nx",
            ["no column Date", "'Exceeded the daily hits limit'", "name the columns"],
        ),
        ("Date,Close,Close/Last\n2024-01-02,1,1\n", ["two columns for Close"]),
        ("Date,Close,Adj Close,Adj. Close\n2024-01-02,1,1,1\n", ["two columns for Adj Close"]),
    ],
)
def test_columns_that_are_no_price_table(tmp_path, content, words):
    path = csv_file(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load_csv(path)
    message = str(caught.value)
    assert str(path) in message and all(word in message for word in words), message
    assert caught.value.exit_code == 1 and message.endswith(".")


@pytest.mark.parametrize(
    "rows, words",
    [
        ([OK, "2024-02-30,10,12,9,11,100"], ["row 3", "column Date", "2024-02-30"]),
        ([OK, "", "2024-13-01,10,12,9,11,100"], ["row 4", "column Date", "2024-13-01"]),
        ([OK, "01/03/2024,10,12,9,11,100"], ["row 3", "column Date", "01/03/2024", "YYYY-MM-DD"]),
        (["12/01/2024,10,12,9,11,100", "13/13/2024,10,12,9,11,100"], ["row 3", "correct or remove the row"]),
        (["20240112,10,12,9,11,100", "2024113,10,12,9,11,100"], ["row 3", "column Date", "2024113"]),
        (["Monday,10,12,9,11,100"], ["row 2", "column Date", "Monday"]),
        ([OK, "2024-01-03,10,12,9,abc,100"], ["row 3", "column Close", "'abc'"]),
        ([OK, "2024-01-03,10,12,9,1_1,100"], ["row 3", "column Close", "'1_1'"]),
        ([OK, '2024-01-03,10.5,12,9,"11,5",100'], ["row 3", "column Close", "'11,5'", "unlike others"]),
        ([OK, "2024-01-03,10,12,9,11M,100"], ["row 3", "column Close", "'11M'"]),
        ([OK, "2024-01-03,10,12,9,11,12.5X"], ["row 3", "column Volume", "'12.5X'"]),
        ([OK, "2024-01-03,10,12,9,NaN,100"], ["row 3", "2024-01-03", "column Close", "nan"]),
        ([OK, "2024-01-03,10,,9,11,100"], ["row 3", "column High", "nan"]),
        ([OK, "2024-01-03,10,inf,9,11,100"], ["row 3", "column High", "inf"]),
        ([OK, "2024-01-03,10,12,9,0,100"], ["row 3", "column Close", "0 is not a positive"]),
        ([OK, "2024-01-03,10,12,-9,11,100"], ["row 3", "column Low", "-9"]),
        ([OK, "2024-01-03,10,12,9,11,-1"], ["row 3", "column Volume", "-1"]),
        ([OK, "2024-01-03,10,12,9,11,"], ["row 3", "column Volume", "nan"]),
        ([OK, "2024-01-03,10,12,9,12.5,100"], ["row 3", "column High", "below Close (12.5)"]),
        ([OK, "2024-01-03,8,12,9,11,100"], ["row 3", "column Low", "above Open (8)"]),
        (
            [OK, "2024-01-03,10,12,9,11,1", OK.replace("11,", "10.5,")],
            ["row 2", "row 4", "same date", "Close"],
        ),
        ([OK, "2024-01-03,10,12"], ["row 3", "has 3 columns where the header has 6"]),
        (
            [OK, "2024-01-03,1,012,10,12,9,11,100"],
            ["row 3", "has 8 columns where the header has 6", "quotes"],
        ),
        ([OK, ",10,12,9,11,100"], ["row 3", "column Date", "has no date"]),
        (["2024-01-02,,,,,100"], ["no row with a price"]),
    ],
)
def test_bad_rows_are_refused_with_file_row_and_column(tmp_path, rows, words):
    path = csv_file(tmp_path, "\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    with pytest.raises(DataError) as caught:
        load_csv(path)
    message = str(caught.value)
    assert str(path) in message and all(word in message for word in words), message


@pytest.mark.parametrize("value", ["0", "null", "inf", "-1"])
def test_bad_adjusted_close(tmp_path, value):
    path = csv_file(tmp_path, f"Date,Close,Adj Close\n2024-01-02,10,9\n2024-01-03,10,{value}\n")
    with pytest.raises(DataError, match=r"row 3.*column Adj Close"):
        load_csv(path)


CHANGED = "2024-01-02,40,20,100\n2024-01-03,44,11,100\n"  # a 2:1 split, adjusted in the third column


@pytest.mark.parametrize(
    "title",
    [
        "Adj Close",
        "Adj. Close",
        "adjusted_close",
        "AdjClose",
        "adjClose",
        "close_adj",
        "closeadj",
        "Adj Close**",
        "ADJ_CLOSE",
        "5. adjusted close",
        "Adjusted Close",
        "close_adjusted",
    ],
)
def test_adjusted_closes_of_the_large_providers_are_used(tmp_path, title):
    frame = load_csv(csv_file(tmp_path, f"Date,Close,{title},Volume\n{CHANGED}"))
    assert list(frame["Close"]) == [20, 11] and frame.attrs["provenance"]["adjusted"]


@pytest.mark.parametrize(
    "title", ["Adj", "Adjusted", "Adj Price", "Close (adj. for splits)", "PX_ADJ", "adj_cls"]
)
def test_a_column_like_an_adjusted_close_is_refused_by_name(tmp_path, title):
    path = csv_file(tmp_path, f"Date,Close,{title},Volume\n{CHANGED}")
    with pytest.raises(DataError) as caught:
        load_csv(path)
    assert f"{path}: the column {title!r} looks like an adjusted close" in str(caught.value)


@pytest.mark.parametrize("title", ["Unadjusted Close", "closeunadj", "Adj. Volume", "adjOpen", "adj_factor"])
def test_columns_about_something_else_are_ignored(tmp_path, title):
    frame = load_csv(csv_file(tmp_path, f"Date,Close,{title},Volume\n{CHANGED}"))
    assert list(frame["Close"]) == [40, 44] and not frame.attrs["provenance"]["adjusted"]


STACKED = (
    "Date,{},Close\n2024-01-02,MSFT,10\n2024-01-03,MSFT,11\n2024-01-02,AAPL,20\n2024-01-03,AAPL,22\n"
    "2024-01-04,AAPL,23\n"
)
WIDE = "Price,Close,Close\nTicker,MSFT,AAPL\nDate,,\n2024-01-02,10,20\n2024-01-03,11,22\n2024-01-04,12,23\n"


@pytest.mark.parametrize("text", [*(STACKED.format(title) for title in ("Ticker", "Symbol", "name")), WIDE])
def test_of_several_tickers_the_one_asked_for_is_read(tmp_path, text):
    path = csv_file(tmp_path, text)
    frame = load_prices("aapl", csv=path)
    assert list(frame["Close"]) == [20, 22, 23] and frame.attrs["provenance"]["ticker"] == "AAPL"
    assert any("2 rows of other tickers than AAPL left out (MSFT)" in n for n in notices(frame)) == (
        text != WIDE
    )
    with pytest.raises(DataError) as caught:
        load_prices("IBM", csv=path)
    assert f"{path} has prices of several tickers (AAPL, MSFT); name the one to read" in str(caught.value)


def test_rows_keep_their_numbers_when_other_tickers_are_left_out(tmp_path):
    path = csv_file(tmp_path, STACKED.format("Ticker").replace("22", "zero"))
    with pytest.raises(DataError, match="row 5, column Close: 'zero'"):
        load_prices("AAPL", csv=path)


@pytest.mark.parametrize(
    ("freq", "word"),
    [("W-WED", "weekly"), ("MS", "monthly"), ("QS", "quarterly"), ("YS", "yearly"), ("4D", "")],
)
def test_rows_rarer_than_daily_are_refused_with_that_word(tmp_path, freq, word):
    dates = pd.date_range("2015-01-01", periods=30, freq=freq)
    path = days_csv(tmp_path, dates)
    if not word:
        assert len(load_csv(path, calendar="24/7")) == 30
        return
    with pytest.raises(DataError, match=f"has {word} prices: its rows lie .* days apart .*give daily prices"):
        load_csv(path)


def test_intraday_prices_are_refused_with_that_word(tmp_path):
    stamps = pd.date_range("2024-01-02 09:30", periods=12, freq="h")
    beside = "".join(f"{stamp:%Y-%m-%d %H:%M},{i + 10}\n" for i, stamp in enumerate(stamps))
    apart = "".join(f"{stamp:%Y%m%d},{stamp:%H%M%S},{i + 10}\n" for i, stamp in enumerate(stamps))
    for text in (f"timestamp,close\n{beside}", f"<DATE>,<TIME>,<CLOSE>\n{apart}"):
        with pytest.raises(DataError, match=r"row 3, column Date: 2024-01-02 has several times.*intraday"):
            load_csv(csv_file(tmp_path, text))
