"""Windows, splits and scaling (trendlstm.data.windows)."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from walks import random_walk

from trendlstm.data.windows import FEATURES, SCALINGS, Scaler, all_samples, make_windows
from trendlstm.errors import DataError, OptionError


def make_prices(rows, seed=0):
    """Random but consistent daily prices."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal(rows)))
    frame = pd.DataFrame(
        {
            "Open": close * np.exp(0.01 * rng.standard_normal(rows)),
            "High": close * 1.02,
            "Low": close * 0.98,
            "Close": close,
            "Volume": rng.integers(0, 10**7, rows).astype(float),
        },
        index=pd.bdate_range("2015-01-01", periods=rows, name="Date"),
    )
    return frame


@st.composite
def window_options(draw):
    features = draw(st.lists(st.sampled_from(FEATURES), min_size=1, unique=True))
    options = {
        "lag": draw(st.integers(2, 25)),
        "horizon": draw(st.integers(1, 6)),
        "features": tuple(features),
        "scaling": draw(st.sampled_from(SCALINGS)),
    }
    return make_prices(draw(st.integers(80, 200)), draw(st.integers(0, 1000))), options


def assert_same_bits(a, b):
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


# --- Shapes and membership ------------------------------------------------------------------------------


@given(window_options())
@settings(max_examples=60, deadline=None)
def test_shapes_and_rows_of_every_sample(case):
    prices, options = case
    windows = make_windows(prices, **options)
    lag, horizon, close = options["lag"], options["horizon"], prices["Close"].to_numpy()
    assert windows.train_rows == round(0.8 * len(prices))
    stop = 0
    rows = [
        windows.train_rows,
        windows.validation_rows,
        len(prices) - windows.train_rows - windows.validation_rows,
    ]
    for split, name, size in zip(windows.splits, ("train", "validation", "test"), rows, strict=True):
        start, stop = stop, stop + size
        n = len(split.origins)
        assert split.name == name
        assert split.x.shape == (n, lag, len(options["features"]))
        assert split.y.shape == split.actual.shape == (n, horizon)
        assert split.x.dtype == split.y.dtype == np.float64
        assert split.x.flags.c_contiguous and split.y.flags.c_contiguous
        # exactly the origins with a whole window behind them and all targets in this part
        expected = [t for t in range(lag - 1, len(prices)) if t + 1 >= start and t + horizon < stop]
        assert split.origins.tolist() == expected
        for i in (0, n - 1):
            t = split.origins[i]
            assert split.anchors[i] == close[t]
            np.testing.assert_array_equal(split.actual[i], close[t + 1 : t + 1 + horizon])


def test_samples_that_straddle_two_parts_are_dropped():
    windows = make_windows(make_prices(100), lag=5, horizon=3)
    # rows 0-79 train, 80-89 validation, 90-99 test; targets are t+1 ... t+3
    assert windows.train.origins.tolist() == list(range(4, 77))
    assert windows.validation.origins.tolist() == list(range(79, 87))
    assert windows.test.origins.tolist() == list(range(89, 97))


@given(window_options())
@settings(max_examples=40, deadline=None)
def test_each_window_alone_gives_the_same_bits(case):
    """A sample's input depends on its own rows only, not on how many others are computed with it."""
    prices, options = case
    windows = make_windows(prices, **options)
    for split in windows.splits:
        i = len(split.origins) // 2
        t = split.origins[i]
        raw = prices[list(windows.features)].to_numpy()[None, t + 1 - windows.lag : t + 1]
        assert_same_bits(windows.scaler.inputs(raw, split.anchors[i : i + 1])[0], split.x[i])
        assert_same_bits(
            windows.scaler.targets(split.actual[i : i + 1], split.anchors[i : i + 1])[0], split.y[i]
        )


def test_latest_is_the_window_of_the_last_row():
    prices = make_prices(120)
    for scaling in SCALINGS:
        options = {"lag": 7, "features": ("Close", "Volume", "High"), "scaling": scaling}
        windows = make_windows(prices, **options)
        x, anchor = windows.latest()
        # the same window, as that of the last test sample of prices that go on for one more day
        longer = pd.concat([prices, prices.iloc[-1:].set_axis(prices.index[-1:] + pd.Timedelta("1D"))])
        last = make_windows(longer, split=(96 / 121, 12 / 121, 13 / 121), **options)
        assert last.scaler == windows.scaler
        assert x.shape == (1, 7, 3) and x.flags.c_contiguous
        assert_same_bits(x[0], last.test.x[-1])
        assert anchor.tolist() == [prices["Close"].iloc[-1]] == [last.test.anchors[-1]]


def test_reprs_are_one_line_without_arrays():
    windows = make_windows(random_walk(120), lag=4, horizon=2, features=("Close", "Volume"))
    first, last = windows.dates[[0, -1]].strftime("%Y-%m-%d")
    train, validation, test = (len(split.x) for split in windows.splits)
    assert repr(windows) == (
        f"<Windows: 120 rows of Close, Volume, {first} to {last}, lag 4, horizon 2; "
        f"{train} windows to train, {validation} to validate, {test} to test>"
    )
    assert repr(windows.test) == f"<Split test: x ({test}, 4, 2), y ({test}, 2)>"


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_table_has_the_first_and_the_last_date_that_each_split_predicts(horizon):
    prices = random_walk(100)
    table = make_windows(prices, lag=5, horizon=horizon, split=(0.6, 0.2, 0.2)).table.set_index("split")
    assert list(table["windows"]) == [55 - horizon + 1, 20 - horizon + 1, 20 - horizon + 1]
    rows = prices.index[[5, 60, 80]], prices.index[[59, 79, 99]]
    for column, expected in zip(("first", "last"), rows, strict=True):
        assert list(table[column]) == list(expected)


def test_dates_and_close_are_the_given_rows():
    prices = make_prices(60)
    windows = make_windows(prices, lag=3)
    assert windows.dates.equals(prices.index)
    np.testing.assert_array_equal(windows.close, prices["Close"])
    assert windows.prices is prices


@given(window_options())
@settings(max_examples=20, deadline=None)
def test_all_samples_are_those_of_every_origin_scaled_by_every_row(case):
    prices, options = case
    lag, horizon = options["lag"], options["horizon"]
    scaler, x, y = all_samples(prices, **options)
    assert scaler == Scaler.fit(prices, options["features"], options["scaling"])
    assert len(x) == len(y) == len(prices) - lag - horizon + 1
    assert x.flags.c_contiguous and y.flags.c_contiguous
    close = prices["Close"].to_numpy()
    for i in (0, len(x) - 1):
        t = lag - 1 + i
        raw = prices[list(options["features"])].to_numpy()[None, i : t + 1]
        assert_same_bits(x[i], scaler.inputs(raw, close[t : t + 1])[0])
        assert_same_bits(y[i], scaler.targets(close[None, t + 1 : t + 1 + horizon], close[t : t + 1])[0])


# --- Scaling ---------------------------------------------------------------------------------------------


def test_window_scaling_by_hand():
    rows = 20
    close = np.array([10.0, 11.0, 10.5, 12.0, 11.5] * 4)
    prices = pd.DataFrame(
        {"Close": close, "High": close + 1, "Volume": np.arange(rows, dtype=float)},
        index=pd.bdate_range("2020-01-01", periods=rows),
    )
    windows = make_windows(
        prices, lag=2, horizon=2, features=("Volume", "Close", "High"), split=(0.5, 0.25, 0.25)
    )
    returns = [np.log(close[t] / close[t - 1]) for t in range(1, 10)]
    sigma = np.sqrt(sum((r - sum(returns) / 9) ** 2 for r in returns) / 8)
    assert windows.scaler.sigma == pytest.approx(sigma, rel=1e-14)
    # the first validation sample: origin 9, C = 11.5, sees rows 8 and 9, targets rows 10 and 11
    x, y = windows.validation.x[0], windows.validation.y[0]
    expected = [
        [np.log(9 / 9.5), np.log(12 / 11.5) / sigma, np.log(13 / 11.5) / sigma],
        [np.log(10 / 9.5), 0, np.log(12.5 / 11.5) / sigma],
    ]
    np.testing.assert_allclose(x, expected, rtol=1e-14)
    np.testing.assert_allclose(y, [np.log(10 / 11.5) / sigma, np.log(11 / 11.5) / sigma], rtol=1e-14)


@pytest.mark.parametrize(("scaling", "peer"), [("standard", StandardScaler), ("minmax", MinMaxScaler)])
def test_column_scalings_equal_scikit_learn(scaling, peer):
    prices = make_prices(150)
    windows = make_windows(prices, lag=4, horizon=2, features=FEATURES, scaling=scaling)
    training = prices.iloc[:120]
    inputs = peer().fit(training[list(FEATURES)].to_numpy())
    target = peer().fit(training[["Close"]].to_numpy())
    for split in windows.splits:
        for i in (0, len(split.origins) - 1):
            t = split.origins[i]
            rows = prices[list(FEATURES)].to_numpy()[t - 3 : t + 1]
            np.testing.assert_allclose(split.x[i], inputs.transform(rows), rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(
                split.y[i], target.transform(split.actual[i][:, None])[:, 0], rtol=1e-11, atol=1e-13
            )


def test_no_scaling_leaves_the_values():
    prices = make_prices(60)
    windows = make_windows(prices, lag=3, horizon=2, features=("Low", "Volume"), scaling="none")
    t = windows.test.origins[0]
    np.testing.assert_array_equal(windows.test.x[0], prices[["Low", "Volume"]].iloc[t - 2 : t + 1])
    np.testing.assert_array_equal(windows.test.y, windows.test.actual)


@given(window_options())
@settings(max_examples=60, deadline=None)
def test_prices_undo_targets(case):
    prices, options = case
    windows = make_windows(prices, **options)
    for split in windows.splits:
        np.testing.assert_allclose(windows.scaler.prices(split.y, split.anchors), split.actual, rtol=1e-12)


def test_prices_of_zero_window_outputs_are_the_anchors():
    windows = make_windows(make_prices(80), lag=3, horizon=4)
    outputs = np.zeros((len(windows.test.anchors), 4), np.float32)
    closes = windows.scaler.prices(outputs, windows.test.anchors)
    assert closes.dtype == np.float64
    np.testing.assert_array_equal(closes, np.repeat(windows.test.anchors[:, None], 4, axis=1))


@pytest.mark.parametrize("scaling", SCALINGS)
def test_prices_of_float32_outputs_are_computed_in_float64(scaling):
    windows = make_windows(make_prices(80), lag=3, scaling=scaling)
    outputs = windows.test.y.astype(np.float32)
    closes = windows.scaler.prices(outputs, windows.test.anchors)
    assert_same_bits(closes, windows.scaler.prices(outputs.astype(np.float64), windows.test.anchors))


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("output", [np.nan, np.inf, 1e6])
def test_outputs_that_are_no_prices_are_refused(scaling, output):
    scaler = make_windows(make_prices(80), lag=3, scaling=scaling).scaler
    if scaling != "window" and output == 1e6:
        assert np.isfinite(scaler.prices(np.array([[output]]), np.array([100.0]))).all()
    else:
        with pytest.raises(DataError, match="not finite prices"):
            scaler.prices(np.array([[output]]), np.array([100.0]))


@given(window_options())
@settings(max_examples=20, deadline=None)
def test_scaler_survives_json_exactly(case):
    prices, options = case
    scaler = make_windows(prices, **options).scaler
    assert Scaler.from_dict(json.loads(json.dumps(scaler.to_dict()))) == scaler


# --- No look-ahead ---------------------------------------------------------------------------------------


@given(window_options(), st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_up_to_t_depends_on_rows_after_t(case, data):
    prices, options = case
    windows = make_windows(prices, **options)
    t = data.draw(st.integers(windows.train_rows - 1, len(prices) - 2), label="last unchanged row")
    changed = prices.copy()
    noise = np.random.default_rng(1).uniform(0.5, 2, (len(prices) - t - 1, prices.shape[1]))
    changed.iloc[t + 1 :] = prices.iloc[t + 1 :].to_numpy() * noise
    other = make_windows(changed, **options)

    assert other.scaler == windows.scaler
    compared = 0
    for before, after in zip(windows.splits, other.splits, strict=True):
        seen = before.origins <= t
        known = before.origins + windows.horizon <= t
        compared += int(seen.sum())
        assert_same_bits(before.origins, after.origins)
        assert_same_bits(before.x[seen], after.x[seen])
        assert_same_bits(before.anchors[seen], after.anchors[seen])
        assert_same_bits(before.y[known], after.y[known])
        assert not np.array_equal(before.actual[~known], after.actual[~known]) or known.all()
    assert compared > 0


# --- Refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lag", "horizon"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_lag_and_horizon_must_be_whole_and_positive(name, value):
    with pytest.raises(OptionError, match=f"{name} must be a whole number from 1 up"):
        make_windows(make_prices(80), **{name: value})


@pytest.mark.parametrize(
    ("options", "part", "rows"),
    [
        ({"lag": 80}, "train", 80),
        ({"lag": 500}, "train", 80),
        ({"lag": 5, "horizon": 11}, "validation", 10),
        ({"lag": 5, "split": (0.85, 0.145, 0.005)}, "test", 0),
    ],
)
def test_a_part_without_a_sample_is_refused(options, part, rows):
    with pytest.raises(OptionError, match=f"no {part} sample.* has {rows} of 100 rows") as error:
        make_windows(make_prices(100), **options)
    assert f"lag {options['lag']}" in str(error.value)
    assert f"horizon {options.get('horizon', 1)}" in str(error.value)


def test_the_largest_lag_and_horizon_that_fit_are_used():
    assert len(make_windows(make_prices(100), lag=79).train.origins) == 1
    assert len(make_windows(make_prices(100), lag=5, horizon=10).validation.origins) == 1


@pytest.mark.parametrize(
    "split",
    [(0.8, 0.2), (0.8, 0.1, 0.2), (0.9, 0.1, 0.0), (1.2, -0.1, -0.1), 0.8, ("a", "b", "c"), (np.nan,) * 3],
)
def test_bad_splits_are_refused(split):
    with pytest.raises(OptionError, match="split must be three"):
        make_windows(make_prices(100), split=split)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((), "one or more different names"),
        ("Close", "one or more different names"),
        (("Close", "Close"), "one or more different names"),
        (("Close", "Price"), "have no Price: choose features among High, Close"),
        (("Close", "Volume"), "have no Volume: choose features among High, Close"),
    ],
)
def test_bad_features_are_refused(features, message):
    with pytest.raises(OptionError, match=message):
        make_windows(make_prices(100)[["High", "Close"]], features=features)


def test_unknown_scaling_is_refused():
    with pytest.raises(OptionError, match="window, standard, minmax, none, but is 'robust'"):
        make_windows(make_prices(100), scaling="robust")
    with pytest.raises(OptionError, match="window, standard, minmax, none, but is 'robust'"):
        Scaler.fit(make_prices(100), scaling="robust")


@pytest.mark.parametrize("features", [("Close",), ("Close", "Volume"), ("Volume",)])
def test_window_scaling_with_lag_1_that_shows_nothing_is_refused(features):
    with pytest.raises(OptionError, match="identically 0"):
        make_windows(make_prices(100), lag=1, features=features)


@pytest.mark.parametrize(
    "options", [{"features": ("Close", "Open")}, {"scaling": "standard"}, {"scaling": "none"}]
)
def test_lag_1_is_used_where_it_shows_something(options):
    assert np.ptp(make_windows(make_prices(100), lag=1, **options).train.x) > 0


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("growth", [1.0, 1.01], ids=["constant", "constant growth"])
def test_prices_whose_returns_do_not_vary_are_refused(scaling, growth):
    prices = make_prices(100)
    prices["Close"] = 50 * growth ** np.arange(100)
    prices.loc[prices.index[80:], "Close"] = make_prices(20)["Close"].to_numpy()  # not in the training rows
    with pytest.raises(DataError, match=r"do not vary over the 80 training rows \(sigma = 0\)"):
        make_windows(prices, scaling=scaling)


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_a_constant_feature_is_refused_where_it_must_be_divided_by_its_spread(scaling):
    prices = make_prices(100).assign(Volume=0.1)
    with pytest.raises(
        DataError, match=f"Volume does not vary over the 80 training rows, so {scaling} scaling"
    ):
        make_windows(prices, features=("Close", "Volume"), scaling=scaling)
    windows = make_windows(prices, features=("Close", "Volume"))
    np.testing.assert_allclose(windows.train.x[:, :, 1], 0, atol=1e-15)


def test_too_few_training_rows_for_a_standard_deviation():
    with pytest.raises(DataError, match="2 training rows are too few"):
        make_windows(make_prices(10), lag=1, features=("Open",), split=(0.2, 0.4, 0.4))


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("Close", 0.0, "above 0"),
        ("Close", -1.0, "above 0"),
        ("Close", np.nan, "above 0"),
        ("Open", np.inf, "above 0"),
        ("Volume", -1.0, "0 or more"),
        ("Volume", np.nan, "0 or more"),
    ],
)
def test_prices_that_are_no_prices_are_refused(column, value, kind):
    prices = make_prices(100)
    prices.iloc[93, prices.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=f"{column} of {prices.index[93]:%Y-%m-%d} is .* {kind}"):
        make_windows(prices, features=("Open", "Volume"))
    # a column that is not used may hold anything
    if column != "Close":
        make_windows(prices, features=("High",))


def test_rows_without_dates_in_order_are_refused():
    prices = make_prices(100)
    with pytest.raises(DataError, match="no Close"):
        make_windows(prices[["Open"]], features=("Open",))
    with pytest.raises(DataError, match="indexed by date"):
        make_windows(prices.reset_index(drop=True))
    for wrong in (prices.iloc[::-1], prices.iloc[[0, *range(100)]]):
        with pytest.raises(DataError, match="must ascend"):
            make_windows(wrong)


# --- Own columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", SCALINGS)
def test_an_own_column_is_scaled_by_the_training_rows(scaling):
    """Checked against scikit-learn's scalers; under window scaling it is standardised."""
    own = 40 + 30 * np.sin(np.arange(200))
    prices = make_prices(200).assign(RSI=own)
    windows = make_windows(prices, lag=5, features=("Close", "RSI"), scaling=scaling)
    peers = {"window": StandardScaler, "standard": StandardScaler, "minmax": MinMaxScaler}
    expected = own
    if scaling in peers:
        expected = peers[scaling]().fit(own[:160, None]).transform(own[:, None])[:, 0]
    for split in windows.splits:
        rows = split.origins[:, None] + np.arange(-4, 1)
        np.testing.assert_allclose(split.x[:, :, 1], expected[rows], rtol=1e-12, atol=1e-12)
    alone = make_windows(prices, lag=5, scaling=scaling)
    assert np.array_equal(windows.test.x[:, :, 0], alone.test.x[:, :, 0])
    assert np.array_equal(windows.test.y, alone.test.y)
    assert Scaler.from_dict(json.loads(json.dumps(windows.scaler.to_dict()))) == windows.scaler


def test_an_own_column_may_be_negative_or_whole_but_not_missing_constant_or_text():
    prices = make_prices(100)
    make_windows(prices.assign(Signal=np.arange(100) - 50), features=("Signal",))
    missing = prices.assign(Signal=np.where(np.arange(100) == 7, np.nan, np.arange(100.0)))
    with pytest.raises(
        DataError, match=f"Signal of {prices.index[7]:%Y-%m-%d} is nan, but must be a finite number"
    ):
        make_windows(missing, features=("Close", "Signal"))
    with pytest.raises(DataError, match="Signal does not vary over the 80 training rows"):
        make_windows(prices.assign(Signal=1.5), features=("Close", "Signal"))
    with pytest.raises(DataError, match=r"The column Signal holds .*, not numbers"):
        make_windows(prices.assign(Signal="up"), features=("Close", "Signal"))
