"""`LSTMRegressor` as the regressor of skforecast, beside the same recursion by hand."""

import numpy as np
import pandas as pd
import pytest
from documents import snippets
from recursions import LAG, SETTINGS, STEPS, WAVE, forecast_by_hand
from skforecast.model_selection import TimeSeriesFold, grid_search_forecaster
from skforecast.recursive import ForecasterRecursive
from sklearn.preprocessing import StandardScaler

from trendlstm.sklearn import LSTMRegressor

SERIES = pd.Series(WAVE, index=pd.date_range("2020-01-01", periods=len(WAVE), freq="D"), name="wave")


def forecast(**settings):
    forecaster = ForecasterRecursive(LSTMRegressor(**SETTINGS, **settings), lags=LAG)
    forecaster.fit(y=SERIES)
    return forecaster.predict(steps=STEPS).to_numpy()


def test_its_recursion_is_the_one_by_hand():
    by_hand = forecast_by_hand()
    np.testing.assert_allclose(forecast(newest_first=True), by_hand, rtol=1e-6)
    assert np.abs(forecast(newest_first=False) - by_hand).max() > 0.1  # a network that reads time backwards


@pytest.mark.parametrize("cell", ["rnn", "ann"])
def test_it_scales_searches_and_refits(cell):
    estimator = LSTMRegressor(**SETTINGS, cell=cell, newest_first=True, n_threads=1)
    forecaster = ForecasterRecursive(estimator, lags=LAG, transformer_y=StandardScaler())
    results = grid_search_forecaster(
        forecaster,
        y=SERIES,
        cv=TimeSeriesFold(steps=5, initial_train_size=60, refit=True),
        param_grid={"hidden_size": [2, 4]},
        metric="mean_absolute_error",
        n_jobs=1,
        verbose=False,
        show_progress=False,
    )
    assert sorted(results["hidden_size"]) == [2, 4]
    assert np.isfinite(results["mean_absolute_error"]).all()
    assert forecaster.estimator.network_.config.hidden_size == results["hidden_size"].iloc[0]


def test_the_page_shows_what_works():
    page, names = snippets("scikit-learn.md"), {"LSTMRegressor": LSTMRegressor}
    exec(page["Samples"] + page["skforecast"], names)
    assert np.isfinite(names["next_days"]).all() and len(names["next_days"]) == 5
