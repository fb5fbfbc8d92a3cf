"""The table of predicted distributions: every cell is the figure that its heading names."""

import pytest
from walks import trained

from trendlstm.evaluation.distributions import QuantileBand
from trendlstm.output.distributions import distributions_table
from trendlstm.output.model_card import model_card
from trendlstm.output.runs import bands_of, bands_record, describe_assessment, write_run
from trendlstm.output.tables import cell_text
from trendlstm.output.train import forecast_page

LOSSES = {
    "pinball": {"loss": "pinball", "quantiles": (0.1, 0.25, 0.5, 0.9)},
    "gaussian": {"loss": "gaussian"},
}


@pytest.fixture(scope="module", params=LOSSES)
def result(request):
    return trained(horizon=3, **LOSSES[request.param])


def table_of(result):
    found = [("lstm", one) for one in describe_assessment(result.assessment)["distributions"]]
    return distributions_table(found, "window")


def rows(table):
    return [dict(zip(table.columns, map(cell_text, row), strict=True)) for row in table.rows]


def test_every_measure_stands_under_its_heading(result):
    found = rows(table_of(result))
    first, _, last = result.assessment.distributions
    assert [(row["Forecast"], row["Step"]) for row in found] == [
        (name, step) for step in "13" for name in ("lstm", "past changes")
    ]
    for row, (one, prefix) in zip(
        found, [(one, prefix) for one in (first, last) for prefix in ("", "baseline_")], strict=True
    ):
        expected = {"CRPS": 100 * getattr(one, f"{prefix}crps")}
        for level, loss in zip(one.levels, getattr(one, f"{prefix}pinball"), strict=True):
            expected[f"Pinball {100 * level:g} %"] = 100 * loss
        for band in getattr(one, f"{prefix}bands"):
            expected[f"In {100 * band.nominal:g} % [95 %]"] = 100 * band.coverage
        if not prefix:
            expected |= {"Skill": one.skill, "DM p": one.diebold_mariano.p_value}
        assert expected.keys() | {"Forecast", "Step"} | {"Skill", "DM p"} == row.keys()
        for heading, value in expected.items():
            shown = float(row[heading].split()[0].replace("<", ""))
            assert shown == pytest.approx(value, abs=0.06 if heading[:2] == "In" else 6e-4)
    legend = " ".join(table_of(result).legend)
    assert ("approximated" in legend) == (result.config.network.loss == "pinball")


def test_the_forecast_names_the_quantiles_of_its_band_and_what_they_held(result):
    table = forecast_page(result.forecast, "Forecast", result.assessment.bands)
    lower, upper = result.config.network.levels[0], result.config.network.levels[-1]
    assert f"{100 * lower:g} % quantile" in table.columns and f"{100 * upper:g} % quantile" in table.columns
    first, *_, last = result.assessment.bands
    legend = " ".join(table.legend)
    for band in (first, last):
        assert f"{100 * band.coverage:.1f} % [{100 * band.low:.0f}, {100 * band.high:.0f}]" in legend
    assert "volatility" not in legend and "dash" not in legend


def test_a_recursive_forecast_says_why_later_sessions_have_no_quantiles():
    result = trained(**LOSSES["pinball"])
    table = forecast_page(result.forecast, "Forecast", result.assessment.bands)
    assert [cell_text(row[3]) == "–" for row in table.rows] == [False] + 9 * [True]
    assert "--horizon" in table.legend[-1]


def test_bands_make_a_round_trip_through_json(result):
    document = {"metrics": {"test": {}}, "forecast_bands": bands_record(result.assessment.bands)}
    bands, why = bands_of(document)
    assert bands == result.assessment.bands and all(isinstance(band, QuantileBand) for band in bands)
    assert why == ""


def test_the_model_card_has_them(result, tmp_path):
    card = model_card(write_run(tmp_path, result))
    names = {
        "pinball": "mean pinball loss at 0.1, 0.25, 0.5, 0.9",
        "gaussian": "mean negative log-likelihood",
    }
    assert f"| Loss | {names[result.config.network.loss]} |" in card
    for row in table_of(result).rows:
        assert row[-3] in card
