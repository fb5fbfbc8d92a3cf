"""Files that hold a table: what kinds are read, and what is no table."""

import gzip
import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
from price_tables import csv_file, load_csv, prices_frame

from trendlstm.errors import DataError


def test_gzip_is_read_whatever_its_name(tmp_path):
    frame = prices_frame(30)
    for name in ("prices.csv.gz", "prices.csv"):
        path = csv_file(tmp_path, gzip.compress(frame.to_csv().encode()), name)
        pd.testing.assert_frame_equal(load_csv(path), frame)


@pytest.mark.parametrize("zone", [None, "America/New_York"])
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("index", [True, False])
def test_parquet(tmp_path, zone, levels, index):
    pytest.importorskip("pyarrow")
    frame = prices_frame(30)
    saved = frame.tz_localize(zone)
    if levels == 2:
        saved.columns = pd.MultiIndex.from_product([frame.columns, ["MSFT"]], names=["Price", "Ticker"])
    if not index:
        saved = saved.reset_index()
    path = tmp_path / "prices.parquet"
    saved.to_parquet(path)
    pd.testing.assert_frame_equal(load_csv(path), frame)


def test_rows_of_parquet_are_counted_below_a_header(tmp_path):
    pytest.importorskip("pyarrow")
    frame = prices_frame(30)
    frame.iloc[4, 3] = -1
    frame.to_parquet(tmp_path / "prices.parquet")
    with pytest.raises(DataError, match=r"row 6 \(2020-01-07\), column Close: -1 is not"):
        load_csv(tmp_path / "prices.parquet")


def test_xlsx_with_dates_texts_and_a_title_above(tmp_path):
    pytest.importorskip("openpyxl")
    frame = prices_frame(30)
    path = tmp_path / "prices.xlsx"
    frame.to_excel(path)
    pd.testing.assert_frame_equal(load_csv(path), frame)
    frame.map(lambda price: f"{price:_.4f}".replace(".", ",").replace("_", ".")).set_axis(
        frame.index.strftime("%d.%m.%Y")
    ).to_excel(path, index_label="Datum")
    pd.testing.assert_frame_equal(load_csv(path), frame.round(4))
    frame.iloc[4, 3] = -1
    frame.to_excel(path, startrow=2)
    with pytest.raises(DataError, match=r"row 8 \(2020-01-07\), column Close: -1 is not"):
        load_csv(path)


def test_a_spreadsheet_that_took_days_for_months_is_refused(tmp_path):
    pytest.importorskip("openpyxl")
    table = pd.DataFrame(
        {
            "Date": [pd.Timestamp("2024-11-01"), pd.Timestamp("2024-12-01"), "13/01/2024"],
            "Close": [10.0, 11.0, 12.0],
        }
    )
    path = tmp_path / "prices.xlsx"
    table.to_excel(path, index=False)
    with pytest.raises(
        DataError, match=r"row 4, column Date: only some of the dates are dates.*'13/01/2024'"
    ):
        load_csv(path)


@pytest.mark.parametrize(
    ("content", "kind", "engine"),
    [(b"PK\x03\x04", "xlsx", "openpyxl"), (b"PAR1....PAR1", "parquet", "pyarrow")],
)
def test_a_missing_engine_is_one_sentence_and_a_damaged_file_another(
    tmp_path, monkeypatch, content, kind, engine
):
    path = csv_file(tmp_path, content, f"prices.{kind}")
    if importlib.util.find_spec(engine):
        with pytest.raises(
            DataError, match=rf"prices\.{kind} cannot be read as {kind}: it is damaged; save it anew\.$"
        ):
            load_csv(path)
    for module in {engine, "fastparquet"}:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError) as caught:
        load_csv(path)
    assert str(caught.value) == (
        f"{path}: pandas reads {kind} with {engine}, which is not installed: pip install {engine}."
    )


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["is empty"]),
        (b" \n\n", ["is empty"]),
        (gzip.compress(b"\n", mtime=0), ["is empty"]),
        (b"Date,Close\n", ["no rows"]),
        (b"\n\nDate,Close\n\n", ["no rows"]),
        (b"Price,Close\nTicker,MSFT\nDate,\n", ["no rows"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["not UTF-8 text"]),
        (b"Date,Close\n2024-01-02,1\0\n", ["binary"]),
        (
            gzip.compress(b"Date,Close\n2024-01-02,10\n", mtime=0)[:-9],
            ["is a damaged gzip file: get it anew."],
        ),
        ("Date,Close\n2024-01-02,10\n".encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
        ("Date,Close\n2024-01-02,10\n".encode("utf-16-be"), ["UTF-16"]),
        (b"<!DOCTYPE html>\n<html><body>Date,Close</body></html>", ["web page (HTML)"]),
        (b"\n  <HTML lang='en'>", ["web page (HTML)"]),
        (
            b'Date,Close\n2024-01-02,"10\n2024-01-03,11\n',
            ["is not CSV: a quotation mark may be missing; save it anew with one row a line."],
        ),
    ],
)
def test_files_that_are_no_table(tmp_path, content, words):
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


@pytest.mark.parametrize("above", ["", "\n\n", " \n\r\n"])
def test_rows_are_counted_from_the_top_of_the_file(tmp_path, above):
    lines = above.count("\n")
    path = csv_file(tmp_path, f"{above}Date,Close\n2024-01-02,10\n\n2024-01-03,x\n")
    with pytest.raises(DataError, match=f"row {4 + lines}, column Close: 'x'"):
        load_csv(path)
    path = csv_file(tmp_path, f"{above}Date,Close\n2024-01-02,10\n\n2024-01-03,1,2\n")
    with pytest.raises(DataError, match=f"row {4 + lines} has 3 columns"):
        load_csv(path)


def test_every_bit_of_a_price_survives_its_text(tmp_path):
    frame = prices_frame(300)
    path = tmp_path / "prices.csv"
    frame.to_csv(path)
    assert np.array_equal(load_csv(path).to_numpy(), frame.to_numpy())
