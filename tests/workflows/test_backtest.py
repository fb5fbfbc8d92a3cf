"""`tl.backtest`: its tables against obvious recomputations, a model that cheats, and noise."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from small_backtests import settings
from walks import random_walk

import trendlstm as tl
from trendlstm.evaluation.baselines import ALPHAS

PRICES = {"AA": random_walk(260, 0), "BB": random_walk(240, 1)["Close"]}
WINDOW = tl.WindowConfig(lag=4, horizon=3, split=(0.6, 0.3, 0.1))
COSTS = 20.0
KEYS = ["ticker", "model"]


@pytest.fixture(scope="module")
def found():
    """Two tickers, one of them without opens; two models of two seeds, three steps, a forecast every two sessions."""
    config = settings(
        window=WINDOW, models=("lstm", "rnn"), refit=6, stride=2, test_years=0.25, costs_bps=COSTS
    )
    return tl.backtest(PRICES, config, n_threads=2)


def closes(ticker):
    prices = PRICES[ticker]
    return prices if isinstance(prices, pd.Series) else prices["Close"]


def test_the_tables_have_the_columns_that_are_documented(found):
    documented = {
        "predictions": "ticker model cutoff origin step date naive forecast actual low high adaptive_low adaptive_high "
        "position",
        "members": "ticker model seed origin step date forecast",
        "equity": "ticker model strategy date position turnover return cost equity",
    }
    for name, columns in documented.items():
        assert getattr(found, name).columns.tolist() == columns.split()
    baselines = {"drift", "ridge", "persistence"}
    for table in (found.predictions, found.metrics):
        assert set(table["model"]) == {"lstm", "rnn", *baselines}
    assert set(found.metrics["ticker"]) == set(found.performance["ticker"]) == {"AA", "BB", ""}
    assert not found.metrics.duplicated([*KEYS, "step"]).any()
    assert not found.performance.duplicated([*KEYS, "strategy", "costs_bps"]).any()
    assert set(found.performance["costs_bps"]) == {0, 5, 10, COSTS}


def test_a_forecast_is_made_every_second_session_for_each_of_the_next_three(found):
    for (ticker, _), rows in found.predictions.groupby(KEYS):
        close = closes(ticker)
        dates = close.index
        first = dates.searchsorted(dates[-1] - pd.Timedelta(days=91), side="right") - 1
        expected = [
            (dates[first + (origin - first) // 6 * 6], dates[origin], step, dates[origin + step])
            for origin in range(first, len(close) - 3, 2)
            for step in (1, 2, 3)
        ]
        assert list(rows[["cutoff", "origin", "step", "date"]].itertuples(index=False, name=None)) == expected
        assert rows["naive"].tolist() == close[rows["origin"]].tolist()
        assert rows["actual"].tolist() == close[rows["date"]].tolist()
    persistence = found.predictions[found.predictions["model"] == "persistence"]
    assert (persistence["forecast"] == persistence["naive"]).all()


def test_a_forecast_is_the_mean_of_its_members(found):
    keys = [*KEYS, "origin", "step"]
    assert set(found.members["seed"]) == {0, 1}
    mean = np.exp(np.log(found.members.set_index(keys)["forecast"]).groupby(keys).mean())
    ensemble = found.predictions.set_index(keys)["forecast"].loc[mean.index]
    np.testing.assert_allclose(ensemble, mean, rtol=1e-6)


def test_the_step_that_ends_with_the_next_forecast_decides_the_position(found):
    followed = found.predictions["step"] == 2
    assert found.predictions["position"].isna().tolist() == (~followed).tolist()
    rows = found.predictions[followed]
    assert (rows["position"] == np.sign(rows["forecast"] - rows["naive"])).all()


def test_measures_are_those_of_the_predictions(found):
    table = found.metrics.set_index([*KEYS, "step"])
    by_date = []
    for (ticker, model, step), rows in found.predictions.groupby([*KEYS, "step"]):
        error = rows["forecast"] - rows["actual"]
        naive_error = rows["naive"] - rows["actual"]
        own = table.loc[ticker, model, step]
        assert own["n"] == len(rows)
        assert own["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
        assert own["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-12)
        skill = 1 - np.sqrt(np.mean(error**2) / np.mean(naive_error**2))
        assert own["skill"] == pytest.approx(skill, abs=1e-12)
        before = closes(ticker)[: rows["origin"].iloc[0]]
        assert own["mase"] == pytest.approx(
            np.mean(np.abs(error)) / before.diff(step).abs().mean(), rel=1e-12
        )
        if model != "persistence":
            hits = np.sign(rows["forecast"] - rows["naive"]) == np.sign(rows["actual"] - rows["naive"])
            assert own["hit_rate"] == pytest.approx(hits.mean(), rel=1e-12)
        if model in ("lstm", "rnn"):
            held = rows["actual"].between(rows["low"], rows["high"])
            assert own["coverage"] == pytest.approx(held.mean(), rel=1e-12)
            held = rows["actual"].between(rows["adaptive_low"], rows["adaptive_high"])
            assert own["adaptive_coverage"] == pytest.approx(held.mean(), rel=1e-12)
        square = np.log(rows["forecast"] / rows["actual"]) ** 2
        by_date.append(rows[["origin", "model", "step"]].assign(square=square))
    mean = pd.concat(by_date).groupby(["model", "step", "origin"])["square"].mean()
    for (model, step), squares in mean.groupby(["model", "step"]):
        assert table.loc["", model, step]["rmse"] == pytest.approx(np.sqrt(squares.mean()), rel=1e-12)


def account_of(rows, prices, strategy):
    """What an account earned, day by day, from the forecasts of one ticker and model that are followed."""
    trade = prices["Open"] if isinstance(prices, pd.DataFrame) else prices
    dates = trade.index
    equity, weight, days = 1.0, 0.0, []
    for forecast in rows.itertuples():
        origin = dates.get_loc(forecast.origin)
        sign = np.sign(forecast.forecast - forecast.naive)
        wanted = {"long/flat": max(sign, 0), "long/short": sign, "buy and hold": 1}[strategy]
        for start in (origin + 1, origin + 2):  # it is held until the next forecast can be traded
            if start + 1 < len(trade):
                turnover, weight = abs(wanted - weight), wanted
                gross = weight * (trade.iloc[start + 1] / trade.iloc[start] - 1)
                equity *= 1 + gross - turnover * COSTS / 1e4
                days.append((dates[start + 1], weight, turnover, gross, turnover * COSTS / 1e4, equity))
    return pd.DataFrame(days, columns=["date", "position", "turnover", "return", "cost", "equity"])


def test_equity_is_that_of_an_account_that_trades_at_the_next_open(found):
    assert found.trades_at == {"AA": "open", "BB": "close"}
    followed = found.predictions[found.predictions["step"] == 2]
    of_tickers = found.equity[found.equity["ticker"] != ""]
    last = found.performance.set_index([*KEYS, "strategy", "costs_bps"])["total_return"]
    for (ticker, model, strategy), table in of_tickers.groupby([*KEYS, "strategy"]):
        rows = followed[(followed["ticker"] == ticker) & (followed["model"] == (model or "lstm"))]
        expected = account_of(rows, PRICES[ticker], strategy)
        pd.testing.assert_frame_equal(
            table[expected.columns].reset_index(drop=True), expected, rtol=1e-12, check_dtype=False
        )
        assert last[ticker, model, strategy, COSTS] == pytest.approx(
            expected["equity"].iloc[-1] - 1, rel=1e-9
        )
    assert set(of_tickers["strategy"]) == {"long/flat", "long/short", "buy and hold"}


def samples(scaled, origins):
    """Windows of 4 and targets of 3 logarithms, from the last one of the window."""
    x = [scaled[t - 3 : t + 1] - scaled[t] for t in origins]
    y = [scaled[t + 1 : t + 4] - scaled[t] for t in origins]
    return np.array(x), np.array(y)


def test_baselines_are_fitted_on_the_rows_of_each_fold(found):
    close = closes("AA").to_numpy()
    log = np.log(close)
    dates = closes("AA").index
    forecasts = found.predictions[found.predictions["ticker"] == "AA"].pivot(
        index=["cutoff", "origin"], columns=["model", "step"], values="forecast"
    )
    cutoffs = forecasts.index.unique("cutoff")
    for cutoff in cutoffs[[0, 3, -1]]:
        known = dates.get_loc(cutoff) + 1
        training = known - round(known / 3)
        scaled = log / np.diff(log[:training]).std(ddof=1)
        x, y = samples(scaled, range(3, training - 3))
        validation_x, validation_y = samples(scaled, range(training - 1, known - 3))
        # a penalty without end leaves the mean
        fits = [Ridge(alpha=min(alpha, 1e30)).fit(x, y) for alpha in ALPHAS]
        best = min(fits, key=lambda fit: np.mean((fit.predict(validation_x) - validation_y) ** 2))
        mean_return = np.diff(log[:training]).mean()
        for origin, found_here in forecasts.loc[cutoff].iterrows():
            t = dates.get_loc(origin)
            drift = close[t] * np.exp(mean_return * np.arange(1, 4))
            np.testing.assert_allclose(found_here["drift"], drift, rtol=1e-12)
            change = best.predict(samples(scaled, [t])[0])[0] * log[1] / scaled[1]
            np.testing.assert_allclose(found_here["ridge"], close[t] * np.exp(change), rtol=1e-9)


def test_prices_come_in_the_usual_forms():
    frame = PRICES["AA"]
    config = settings(test_years=0.15, refit=20, seeds=1)
    columns = pd.MultiIndex.from_product([["AA"], frame.columns])
    forms = {
        "table": frame,
        "zone": frame.tz_localize("America/New_York"),
        "levels": frame.set_axis(columns, axis=1),
        "closes": frame["Close"],
    }
    found = tl.backtest(forms, config)
    assert found.failures == {}
    forecasts = found.predictions.pivot(index=["model", "date"], columns="ticker", values="forecast")
    for form in forms:
        assert (forecasts[form] == forecasts["table"]).all()


def opened_at_the_last_close(rows, seed):
    frame = random_walk(rows, seed)[["Close"]]
    return frame.assign(Open=frame["Close"].shift(fill_value=50.0))


def worth(frame, features):
    """A backtest of half a year, as far as it can be: the model is fitted twice."""
    config = settings(
        window=tl.WindowConfig(lag=2, features=features),
        fit=tl.FitConfig(epochs=40, learning_rate=0.02),
        test_years=0.5,
        refit=70,
        seeds=1,
    )
    found = tl.backtest({"WALK": frame}, config)
    measures = found.metrics.set_index(KEYS).loc["WALK", "lstm"]
    ends = found.performance[found.performance["costs_bps"] == 5].set_index(["ticker", "strategy"])
    return found, measures, ends.loc["WALK"]


def test_a_model_that_sees_tomorrow_shines():
    frame = opened_at_the_last_close(500, seed=5)
    tomorrow = np.log(frame["Close"].shift(-1) / frame["Close"]).fillna(0.0)
    found, measures, ends = worth(frame.assign(Tomorrow=tomorrow), ("Close", "Tomorrow"))
    assert found.evidence["lstm"].is_evidence and "There is evidence" in found.verdict
    assert measures["skill"] > 0.5 and measures["hit_rate"] > 0.9 and measures["claim_p"] < 1e-6
    # long or short, it earns nearly every change: 1.2 % a day
    assert ends["total_return"]["long/short"] > 2 > ends["total_return"]["buy and hold"]
    assert ends["total_return"]["long/flat"] > ends["total_return"]["buy and hold"] + 0.5
    assert ends["sharpe"]["long/short"] > 10 and ends["deflated_sharpe"]["long/short"] > 0.99


def test_noise_does_not():
    found, measures, ends = worth(opened_at_the_last_close(500, seed=5), ("Close",))
    assert not found.evidence["lstm"].is_evidence and "There is evidence" not in found.verdict
    assert measures["skill"] < 0.03
    assert measures["hit_rate_low"] < 0.5 < measures["hit_rate_high"]
    assert abs(ends["sharpe"]["long/short"]) < 3 and ends["deflated_sharpe"]["long/short"] < 0.95


# ---------------------------------------------------------------------------------------- predicted distributions


@pytest.mark.parametrize("scaling", ["window", "standard"])
@pytest.mark.parametrize(
    "loss", [{"loss": "gaussian"}, {"loss": "pinball", "quantiles": (0.05, 0.3, 0.5, 0.9)}]
)
def test_distributions_are_measured_beside_the_changes_of_each_folds_training_rows(loss, scaling):
    window = tl.WindowConfig(lag=4, horizon=2, split=(0.6, 0.3, 0.1), scaling=scaling)
    config = settings(window=window, refit=10, seeds=1, test_years=0.25, **loss)
    found = tl.backtest(PRICES, config, n_threads=2)
    table = found.predictions[found.predictions["model"] == "lstm"]
    metrics = {(one.ticker, one.metrics.measured.step): one for one in found.measures if one.model == "lstm"}
    together = {}
    for (ticker, step), rows in table.groupby(["ticker", "step"]):
        held = rows["actual"].between(rows["low"], rows["high"])
        own = metrics[ticker, step].distribution
        assert (own.bands[0].covered, own.n) == (held.sum(), len(rows))
        assert metrics[ticker, step].coverage.share == pytest.approx(held.mean())
        assert (rows["low"] < rows["forecast"]).all() and (rows["forecast"] < rows["high"]).all()

        def changes(later, before):
            return np.log(later / before) if scaling == "window" else later / before - 1

        close, losses, level = closes(ticker).to_numpy(), [], np.array(own.levels)
        for row in rows.itertuples():
            learned = closes(ticker).index.get_loc(row.cutoff) + 1
            train = close[: learned - round(learned / 3)]  # a third of what is learned from validates
            past = changes(train[step:], train[:-step])[: len(train) - 2]
            error = changes(row.actual, row.naive) - np.quantile(past, level)
            losses.append(np.maximum(level * error, (level - 1) * error))
        np.testing.assert_allclose(own.baseline_pinball, np.mean(losses, axis=0), rtol=1e-9)
        if not own.is_exact:
            assert own.baseline_crps == pytest.approx(2 * np.mean(losses))
        together.setdefault(step, []).append(own)
    for step, own in together.items():
        pooled = metrics["", step].distribution
        assert pooled.n == sum(one.n for one in own)
        assert pooled.crps == pytest.approx(
            np.average([one.crps for one in own], weights=[one.n for one in own])
        )
    assert {"crps", "baseline_crps", "crps_skill", "crps_diebold_mariano_p"} <= set(found.metrics)


def test_baselines_have_no_distribution_and_numbers_none_either(found):
    assert all(one.distribution is None for one in found.measures)
    assert "crps" not in found.metrics
