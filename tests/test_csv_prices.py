"""Prices from files: what is understood, and what is refused with file, row and column."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from price_tables import csv_file, load_csv, notices, prices_frame

from trendlstm.errors import DataError


def test_yahoo_download_format_is_adjusted(tmp_path):
    path = csv_file(tmp_path, "Date,Open,High,Low,Close,Adj Close,Volume\n"
                              "2024-01-02,10.0,12.0,9.0,11.0,5.5,100\n"
                              "2024-01-03,11.0,13.0,10.0,12.0,12.0,200\n")  # fmt: skip
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
    {"Open": [1010.5, 1020.25], "High": [1100.0, 1200.0], "Low": [1000.0, 1010.0], "Close": [1050.0, 1060.5],
     "Volume": [1234567.0, 89.0]},
    index=pd.DatetimeIndex(["2024-02-01", "2024-02-12"], name="Date").as_unit("ns"),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        # Stooq
        "Date,Open,High,Low,Close,Volume\n2024-02-01,1010.5,1100,1000,1050,1234567\n"
        "2024-02-12,1020.25,1200,1010,1060.5,89\n",
        # Stooq's bulk files
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "X.US,D,20240201,000000,1010.5,1100,1000,1050,1234567,0\n"
        "X.US,D,20240212,000000,1020.25,1200,1010,1060.5,89,0\n",
        # Nasdaq: newest first, US dates, dollars
        "Date,Close/Last,Volume,Open,High,Low\n02/12/2024,$1060.50,89,$1020.25,$1200.00,$1010.00\n"
        "02/01/2024,$1050.00,1234567,$1010.50,$1100.00,$1000.00\n",
        # thousands separators, quotes, blanks, a byte-order mark, Windows line ends, a blank line, times after dates
        '\ufeffdate, OPEN ,high,low,close,volume\r\n2024-02-12 00:00:00-05:00,"1,020.25", 1200 ,"1,010","$1,060.50",89'
        '\r\n\r\n2024-02-01T00:00:00Z,"1,010.50","1,100","1,000","1,050","1,234,567"\r\n',
        # yfinance's table of one ticker, and grouped by ticker
        "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n2024-02-01,1050,1100,1000,1010.5,1234567\n"
        "2024-02-12,1060.5,1200,1010,1020.25,89\n",
        "Ticker,X,X,X,X,X\nPrice,Open,High,Low,Close,Volume\nDate,,,,,\n2024-02-01,1010.5,1100,1000,1050,1234567\n"
        "2024-02-12,1020.25,1200,1010,1060.5,89\n",
    ],
)
def test_formats(tmp_path, text):
    frame = load_csv(csv_file(tmp_path, text))
    pd.testing.assert_frame_equal(frame, EXPECTED)
    assert not frame.attrs["provenance"]["adjusted"]
    order_said = any("newest to oldest" in notice for notice in notices(frame))
    assert order_said == (text.index("12") < text.index("01") if "/" in text or "\ufeff" in text else False)


def test_date_and_close_alone_with_a_calendar(tmp_path):
    path = csv_file(tmp_path, "Date,Close,Note\n1/2/2024,10,a\n1/3/2024,11,b\n")
    frame = load_csv(path, calendar="XLON")
    assert list(frame.columns) == ["Close"] and frame.index[1] == pd.Timestamp("2024-01-03")
    assert frame.attrs["provenance"]["calendar"] == "XLON"


def test_volume_without_any_value_is_left_out_and_said(tmp_path):
    frame = load_csv(csv_file(tmp_path, "Date,Close,Volume\n2024-01-02,10,N/A\n2024-01-03,11,N/A\n"))
    assert list(frame.columns) == ["Close"] and "Volume has no values" in notices(frame)[0]


def test_a_day_without_trade_is_no_fault(tmp_path):
    frame = load_csv(csv_file(tmp_path, "Date,Close,Volume\n2024-01-02,10,0\n2024-01-03,11,5\n"))
    assert list(frame["Volume"]) == [0, 5]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), repeated=st.lists(st.integers(0, 11), max_size=4),
       empty=st.integers(0, 3), dollars=st.booleans(), us=st.booleans())  # fmt: skip
def test_order_repeats_and_empty_rows_lose_nothing(tmp_path, order, repeated, empty, dollars, us):
    frame = prices_frame(12).drop(columns="Volume") * 100
    lines = [
        ",".join([f"{day:%m/%d/%Y}" if us else f"{day:%Y-%m-%d}", *(f'"${v:,.4f}"' if dollars else f"{v!r}" for v in
                  map(float, row))])
        for day, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]  # fmt: skip
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
        (b"", ["is empty"]),
        (b" \n\n", ["is empty"]),
        (b"Date,Close\n", ["no rows"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["not UTF-8 text"]),
        (b"Date,Close\n2024-01-02,1\0\n", ["binary"]),
        (gzip.compress(b"Date,Close\n2024-01-02,10\n"), ["not UTF-8 text"]),
        ("Date,Close\n2024-01-02,10\n".encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
        ("Date,Close\n2024-01-02,10\n".encode("utf-16-be"), ["UTF-16"]),
        (b"<!DOCTYPE html>\n<html><body>Date,Close</body></html>", ["web page (HTML)"]),
        (b"\n  <HTML lang='en'>", ["web page (HTML)"]),
        (b"Date,Open,High\n2024-01-02,1,2\n", ["no column Close", "Date, Open, High"]),
        (b"Close\n10\n", ["no column Date"]),
        (b"Date;Close\n2024-01-02;10\n", ["has semicolons between its columns", "commas between them"]),
        (b"Date;Close\n2024-01-02;10,5\n", ["has semicolons between its columns", "points, not commas"]),
        (b"Date\tClose\n2024-01-02\t10\n", ["has tabs between its columns"]),
        (
            b"Exceeded the daily hits limit\nx",
            ["no column Date", "'Exceeded the daily hits limit'", "name the columns"],
        ),
        (
            b"Price,Close,Close\nTicker,MSFT,AAPL\nDate,,\n2024-01-02,1,2\n",
            ["several tickers (AAPL, MSFT)", "save one of them alone"],
        ),
        (b"Price,Close\nTicker,MSFT\nDate,\n", ["no rows"]),
        (b"Date,Close,Close/Last\n2024-01-02,1,1\n", ["two columns for Close"]),
    ],
)
def test_files_that_are_no_price_table(tmp_path, content, words):
    path = csv_file(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load_csv(path)
    message = str(caught.value)
    assert str(path) in message and all(word in message for word in words), message
    assert caught.value.exit_code == 1 and message.endswith(".")


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_missing_file_and_folder(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        load_csv(tmp_path / name)


@pytest.mark.parametrize(
    "rows, words",
    [
        ([OK, "2024-02-30,10,12,9,11,100"], ["row 3", "column Date", "2024-02-30"]),
        ([OK, "", "2024-13-01,10,12,9,11,100"], ["row 4", "column Date", "2024-13-01"]),
        ([OK, "01/03/2024,10,12,9,11,100"], ["row 3", "column Date", "01/03/2024", "YYYY-MM-DD"]),
        (["01/12/2024,10,12,9,11,100", "13/12/2024,10,12,9,11,100"], ["row 3", "column Date", "13/12/2024"]),
        (
            ["01/12/2024,10,12,9,11,100", "13/12/2024,10,12,9,11,100"],
            ["row 3", "day first (DD/MM/YYYY)", "YYYY-MM-DD"],
        ),
        (["12/01/2024,10,12,9,11,100", "13/13/2024,10,12,9,11,100"], ["row 3", "correct or remove the row"]),
        (["20240112,10,12,9,11,100", "2024113,10,12,9,11,100"], ["row 3", "column Date", "2024113"]),
        (["Monday,10,12,9,11,100"], ["row 2", "column Date", "Monday"]),
        ([OK, "2024-01-03,10,12,9,abc,100"], ["row 3", "column Close", "'abc'"]),
        ([OK, "2024-01-03,10,12,9,1_1,100"], ["row 3", "column Close", "'1_1'"]),
        ([OK, '2024-01-03,10,12,9,"11,5",100'], ["row 3", "column Close", "'11,5'"]),
        ([OK, "2024-01-03,10,12,9,11,12.5M"], ["row 3", "column Volume", "'12.5M'"]),
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
        ([OK, "2024-01-03,10,12"], ["row 3", "has 3 columns"]),
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
    with pytest.raises(DataError, match=r"row 3 .*column Adj Close"):
        load_csv(path)
