"""The recursion that forecasting libraries do around a regressor, written out."""

import numpy as np

from trendlstm.sklearn import LSTMRegressor

WAVE = np.sin(np.arange(80) / 3) + np.arange(80) / 50  # with a trend: forwards is not backwards
LAG, STEPS = 6, 8
SETTINGS = {"hidden_size": 4, "dense": (), "epochs": 30, "learning_rate": 0.02}


def forecast_by_hand():
    """STEPS forecasts after WAVE: one step ahead, fed back into windows from the oldest step to the newest."""
    windows = np.lib.stride_tricks.sliding_window_view(WAVE, LAG + 1)
    model = LSTMRegressor(**SETTINGS).fit(windows[:, :-1], windows[:, -1])
    path = list(WAVE)
    for _ in range(STEPS):
        path.append(model.predict([path[-LAG:]])[0])
    return np.array(path[-STEPS:])
