"""`LSTMRegressor` as the regressor of sktime's reduction, beside the same forecasts by hand."""

import numpy as np
import pandas as pd
import pytest
from documents import snippets
from recursions import LAG, SETTINGS, STEPS, WAVE, forecast_by_hand
from sktime.forecasting.compose import make_reduction

from trendlstm.sklearn import LSTMRegressor

# sktime 1.2 says at each fit what its next version will store
pytestmark = pytest.mark.filterwarnings("ignore:The default of config ``remember_data``:FutureWarning")

HORIZON = np.arange(1, STEPS + 1)


def forecast(strategy, **settings):
    forecaster = make_reduction(LSTMRegressor(**SETTINGS, **settings), strategy=strategy, window_length=LAG)
    return forecaster.fit(pd.Series(WAVE), fh=HORIZON).predict().to_numpy().ravel()


def test_its_recursion_is_the_one_by_hand():
    by_hand = forecast_by_hand()
    np.testing.assert_allclose(forecast("recursive"), by_hand, rtol=1e-6)
    assert np.abs(forecast("recursive", newest_first=True) - by_hand).max() > 0.1  # time read backwards


def test_several_outputs_are_one_network():
    windows = np.lib.stride_tricks.sliding_window_view(WAVE, LAG + STEPS)
    model = LSTMRegressor(**SETTINGS).fit(windows[:, :LAG], windows[:, LAG:])
    np.testing.assert_allclose(forecast("multioutput"), model.predict(WAVE[None, -LAG:])[0], rtol=1e-6)


def test_a_network_for_each_step():
    windows = np.lib.stride_tricks.sliding_window_view(WAVE, LAG + STEPS)
    by_hand = [
        LSTMRegressor(**SETTINGS).fit(windows[:, :LAG], windows[:, LAG + step]).predict(WAVE[None, -LAG:])[0]
        for step in range(STEPS)
    ]
    np.testing.assert_allclose(forecast("direct"), by_hand, rtol=1e-6)


def test_the_page_shows_what_works():
    page, names = snippets("scikit-learn.md"), {"LSTMRegressor": LSTMRegressor}
    exec(page["Samples"] + page["sktime"], names)
    assert np.isfinite(names["next_days"]).all() and len(names["next_days"]) == 5
