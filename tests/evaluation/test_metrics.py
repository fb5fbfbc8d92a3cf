"""Errors, skill and hit rate (trendlstm.evaluation.metrics)."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from statsmodels.stats.proportion import proportion_confint

from trendlstm.errors import DataError
from trendlstm.evaluation.metrics import (
    HIT_RATE_COLUMNS,
    StepMetrics,
    clustered_interval,
    evaluate,
    evaluate_path,
    hit_rate,
    mae,
    mape,
    rmse,
    skill,
    wilson_interval,
)
from trendlstm.evaluation.significance import clark_west, correlation, diebold_mariano, pesaran_timmermann

ORIGIN = np.array([10.0, 10.0, 20.0, 20.0, 40.0])
ACTUAL = np.array([12.0, 8.0, 20.0, 25.0, 50.0])
PREDICTED = np.array([11.0, 9.0, 21.0, 20.0, 38.0])


def random_walk(n, seed=0):
    return 100 * np.exp(np.cumsum(0.01 * np.random.default_rng(seed).standard_normal(n)))


# --- Errors and skill ------------------------------------------------------------------------------------


def test_errors_by_hand():
    # errors -1, 1, 1, -5, -12
    assert rmse(ACTUAL, PREDICTED) == pytest.approx(np.sqrt(172 / 5), rel=1e-15)
    assert mae(ACTUAL, PREDICTED) == 20 / 5
    assert mape(ACTUAL, PREDICTED) == pytest.approx(100 * (1 / 12 + 1 / 8 + 1 / 20 + 5 / 25 + 12 / 50) / 5)
    # persistence's errors -2, 2, 0, -5, -10
    assert skill(ORIGIN, ACTUAL, PREDICTED) == pytest.approx(1 - np.sqrt(172 / 133), rel=1e-14)


def test_errors_equal_scikit_learn():
    actual, predicted = random_walk(300), random_walk(300, seed=1)
    assert rmse(actual, predicted) == pytest.approx(
        sklearn_metrics.root_mean_squared_error(actual, predicted), rel=1e-13
    )
    assert mae(actual, predicted) == pytest.approx(
        sklearn_metrics.mean_absolute_error(actual, predicted), rel=1e-13
    )
    assert mape(actual, predicted) == pytest.approx(
        100 * sklearn_metrics.mean_absolute_percentage_error(actual, predicted), rel=1e-13
    )


def test_skill_of_persistence_perfection_and_constant_prices():
    assert skill(ORIGIN, ACTUAL, ORIGIN) == 0
    assert skill(ORIGIN, ACTUAL, ACTUAL) == 1
    assert skill(ORIGIN, ORIGIN, PREDICTED) is None


# --- Hit rate --------------------------------------------------------------------------------------------


def test_hit_rate_by_hand():
    # directions actual + - 0 + +, predicted + - + 0 -: two hits, the unchanged day left out, the zero a miss
    result = hit_rate(ORIGIN, ACTUAL, PREDICTED)
    assert (result.hits, result.counted, result.unchanged, result.rate) == (2, 4, 1, 0.5)
    assert (result.low, result.high) == wilson_interval(2, 4)


@given(st.integers(1, 10), st.integers(1, 50), st.data())
@settings(deadline=None)
def test_forecasts_that_overlap_count_as_one(step, independent, data):
    """The interval is that of as many days as do not overlap, with the same rate."""
    hits = data.draw(st.integers(0, independent))
    up = np.repeat(np.arange(independent) < hits, step)
    origin = np.full(len(up), 10.0)
    result = hit_rate(origin, origin + 1, origin + np.where(up, 1, -1), step)
    assert (result.hits, result.counted) == (hits * step, independent * step)
    assert result.rate == pytest.approx(hits / independent)
    expected = proportion_confint(hits, independent, method="wilson")
    assert (result.low, result.high) == pytest.approx(expected, abs=1e-12)


def test_a_forecast_without_any_direction_has_no_hit_rate():
    persistence = hit_rate(ORIGIN, ACTUAL, ORIGIN)
    assert (persistence.hits, persistence.counted, persistence.unchanged) == (0, 4, 1)
    assert persistence.rate is persistence.low is persistence.high is None
    never_changed = hit_rate(ORIGIN, ORIGIN, PREDICTED)
    assert (never_changed.counted, never_changed.unchanged, never_changed.rate) == (0, 5, None)


def test_wrong_on_every_day_is_a_rate_of_zero_not_none():
    result = hit_rate(ORIGIN, ORIGIN + 1, ORIGIN - 1)
    assert (result.rate, result.low) == (0, 0)
    assert result.high == pytest.approx(0.4345, abs=1e-4)


@pytest.mark.parametrize(
    ("hits", "counted", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_of_newcombe_1998(hits, counted, low, high):
    """Newcombe (1998), Statistics in Medicine 17: 857-872, table I, method 3."""
    assert wilson_interval(hits, counted) == pytest.approx((low, high), abs=5.1e-5)


@given(st.integers(1, 2000), st.data())
@settings(deadline=None)
def test_wilson_interval_equals_statsmodels(counted, data):
    hits = data.draw(st.integers(0, counted))
    confidence = data.draw(st.sampled_from([0.8, 0.9, 0.95, 0.99]))
    expected = proportion_confint(hits, counted, alpha=1 - confidence, method="wilson")
    low, high = wilson_interval(hits, counted, confidence)
    assert (low, high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= low <= hits / counted + 1e-12 and hits / counted - 1e-12 <= high <= 1


# --- A forecast of many days ahead -----------------------------------------------------------------------


def test_a_path_is_measured_beside_a_flat_line_at_its_start():
    start, actual, predicted = 10.0, np.array([11.0, 12.0, 14.0]), np.array([11.0, 13.0, 12.0])
    path = evaluate_path(start, actual, predicted)
    assert path.n == 3
    assert (path.rmse, path.mae) == pytest.approx((np.sqrt(5 / 3), 1))
    assert path.mape == pytest.approx(100 * (1 / 12 + 2 / 14) / 3)
    assert path.skill == pytest.approx(1 - np.sqrt(5 / (1 + 4 + 16)))
    assert evaluate_path(start, actual, np.full(3, start)).skill == 0
    assert evaluate_path(start, np.full(3, start), predicted).skill is None


# --- Everything at once ----------------------------------------------------------------------------------


def test_evaluate_measures_every_step():
    close = random_walk(120)
    actual = np.stack([close[1:-2], close[2:-1], close[3:]], axis=1)
    origin = close[:-3]
    predicted = (actual * np.random.default_rng(1).normal(1, 0.01, actual.shape)).astype(np.float32)
    steps = evaluate(origin, actual, predicted)
    assert [step.step for step in steps] == [1, 2, 3]
    for k, step in enumerate(steps, 1):
        a, p = actual[:, k - 1], predicted[:, k - 1].astype(np.float64)
        assert step.n == 117
        assert (step.rmse, step.mae, step.mape) == pytest.approx(
            (rmse(a, p), mae(a, p), mape(a, p)), rel=1e-14
        )
        assert step.skill == pytest.approx(skill(origin, a, p), rel=1e-12)
        assert step.hit_rate == hit_rate(origin, a, p, k)
        assert step.diebold_mariano == diebold_mariano(a, p, origin, k)
        assert step.pesaran_timmermann == pesaran_timmermann(origin, a, p, k)
        assert step.clark_west == clark_west(a, p, origin, k)
        assert step.correlation == correlation(origin, a, p, k)
    assert len({step.diebold_mariano.p_value for step in steps}) == 3


@pytest.mark.parametrize(
    ("stride", "ahead"), [(1, [1, 2, 3, 4]), (2, [1, 1, 2, 2]), (3, [1, 1, 1, 2]), (9, [1] * 4)]
)
def test_of_origins_that_are_further_apart_fewer_forecasts_overlap(stride, ahead):
    random = np.random.default_rng(2)
    origin = random_walk(90)
    actual, predicted = (origin[:, None] * np.exp(0.01 * random.standard_normal((90, 4))) for _ in range(2))
    for one, k in zip(evaluate(origin, actual, predicted, stride), ahead, strict=True):
        a, p = actual[:, one.step - 1], predicted[:, one.step - 1]
        assert one.hit_rate == hit_rate(origin, a, p, k)
        assert one.diebold_mariano == diebold_mariano(a, p, origin, k)
        assert one.clark_west == clark_west(a, p, origin, k)
        assert one.pesaran_timmermann == pesaran_timmermann(origin, a, p, k)
        assert one.correlation == correlation(origin, a, p, k)


# --- Trials that come in groups --------------------------------------------------------------------------


def test_trials_of_one_a_group_have_wilsons_interval():
    hits = np.array([1.0, 0, 1, 1, 0, 1])
    assert clustered_interval(hits, np.ones(6)) == pytest.approx(wilson_interval(4, 6), rel=1e-12)
    assert clustered_interval(hits, np.ones(6), 3) == pytest.approx(wilson_interval(4 / 3, 2), rel=1e-12)


def test_trials_that_are_all_alike_in_a_group_count_once():
    hits = np.array([1.0, 0, 1, 1, 0, 1])
    assert clustered_interval(7 * hits, np.full(6, 7.0)) == pytest.approx(wilson_interval(4, 6), rel=1e-12)
    for share in (0, 1):
        interval = clustered_interval(np.full(6, 7.0 * share), np.full(6, 7.0))
        assert interval == pytest.approx(wilson_interval(6 * share, 6), rel=1e-12)


def test_groups_that_even_out_are_worth_no_more_than_their_trials():
    assert clustered_interval(np.full(9, 2.0), np.full(9, 4.0)) == pytest.approx(
        wilson_interval(18, 36), rel=1e-12
    )


def test_the_interval_of_grouped_trials_holds_the_true_share():
    """Of 10 tickers that share a factor; Wilson's interval of all trials holds it in 67 % of cases."""
    random = np.random.default_rng(6)
    common, own = random.normal(size=(2, 500, 250, 10))
    hits = (np.sqrt(0.5) * common[..., :1] + np.sqrt(0.5) * own > 0.1).sum(axis=2)
    true_share = 0.4602
    intervals = [clustered_interval(one, np.full(250, 10.0)) for one in hits]
    assert np.mean([low <= true_share <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.025)
    naive = [wilson_interval(one.sum(), 2500) for one in hits]
    assert np.mean([low <= true_share <= high for low, high in naive]) < 0.75


def test_evaluate_of_persistence_is_plain_json_with_nulls_where_not_defined():
    origin = random_walk(50)
    (step,) = evaluate(origin[:-1], origin[1:, None], origin[:-1, None])
    record = json.loads(json.dumps(step.to_dict(), allow_nan=False))
    assert record["skill"] == 0
    assert record["hit_rate"]["rate"] is None
    assert record["diebold_mariano"]["p_value"] is None and record["diebold_mariano"]["reason"]
    assert record["pesaran_timmermann"]["p_value"] is None and record["pesaran_timmermann"]["reason"]
    assert record["clark_west"]["p_value"] is None and record["clark_west"]["reason"]
    assert record["correlation"]["value"] is None and record["correlation"]["test"]["reason"]


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        (((5,), (5, 1), (5, 2)), "(5,), (5, 1) and (5, 2)"),
        (((4,), (5, 1), (5, 1)), "(4,), (5, 1) and (5, 1)"),
        (((5,), (5,), (5,)), "(5,), (5,) and (5,)"),
        (((0,), (0, 1), (0, 1)), "(0,), (0, 1) and (0, 1)"),
    ],
)
def test_evaluate_names_wrong_shapes(shapes, named):
    with pytest.raises(DataError) as error:
        evaluate(*(np.ones(shape) for shape in shapes))
    assert str(error.value).endswith(f"shapes {named}.")


def test_measures_survive_json_and_make_a_row():
    walk = random_walk(40)
    noisy = walk[1:] * np.exp(0.01 * np.random.default_rng(1).standard_normal(39))
    for predicted in (walk[:-1], noisy):  # of persistence many are not defined
        (step,) = evaluate(walk[:-1], walk[1:, None], predicted[:, None])
        assert StepMetrics.from_dict(json.loads(json.dumps(step.to_dict()))) == step
    row = step.row()
    assert [row[name] for name in ("step", "n", "rmse", "mae", "mape", "skill")] == [
        *(1, 39, step.rmse, step.mae, step.mape, step.skill)
    ]
    hits = step.hit_rate
    assert [row[name] for name in HIT_RATE_COLUMNS] == [hits.rate, hits.low, hits.high]
    for name in ("diebold_mariano", "clark_west", "pesaran_timmermann"):
        assert row[f"{name}_p"] == getattr(step, name).p_value is not None
    assert row["correlation"] == step.correlation.value
    assert row["correlation_p"] == step.correlation.test.p_value


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_evaluate_refuses_prices_that_are_not_finite(which, value):
    arrays = [np.ones(5), np.ones((5, 1)), np.ones((5, 1))]
    arrays[which][2] = value
    name = ("origin_close", "actual", "predicted")[which]
    with pytest.raises(DataError, match=f"{name} holds NaN or infinity"):
        evaluate(*arrays)
