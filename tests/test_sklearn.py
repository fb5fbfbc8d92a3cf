"""`LSTMRegressor` beside `Network.fit`, under scikit-learn's own checks, and inside its tools."""

import doctest
import importlib
import json
import os
import pickle
import re
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from documents import snippets
from processes import ROOT
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency

import trendlstm as tl
import trendlstm.sklearn
from trendlstm.errors import DataError
from trendlstm.kernels.predict import predict_worker
from trendlstm.sklearn import LSTMRegressor

SMALL = {"hidden_size": 4, "dense": (3,), "epochs": 3, "batch_size": 8, "learning_rate": 0.01}
NETWORK = {"hidden_size": 4, "dense": (3,)}
FIT = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01}
N, T, F = 30, 5, 2


@pytest.fixture(scope="module")
def windows():
    """Inputs (N, T, F) and targets (N, 2)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, T, F)), rng.normal(size=(N, 2))


def test_every_check_of_scikit_learn_passes_and_none_is_left_out():
    script = [sys.executable, ROOT / "tests" / "sklearn_checks.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    names = [name for name, _, _ in ended.pop("peer")]
    assert len(names) >= 50
    for configuration, results in ended.items():
        assert [one for one in results if one[1] != "passed"] == [], configuration
        assert [name for name, _, _ in results] == names, configuration


def test_the_tags_promise_all_that_scikit_learn_can_check():
    tags = get_tags(LSTMRegressor())
    assert tags.input_tags.two_d_array and tags.input_tags.three_d_array
    assert tags.target_tags.single_output and tags.target_tags.multi_output
    excuses = (tags.non_deterministic, tags.no_validation, tags.regressor_tags.poor_score, tags._skip_test)
    assert not any(excuses)


def test_column_names_are_kept_and_compared():
    check_dataframe_column_names_consistency("LSTMRegressor", LSTMRegressor(**SMALL))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["lstm", "lstm1997", "gru", "rnn", "rnn-sigmoid", "ann"])
def test_the_same_bits_as_a_network(windows, cell, dtype):
    x, y = windows
    network = tl.Network(F, **NETWORK, output_size=2, cell=cell, dtype=dtype, lag=T, seed=7)
    history = network.fit(x, y, **FIT)
    model = LSTMRegressor(**SMALL, cell=cell, dtype=dtype, random_state=7)
    for lag, inputs in ((None, x), (T, x.reshape(N, -1)), (T, pd.DataFrame(x.reshape(N, -1)))):
        model.set_params(lag=lag).fit(inputs, y)
        assert np.array_equal(model.network_.theta, network.theta)
        assert model.n_iter_ == 3 and np.array_equal(model.loss_curve_, history.loss)
        assert model.validation_loss_curve_ is None
        assert model.n_features_in_ == T * F
        for shape in ((N, T, F), (N, T * F)):
            assert np.array_equal(model.predict(x.reshape(shape)), network.predict(x))


def test_every_setting_reaches_the_network(windows):
    x, y = windows
    settings = {
        "bias": True,
        "squash_output": False,
        "init": "uniform",
        "forget_bias": "chrono",
        "cell": "lstm",
        "hidden_size": 3,
        "layers": 2,
        "dropout": 0.2,
        "recurrent_dropout": 0.1,
        "dense": (2,),
        "dtype": "float64",
    }
    training = {
        "epochs": 9,
        "batch_size": 7,
        "learning_rate": 0.02,
        "patience": 2,
        "clip_norm": 0.1,
        "weight_decay": 0.3,
        "shuffle": False,
        "optimizer": "sgd",
        "momentum": 0.8,
        "schedule": "plateau",
        "warmup": 1,
        "plateau_patience": 1,
        "schedule_factor": 0.5,
        "n_threads": 1,
        "device": "cpu",
    }
    network = tl.Network(F, output_size=2, lag=T, seed=1, **settings)
    history = network.fit(x[:22], y[:22], validation=(x[22:], y[22:]), **training)
    model = LSTMRegressor(**settings, **training, validation_fraction=0.25, random_state=1).fit(x, y)
    assert model.network_.config == network.config
    assert np.array_equal(model.network_.theta, network.theta)
    assert np.array_equal(model.validation_loss_curve_, history.validation_loss)
    assert set(model.get_params()) - set(settings) - set(training) == {
        "lag",
        "newest_first",
        "random_state",
        "step_epochs",
        "validation_fraction",
    }
    step = {"schedule": "step", "step_epochs": 2, "epochs": 5, "learning_rate": 0.05}
    network = tl.Network(F, output_size=2, lag=T, seed=1, **settings)
    network.fit(x, y, **step)
    model = LSTMRegressor(**settings, **step, random_state=1).fit(x, y)
    assert np.array_equal(model.network_.theta, network.theta)


def test_layers_may_be_a_tuple_of_sizes(windows):
    x, y = windows
    model = LSTMRegressor(**{**SMALL, "hidden_size": (4, 2)}, cell="gru").fit(x, y)
    assert clone(model).hidden_size == (4, 2) and model.network_.config.hidden_sizes == (4, 2)


def test_one_feature_a_column_is_the_default(windows):
    x, y = windows
    network = tl.Network(1, **NETWORK)
    network.fit(x[:, :, :1], y[:, 0], **FIT)
    model = LSTMRegressor(**SMALL).fit(x[:, :, 0], y[:, 0])
    assert np.array_equal(model.network_.theta, network.theta)
    assert np.array_equal(model.predict(x[:, :, 0]), network.predict(x[:, :, :1])[:, 0])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_newest_first_turns_the_steps_around_but_not_the_features(windows, dimensions):
    x, y = windows
    shape = (N, T * F) if dimensions == 2 else (N, T, F)
    turned = np.ascontiguousarray(x[:, ::-1])
    expected = LSTMRegressor(**SMALL).fit(x, y)
    model = LSTMRegressor(**SMALL, lag=T, newest_first=True).fit(turned.reshape(shape), y)
    assert np.array_equal(model.network_.theta, expected.network_.theta)
    assert np.array_equal(model.predict(turned.reshape(shape)), expected.predict(x))


def test_predictions_have_the_form_of_the_targets_and_the_precision_of_the_inputs(windows):
    x, y = windows
    model = LSTMRegressor(**SMALL)
    for targets in (y[:, 0], y[:, :1], y, y[:, 0].tolist(), pd.Series(y[:, 0])):
        assert model.fit(x, targets).predict(x).shape == np.shape(targets)
    model = clone(model).set_params(dtype="float32").fit(x, y)
    assert model.predict(x).dtype == np.float64
    assert model.predict(x.astype(np.float32)).dtype == np.float32
    model.set_params(dtype="float64").fit(x, y)
    assert model.predict(x.astype(np.float32)).dtype == np.float64


def test_the_last_rows_validate_and_choose_the_epoch(windows):
    x, y = windows
    model = LSTMRegressor(**{**SMALL, "epochs": 60}, validation_fraction=0.2, patience=4).fit(x, y)
    curve = model.validation_loss_curve_
    assert model.n_iter_ == len(curve) == len(model.loss_curve_) == np.argmin(curve) + 1 + 4 < 60
    kept = np.mean((model.predict(x[24:]) - y[24:]) ** 2)
    assert np.isclose(kept, curve.min(), rtol=1e-5)
    y_later = np.where(np.arange(N)[:, None] < 24, y, 9.0)  # what is not trained on does not train
    other = LSTMRegressor(**SMALL, validation_fraction=0.2).fit(x, y_later)
    assert np.array_equal(other.loss_curve_, model.loss_curve_[:3])


def test_few_rows_are_enough_for_early_stopping_or_are_refused(windows):
    x, y = windows
    model = LSTMRegressor(**SMALL, validation_fraction=0.1, patience=1)
    assert len(model.fit(x[:2], y[:2]).validation_loss_curve_) == model.n_iter_
    with pytest.raises(DataError, match=r"validation_fraction 0\.1 of n_samples=1 leaves no row to train on"):
        model.fit(x[:1], y[:1])
    with pytest.raises(DataError, match=r"validation_fraction 0\.9 of n_samples=9 leaves no row to train on"):
        model.set_params(validation_fraction=0.9).fit(x[:9], y[:9])
    assert LSTMRegressor(**SMALL).fit(x[:1], y[:1]).n_iter_ == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lag": 0}, "lag must be a whole number from 1 up, or None, but is 0"),
        ({"lag": 3}, "X has windows of 5 steps, but lag is 3"),
        ({"newest_first": "no"}, "newest_first must be True or False"),
        ({"validation_fraction": 1}, "validation_fraction must be a number from 0 up and below 1, but is 1"),
        ({"validation_fraction": -0.1}, "validation_fraction must be .* but is -0.1"),
        ({"validation_fraction": "a"}, "validation_fraction must be .* but is 'a'"),
        ({"patience": 3}, "patience needs validation_fraction"),
        ({"cell": "gru9"}, "cell must be one of"),
        ({"layers": 9}, "layers must be a whole number from 1 to 8"),
        ({"dropout": 1}, "dropout must be a number from 0 up and below 1"),
        ({"epochs": 0}, "epochs must be"),
        ({"n_threads": 0}, "n_threads must be"),
        ({"random_state": "a"}, "cannot be used to seed"),
    ],
)
def test_settings_are_stored_as_they_are_and_refused_by_fit(windows, settings, message):
    model = LSTMRegressor(**settings)
    ((name, value),) = settings.items()
    assert getattr(model, name) is value
    with pytest.raises(ValueError, match=message):
        model.fit(*windows)


def test_wrong_samples_are_refused_in_words(windows):
    x, y = windows
    columns = x.reshape(N, -1)
    with pytest.raises(NotFittedError):
        LSTMRegressor().predict(x)
    with pytest.raises(DataError, match="X has 10 columns, but with lag 4 it must have 4 for each feature"):
        LSTMRegressor(lag=4).fit(columns, y)
    model = LSTMRegressor(**SMALL).fit(x, y)
    with pytest.raises(DataError, match="X has windows of 2 steps, but this model was fitted with 5"):
        model.predict(x.reshape(N, F, T))
    expected = re.escape("X has 9 features, but LSTMRegressor is expecting 10 features as input.")
    for cell in ("lstm", "ann"):
        fitted = clone(model).set_params(cell=cell).fit(x, y)
        with pytest.raises(ValueError, match=expected):
            fitted.predict(columns[:, 1:])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(x, y[1:])
    with pytest.raises(ValueError, match="dim 4"):
        model.fit(x[..., None], y)
    for masked in ((np.ma.masked_array(x), y), (x, np.ma.masked_array(y))):
        with pytest.raises(DataError, match="is a masked array, whose mask would be lost"):
            model.fit(*masked)
    with pytest.raises(DataError, match="X is a masked array"):
        model.predict(np.ma.masked_array(x))


def test_random_states_are_those_of_scikit_learn(windows):
    x, y = windows

    def weights(state):
        return LSTMRegressor(**SMALL, random_state=state).fit(x, y).network_.theta.tobytes()

    assert weights(np.random.RandomState(3)) == weights(np.random.RandomState(3)) != weights(3)
    generator = np.random.RandomState(3)
    assert weights(generator) != weights(generator)
    assert weights(None) != weights(None)


def test_a_fitted_model_survives_pickle_and_a_memory_map(windows, tmp_path):
    x, y = windows
    model = LSTMRegressor(**SMALL).fit(x, y)
    expected = model.predict(x)
    joblib.dump(model, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model"),
        joblib.load(tmp_path / "model", mmap_mode="r"),
    ]
    kernels = len(predict_worker.signatures)
    for copy in copies:
        assert np.array_equal(copy.predict(x), expected)
    assert len(predict_worker.signatures) == kernels  # none was compiled anew for another kind of array


def test_a_search_in_other_processes_finds_what_one_process_finds(windows):
    x, y = windows
    grid = {"cell": ["lstm", "ann"], "dense": [(), (3,)]}

    def search(n_jobs):
        model = LSTMRegressor(**SMALL, n_threads=1)
        with joblib.parallel_config("loky"):
            return GridSearchCV(model, grid, cv=TimeSeriesSplit(2), n_jobs=n_jobs).fit(x, y)

    here, there = search(1), search(2)
    assert np.isfinite(here.cv_results_["mean_test_score"]).all()
    assert np.array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    assert here.best_params_ == there.best_params_
    assert np.array_equal(here.predict(x), there.predict(x))


def test_in_a_pipeline_inputs_and_targets_are_scaled_and_scaled_back(windows):
    x, y = windows
    columns, target = 5 + 3 * x.reshape(N, -1), 100 + 20 * y[:, 0]
    inner = make_pipeline(StandardScaler().set_output(transform="pandas"), LSTMRegressor(**SMALL, lag=T))
    model = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(columns, target)

    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    scaled = ((columns - mean) / deviation).reshape(N, T, F)
    network = tl.Network(F, **NETWORK, lag=T)
    network.fit(scaled, (target - target.mean()) / target.std(), **FIT)
    expected = target.mean() + target.std() * network.predict(scaled)[:, 0].astype(np.float64)
    np.testing.assert_allclose(model.predict(columns), expected, rtol=1e-6)


def test_without_scikit_learn_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "trendlstm.sklearn")
    with pytest.raises(ImportError, match=r"needs scikit-learn 1\.6 or later: pip install .*\[sklearn\]"):
        importlib.import_module("trendlstm.sklearn")


def test_the_docstring_and_the_page_show_what_works():
    assert doctest.testmod(trendlstm.sklearn).failed == 0
    page, names = snippets("scikit-learn.md"), {}
    for heading in ("Samples", "Search"):
        exec(page[heading], names)
    assert np.isfinite(names["r_squared"])
    assert names["search"].best_estimator_.regressor_[-1].n_features_in_ == 20
