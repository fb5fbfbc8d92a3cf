"""scikit-learn's checks of an estimator, run as a script that prints how each ended as JSON."""

import json
import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported; without it scikit-learn skips a check

from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import check_estimator

from trendlstm.sklearn import LSTMRegressor

QUICK = {"hidden_size": 8, "dense": (), "learning_rate": 0.03, "epochs": 60, "n_threads": 1}
ESTIMATORS = {
    "defaults": LSTMRegressor(n_threads=1),
    "1997": LSTMRegressor(cell="lstm1997", **QUICK),
    "sigmoid": LSTMRegressor(cell="rnn-sigmoid", **{**QUICK, "epochs": 200}),
    "GRU of two layers with dropout, float64, newest first": LSTMRegressor(
        cell="gru",
        layers=2,
        dropout=0.02,
        recurrent_dropout=0.02,
        dtype="float64",
        newest_first=True,
        **QUICK,
    ),
    "early stopping": LSTMRegressor(cell="ann", validation_fraction=0.2, patience=20, **QUICK),
    # scikit-learn's own with the same abilities: several targets, no sample weights
    "peer": KNeighborsRegressor(),
}

if __name__ == "__main__":
    ended = {}
    for name, estimator in ESTIMATORS.items():
        results = check_estimator(estimator, on_fail=None, on_skip=None)
        ended[name] = [(one["check_name"], one["status"], repr(one["exception"])) for one in results]
    print(json.dumps(ended))
