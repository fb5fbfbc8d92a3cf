"""Do everything again and again on prices whose future was changed, and compare what must not depend on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from trendlstm.config import BacktestConfig, TrainConfig
from trendlstm.data.windows import Windows
from trendlstm.errors import OptionError, TrendLSTMError
from trendlstm.evaluation.baselines import BASELINES
from trendlstm.evaluation.leakcheck import CHANGES, LeakCheck, check_for_leaks, observations
from trendlstm.evaluation.trading import STRATEGIES, account
from trendlstm.nn.progress import FitProgress
from trendlstm.workflows import folds
from trendlstm.workflows.fold_queue import Block, MemoryStore, ThreadEngine
from trendlstm.workflows.train import Prepared, Trained, fit_networks, part_of, prepare, recursive_path
from trendlstm.workflows.walked import Walked

Days = Mapping[int, Sequence[str]]

_WITH_ALL_ROWS = [change for change in CHANGES if change != "truncated"]


def training_days(windows: Windows) -> Days:
    """The days after which a training's prices are changed, by row, and how: see `check_for_leaks`.

    These are the last training day, the first test day that closes a forecast, and the middle of the test days. After
    the first of them all rows stay, because without validation rows nothing can be fitted; there a table that
    validation has a part in has nothing to compare.

    Raises
    ------
    OptionError
        There are too few test rows to have a future.
    """
    last = len(windows.prices) - 1
    first_target = windows.train_rows + windows.validation_rows + windows.horizon - 1
    if last - first_target < 2:
        raise OptionError(
            f"The test rows end on {windows.dates[last]:%Y-%m-%d}, too soon to change what follows a test "
            "day: use a larger share for the test, a smaller horizon, or more years of prices."
        )
    test_days = sorted({first_target, (first_target + last - 1) // 2})
    return {windows.train_rows - 1: _WITH_ALL_ROWS, **{row: list(CHANGES) for row in test_days}}


def leak_check(prepared: Prepared, progress: Callable[[FitProgress], None] | None = None) -> list[LeakCheck]:
    """Train again and again on prices whose future was changed, after `training_days`.

    Parameters
    ----------
    prepared : Prepared
        Its networks stay untrained.
    progress : callable, optional
        Told of all fits together.

    Returns
    -------
    list of LeakCheck
        Tables "scaler", the baselines but persistence, "model" (test predictions and the forecast from the last row)
        and, if there is one, "recursive".

    Raises
    ------
    OptionError
        See `training_days`.
    """
    days = training_days(prepared.windows)
    fits = 0
    epochs = prepared.config.fit.epochs * prepared.config.seeds

    def observe(prices: pd.DataFrame, row: int) -> dict[str, pd.DataFrame]:
        nonlocal fits
        changed = replace(prepared.prices, frame=prices)
        again = prepare(_split_at_same_rows(prepared, len(prices)), changed)
        trained = fit_networks(again, part_of(progress, fits * epochs, observations(days) * epochs))
        fits += 1
        return _observations(trained)

    return check_for_leaks(prepared.windows.prices, days, observe)


def _split_at_same_rows(prepared: Prepared, rows: int) -> TrainConfig:
    """The settings that split `rows` rows where the windows of `prepared` are split."""
    train, validation = prepared.windows.train_rows / rows, prepared.windows.validation_rows / rows
    window = replace(prepared.config.window, split=(train, validation, 1 - train - validation))
    return replace(prepared.config, window=window)


def _observations(trained: Trained) -> dict[str, pd.DataFrame]:
    """All that was fitted or is predicted, indexed by the last day that it may depend on."""
    windows, forecaster = trained.prepared.windows, trained.forecaster
    dates = windows.dates
    last_train, last_validation = windows.train_rows - 1, windows.train_rows + windows.validation_rows - 1
    scaler = windows.scaler
    numbers = [scaler.sigma, *scaler.centre, *scaler.scale, scaler.target_centre, scaler.target_scale]
    tables = {"scaler": pd.DataFrame([numbers], index=dates[[last_train]])}
    for name, baseline in BASELINES.items():
        predicted = baseline(windows)
        # validation chooses ridge's penalty, so its validation predictions may depend on later validation rows
        splits = (windows.validation, windows.test) if name == "drift" else (windows.test,)
        if name != "persistence":
            tables[name] = pd.concat(
                [pd.DataFrame(predicted[split.name], dates[split.origins]) for split in splits]
            )
    x, anchor = windows.latest()
    tested = forecaster.predict(windows.test.x, windows.test.anchors)
    tables["model"] = pd.concat(
        [
            pd.DataFrame(tested, index=dates[windows.test.origins]),
            pd.DataFrame(forecaster.predict(x, anchor), index=dates[-1:]),
        ]
    )
    if forecaster.is_recursive:
        tables["recursive"] = pd.DataFrame(
            recursive_path(forecaster, windows)[None], index=dates[[last_validation]]
        )
    return tables


def walking_days(walk: folds.Walk) -> Days:
    """The days after which a walk's prices are changed, by row, and how: see `check_for_leaks`.

    These are the first origin, the first one of the fold in the middle (on that day labels from after the cutoff would
    show), and the one in the middle, if that is another. After the first of them all rows stay, because without two
    more sessions nothing can be traded.
    """
    first, *_ = origins = walk.origins.tolist()
    middle = origins[len(origins) // 2]
    of_fold = next(fold.origins[0] for fold in walk.folds if middle in fold.origins)
    return dict(sorted({middle: list(CHANGES), of_fold: list(CHANGES), first: _WITH_ALL_ROWS}.items()))


def folds_to_walk(walk: folds.Walk) -> int:
    """How many folds `leak_check_walk` fits."""
    days = walking_days(walk)
    counts = {row: len(_folds_until(walk, row, walk.folds[-1].origins.stop)) for row in days}
    return max(counts.values()) + sum(counts[row] * len(changes) for row, changes in days.items())


def leak_check_walk(
    walk: folds.Walk,
    config: BacktestConfig,
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[LeakCheck]:
    """Walk again and again through prices whose future was changed, after `walking_days`, each time up to that day.

    Parameters
    ----------
    walk : Walk
        Its folds stay where they are.
    config : BacktestConfig
    n_threads : int, optional
        Default: all cores that the process may use.
    progress : callable, optional
        Told how many folds of `folds_to_walk` are finished.

    Returns
    -------
    list of LeakCheck
        Tables by origin: "drift", "ridge", each model (its ensemble and every network), "bands" and "signals" (the
        position after each forecast); by the last session before the trade: "positions" of the accounts and the
        forecasts that they follow; by the day on which it ends: "returns" of the accounts.

    Raises
    ------
    TrainingError
        A loss or weight became infinite or NaN.
    """
    engine, finished = ThreadEngine(n_threads), 0

    def fail(ticker: str, error: TrendLSTMError) -> None:
        raise error

    def observe(prices: pd.DataFrame, row: int) -> dict[str, pd.DataFrame]:
        again = folds.Walk(
            walk.ticker, replace(walk.prices, frame=prices), _folds_until(walk, row, len(prices))
        )
        store = MemoryStore()

        def save(results: Sequence[folds.FoldResult]) -> None:
            nonlocal finished
            store.save(results)
            finished += len(results)
            if progress is not None:
                progress(finished)

        engine.run([Block(again, again.folds, {})], config, save, fail)
        return _walk_observations(Walked.of(again, store, config))

    return check_for_leaks(walk.prices.frame, walking_days(walk), observe)


def _folds_until(walk: folds.Walk, row: int, rows: int) -> tuple[folds.Fold, ...]:
    """The folds that forecast on or before a day, with all their origins among the first `rows` rows."""
    return tuple(
        replace(fold, origins=range(fold.origins.start, min(fold.origins.stop, rows), fold.origins.step))
        for fold in walk.folds
        if fold.origins[0] <= row
    )


def _walk_observations(walked: Walked) -> dict[str, pd.DataFrame]:
    """All that a walk forecasts and trades, indexed by the last day that it may depend on."""
    config, dates = walked.config, walked.dates
    predictions = {name: walked.predictions(name) for name in (*folds.BASELINES, *config.models)}

    def by_origin(name: str, *columns: str) -> pd.DataFrame:
        return predictions[name].pivot(index="origin", columns="step", values=list(columns))

    tables = {name: by_origin(name, "forecast") for name in predictions}
    for model in config.models:
        members = walked.members(model).pivot(index="origin", columns=["step", "seed"], values="forecast")
        tables[model] = _side_by_side([tables[model], members])
    edges = ("low", "high", "adaptive_low", "adaptive_high")
    # one outcome moves the adaptive edges only if it moves their rank, but always the miscoverage
    miscoverage = [bands.miscoverage for model in config.models for bands in walked.bands[model]]
    learned = pd.DataFrame(np.stack(miscoverage, axis=1), index=dates[walked.walk.origins])
    tables["bands"] = _side_by_side([learned, *(by_origin(model, *edges) for model in config.models)])
    signals = [by_origin(model, "position").dropna(axis=1) for model in config.models]
    tables["signals"] = _side_by_side(signals)
    days = {model: walked.holding_days(model) for model in config.models}
    accounts = [account(days[model], name, config.costs_bps) for model in days for name in STRATEGIES]
    traded = days[config.models[0]].dates
    before = dates[np.searchsorted(dates, traded[:-1]) - 1]
    weights = [weight for one in accounts for weight in (one.position, one.turnover)]
    followed = [days[model].change for model in days]  # of which the positions are but the signs
    tables["positions"] = pd.DataFrame(np.stack([*followed, *weights], axis=1), index=before)
    earned = [part for one in accounts for part in (one.gross, one.equity[1:])]
    tables["returns"] = pd.DataFrame(np.stack(earned, axis=1), index=traded[1:])
    return tables


def _side_by_side(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the same rows as one, its columns numbered."""
    return pd.concat(tables, axis=1, ignore_index=True)
