"""Numbers from cells: one decimal mark per file, and never a silent factor of a thousand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from price_tables import csv_file, load_csv

from trendlstm.data.number_cells import read_numbers
from trendlstm.errors import DataError, OptionError


def closes(folder, *texts, separator=",", **options):
    quote = '"' if separator == "," else ""
    days = pd.bdate_range("2024-01-02", periods=len(texts))
    rows = "".join(f"{day:%Y-%m-%d}{separator}{quote}{text}{quote}\n" for day, text in zip(days, texts))
    return load_csv(csv_file(folder, f"Date{separator}Close\n{rows}"), **options)["Close"].tolist()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_whole_file_tells_the_decimal_mark(tmp_path, separator):
    def read(*texts):
        return closes(tmp_path, *texts, separator=separator)

    assert read("1,072", "0,870") == [1.072, 0.87]  # no group of thousands begins with 0
    assert read("1,072", "1,0725") == [1.072, 1.0725]
    assert read("1.072,50", "987") == [1072.5, 987]
    assert read("1,072.50", "987") == [1072.5, 987]
    assert read("1,072", "987.5") == [1072, 987.5]
    assert read("1,234,567", "1,072") == [1234567, 1072]
    assert read("1,072", "1,072,000") == [1072, 1072000]
    assert read("10,5", "11") == [10.5, 11]
    assert read("$1,010.5", "$987.25") == [1010.5, 987.25]
    assert read("1e3", "1.5E2") == [1000, 150]


@pytest.mark.parametrize("texts", [("1,072", "1,068"), ("1,072", "987"), ("12,345", "12")])
def test_what_can_be_read_in_two_ways_is_refused_and_the_option_settles_it(tmp_path, texts):
    first = int(texts[0].replace(",", ""))
    with pytest.raises(DataError) as caught:
        closes(tmp_path, *texts)
    assert "row 2, column Close" in str(caught.value)
    assert str(caught.value).endswith(
        f"{texts[0]!r} may be {first} or {first / 1000:g}, and no number of the file tells which; "
        "--decimal . or --decimal , settles it."
    )
    assert closes(tmp_path, *texts, decimal=".")[0] == first
    assert closes(tmp_path, *texts, decimal=",")[0] == first / 1000


def test_points_between_commas_are_decimal_points_and_after_semicolons_it_is_not_known(tmp_path):
    path = csv_file(tmp_path, "Date,Close\n2024-01-02,1.072\n2024-01-03,1.068\n")
    assert list(load_csv(path)["Close"]) == [1.072, 1.068]
    with pytest.raises(DataError, match=r"'1.072' may be 1.072 or 1072.*--decimal"):
        closes(tmp_path, "1.072", "1.068", separator=";")


def test_a_file_with_both_marks_is_refused_at_the_odd_one(tmp_path):
    with pytest.raises(
        DataError, match=r"row 4, column Close: '10,5' is not a number with a decimal point, unlike"
    ):
        closes(tmp_path, "10.25", "10.5", "10,5")
    with pytest.raises(DataError, match=r"row 3.*'10.25' is not a number with a decimal comma, unlike"):
        closes(tmp_path, "10,5", "10.25", "10,75")
    with pytest.raises(DataError, match=r"row 2.*'10,25' is not a number with a decimal point"):
        closes(tmp_path, "10,25", decimal=".")


@pytest.mark.parametrize("mark", ["", ";", "comma", 0])
def test_only_point_and_comma_are_decimal_marks(tmp_path, mark):
    with pytest.raises(OptionError, match=r"decimal must be one of . and ,"):
        closes(tmp_path, "10", decimal=mark)


def test_volumes_in_thousands_millions_and_billions(tmp_path):
    path = csv_file(
        tmp_path, "Date,Close,Volume\n2024-01-02,10,12.3M\n2024-01-03,10.5,1.07B\n2024-01-04,11,870K\n"
    )
    assert list(load_csv(path)["Volume"]) == [12.3e6, 1.07e9, 870e3]


@settings(max_examples=200, deadline=None)
@given(
    prices=st.lists(st.integers(1, 10**7), min_size=2, max_size=5),
    places=st.integers(0, 4),
    decimal=st.sampled_from(".,"),
    grouped=st.booleans(),
    separator=st.sampled_from(",;\t"),
)
def test_however_numbers_are_written_they_are_read_right_or_refused(
    prices, places, decimal, grouped, separator
):
    thousands = {".": ",", ",": "."}[decimal] if grouped else ""
    texts = []
    for price in prices:
        whole, part = divmod(price, 10**places)
        text = f"{whole:,}".replace(",", thousands)
        texts.append(f"{text}{decimal}{part:0{places}d}" if places else text)
    assume(
        separator != "," or "," in "".join(texts) or decimal == "."
    )  # else points only, and commas between

    def read(**given):
        return read_numbers({"Close": texts}, lambda i, name: f"row {i}", separator=separator, **given)[
            "Close"
        ]

    expected = [price / 10**places for price in prices]
    np.testing.assert_allclose(read(decimal=decimal), expected, rtol=1e-15)
    try:
        found = read()
    except DataError as error:
        assert "--decimal" in str(error)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-15)
