"""What a chart gives to the script."""

import numpy as np
import pandas as pd
import pytest

from trendlstm.output.plots.style import PALETTE
from trendlstm.output.report import charts
from trendlstm.output.report.charts import Chart, Line, Rows, band


def chart(rows, **settings):
    return Chart("key", "title", "note", "x", "y", [Line("a", "blue")], [rows], **settings).to_dict()


def test_dates_are_days_and_values_keep_six_digits():
    dates = pd.to_datetime(["1970-01-01", "1970-01-02", "2013-03-01"])
    (found,) = chart(Rows(dates, [[1.23456789, np.nan, 1e-9]], marks=[(dates[2], "m")]))["sets"]
    assert found["x"] == [0, 1, (dates[2] - dates[0]).days]
    assert found["values"] == [[1.23457, None, 1e-9]]
    assert found["marks"] == [{"x": found["x"][2], "label": "m"}]


def test_numbers_stay_numbers_and_what_is_not_finite_is_left_out():
    found = chart(Rows(range(1, 4), [np.array([np.inf, -np.inf, 2.0])]), dates=False, log=True)
    assert found["sets"][0]["x"] == [1, 2, 3] and found["sets"][0]["values"] == [[None, None, 2.0]]
    assert found["y"] == "y, log scale"


def test_a_band_is_its_lower_edge_and_then_itself():
    edge, filled = band("80 %", "sky")
    assert (edge.shape, filled.shape) == ("edge", "band") and edge.label == filled.label


@pytest.mark.parametrize("colour", PALETTE)
def test_the_style_sheet_has_every_colour(colour):
    css = (charts.__spec__.origin).replace("charts.py", "assets/report.css")
    with open(css) as file:
        assert f"--{colour}: light-dark(" in file.read()
