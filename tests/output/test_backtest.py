"""The tables of a backtest: every cell is the figure that its heading names."""

import pytest
from backtests import drawn_backtest

from trendlstm.evaluation.trading import BUY_AND_HOLD
from trendlstm.files import jsonable
from trendlstm.output.backtest import accounts_table, describe_backtest, errors_table, evidence_table
from trendlstm.output.tables import cell_text

PERIOD = ("2020-01-01", "2020-12-31")


@pytest.fixture(scope="module")
def result():
    return drawn_backtest(("AA", "BB"), rows=360, test_years=0.5, horizon=2)


def rows(table):
    return [dict(zip(table.columns, map(cell_text, row), strict=True)) for row in table.rows]


def number(text):
    return None if text == "–" else float(text.split()[0].replace("<", "").replace(",", "").rstrip(","))


def measures(result, row):
    ticker, model = row["Ticker"].replace("all", ""), row["Forecast"].lower()
    (one,) = [
        one
        for one in result.measures
        if (one.ticker, one.model, str(one.metrics.measured.step)) == (ticker, model, row["Step"])
    ]
    return one


def assert_shown(row, expected):
    for heading, value in expected.items():
        assert number(row[heading]) == (
            value if value is None else pytest.approx(value, abs=0.06, rel=2e-3)
        ), heading


def test_errors(result):
    table = errors_table(jsonable(describe_backtest(result)), ["AA", "BB"], PERIOD, 10)
    found = rows(table)
    assert len(found) == 2 * (2 + 4) and PERIOD[0] in table.title and PERIOD[1] in table.title
    for row in found:
        one = measures(result, row)
        measured, scale = one.metrics.measured, 1 if one.ticker else 100
        assert_shown(
            row,
            {
                "n": measured.n,
                "RMSE": scale * measured.rmse,
                "MAE": scale * measured.mae,
                "MASE": one.metrics.mase,
                "Skill": None if one.model == "persistence" else measured.skill,
                "Lag": one.metrics.lag,
                "In 80 % band % [95 %]": one.coverage and 100 * one.coverage.share,
                "in adaptive one": one.adaptive_coverage and 100 * one.adaptive_coverage.share,
            },
        )


def test_evidence(result):
    for row in rows(evidence_table(jsonable(describe_backtest(result)), ["AA", "BB"], 10)):
        one = measures(result, row)
        measured = one.metrics.measured
        assert_shown(
            row,
            {
                "DM": measured.diebold_mariano.p_value,
                "DM of prices": one.metrics.diebold_mariano_prices.p_value,
                "Clark-West": measured.clark_west.p_value,
                "Directions": measured.pesaran_timmermann.p_value,
                "Correlation": measured.correlation.test.p_value,
                "Claim": one.claim_p,
                "adjusted": one.adjusted_claim_p,
            },
        )


def test_accounts(result):
    costs = result.config.costs_bps
    found = rows(accounts_table(jsonable(describe_backtest(result)), ["AA", "BB"], costs, result.tries))
    assert [row["Strategy"] for row in found] == ["LSTM, long/flat", "LSTM, long/short", "buy and hold"]
    for row in found:
        strategy = row["Strategy"].removeprefix("LSTM, ")
        at = {
            one.account.costs_bps: one
            for one in result.accounts
            if one.ticker == "" and one.strategy == strategy
        }
        own = at[costs].performance
        assert_shown(
            row,
            {
                "% a year, 0 bps": 100 * at[0].performance.annualised_return,
                "10 bps": 100 * at[10].performance.annualised_return,
                "Volatility %": 100 * own.volatility,
                "Sharpe ± s.e.": own.sharpe.annualised,
                "PSR": own.sharpe.probabilistic,
                "DSR": None if strategy == BUY_AND_HOLD else at[costs].deflated.probability,
                "Exposure": own.exposure,
                "Trades": own.trades.counted,
            },
        )
        fall, dates = own.drawdown, at[costs].account.dates.astype("datetime64[D]")
        assert row["Drawdown %"] == f"{100 * fall.depth:.1f}, {dates[fall.peak]} to {dates[fall.trough]}"
        assert float(row["Turnover/y"]) == pytest.approx(own.turnover_per_year, abs=0.5)


def test_of_less_than_half_a_year_all_that_was_earned_is_shown():
    result = drawn_backtest(test_years=0.3)
    table = accounts_table(jsonable(describe_backtest(result)), ["AA"], 5.0, result.tries)
    at = [one.performance for one in result.accounts if one.ticker == "" and one.strategy == BUY_AND_HOLD]
    shown = rows(table)[-1]
    assert_shown(shown, {f"% in {at[0].days} days, 0 bps": 100 * at[0].total_return})
    assert_shown(shown, {"10 bps": 100 * at[-1].total_return})
