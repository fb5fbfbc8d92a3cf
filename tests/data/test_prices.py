"""What every price table must satisfy: checks, gaps and the hash of its rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from price_tables import prices_frame

from trendlstm.data.prices import clean_prices, rows_sha256
from trendlstm.errors import DataError


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(0, 49),
    column=st.sampled_from(["Open", "High", "Low", "Close"]),
    value=st.sampled_from([0.0, -1.0, np.inf, -np.inf, np.nan, 1e-9, 1e9]),
)
def test_no_bad_price_passes(row, column, value):
    if (column, value) in {("High", 1e9), ("Low", 1e-9)}:  # contradicts no other price
        return
    frame = prices_frame(50)
    frame.iloc[row, frame.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=f"{frame.index[row]:%Y-%m-%d}"):
        clean_prices(frame, "prices")


def test_rounding_of_adjusted_prices_is_no_contradiction():
    frame = prices_frame(50)
    frame["High"] = frame[["Open", "Close"]].max(axis=1) * (1 - 1e-9)
    clean_prices(frame, "prices")


def test_hash_tells_rows_apart():
    frame = prices_frame(5)
    moved = frame.set_axis(frame.index + pd.Timedelta(days=1))
    nudged = frame.copy()
    nudged.iloc[2, 3] = np.nextafter(nudged.iloc[2, 3], np.inf)
    variants = [frame, moved, nudged, frame.iloc[:4], frame.rename(columns={"Open": "Low", "Low": "Open"})]
    assert len({rows_sha256(variant) for variant in variants}) == len(variants)
    assert rows_sha256(frame) == rows_sha256(frame.set_axis(frame.index.as_unit("s")))
