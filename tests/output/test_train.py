"""The tables of a training run: every cell is the figure that its heading names."""

import pytest
from walks import trained

from trendlstm.output.runs import describe_assessment
from trendlstm.output.tables import cell_text
from trendlstm.output.train import metrics_table, recursive_table


@pytest.fixture(scope="module")
def result():
    return trained(seeds=2, epochs=2)


def rows(table):
    """The cells of every row, by the headings."""
    return [dict(zip(table.columns, map(cell_text, row), strict=True)) for row in table.rows]


def number(text):
    return None if text == "–" else float(text.split()[0].replace("<", "").replace(",", ""))


def test_every_measure_stands_under_its_heading(result):
    found = rows(metrics_table(describe_assessment(result.assessment), "lstm"))
    keys = [(split, model) for split, models in result.assessment.metrics.items() for model in models]
    assert [(row["Rows"], row["Forecast"].replace("lstm", "model")) for row in found] == keys
    for row, (split, model) in zip(found, keys, strict=True):
        (one,) = result.assessment.metrics[split][model]
        expected = {
            "RMSE": one.rmse,
            "MAE": one.mae,
            "MAPE %": one.mape,
            "Skill": one.skill,
            "DM p": one.diebold_mariano.p_value,
            "CW p": one.clark_west.p_value,
            "PT p": one.pesaran_timmermann.p_value,
            "Corr.": one.correlation.value,
            "p": one.correlation.test.p_value,
            "Hit rate % [95 %]": None if one.hit_rate.rate is None else 100 * one.hit_rate.rate,
        }
        assert expected.keys() | {"Rows", "Forecast"} == row.keys()
        for heading, value in expected.items():
            assert number(row[heading]) == (
                value if value is None else pytest.approx(value, abs=0.06, rel=2e-3)
            )
        spread = f"± {result.assessment.spread[split]:,.4f}"
        assert row["RMSE"].endswith(spread) == (model == "model")


def test_the_recursive_forecast_is_measured_beside_a_flat_line(result):
    table = recursive_table(describe_assessment(result.assessment), "2020-01-02")
    assert "since 2020-01-02: 48 test rows" in table.title
    for row, one in zip(rows(table), result.assessment.recursive_metrics.values(), strict=True):
        for heading, value in {
            "RMSE": one.rmse,
            "MAE": one.mae,
            "MAPE %": one.mape,
            "Skill": one.skill,
        }.items():
            assert number(row[heading]) == pytest.approx(value, abs=0.006)
