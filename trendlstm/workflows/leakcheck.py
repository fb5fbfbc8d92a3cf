"""Train again and again on prices whose future was changed, and compare what must not depend on it."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from trendlstm.config import TrainConfig
from trendlstm.evaluation.baselines import BASELINES
from trendlstm.evaluation.leakcheck import MOST_OBSERVATIONS, LeakCheck, check_for_leaks
from trendlstm.nn.progress import FitProgress
from trendlstm.workflows.train import Result, part_of, prepare, recursive_path, train


def leak_check(result: Result, progress: Callable[[FitProgress], None] | None = None) -> list[LeakCheck]:
    """Train again and again on prices whose future was changed; see `check_for_leaks`.

    Parameters
    ----------
    result : Result
        From `prepare`; stays untrained.
    progress : callable, optional
        Told of all fits together; their number is an upper bound.

    Returns
    -------
    list of LeakCheck
        Tables "scaler", the baselines but persistence, "model" (test predictions and the forecast from the last row)
        and, if there is one, "recursive".
    """
    fits = 0
    epochs = result.config.fit.epochs * result.config.seeds

    def observe(prices: pd.DataFrame) -> dict[str, pd.DataFrame]:
        nonlocal fits
        again = prepare(_split_at_same_rows(result, len(prices)), prices)
        train(again, part_of(progress, fits * epochs, MOST_OBSERVATIONS * epochs))
        fits += 1
        return _observations(again)

    return check_for_leaks(result.windows, observe)


def _split_at_same_rows(result: Result, rows: int) -> TrainConfig:
    """The settings that split `rows` rows where the windows of `result` are split."""
    train, validation = result.windows.train_rows / rows, result.windows.validation_rows / rows
    window = replace(result.config.window, split=(train, validation, 1 - train - validation))
    return replace(result.config, window=window)


def _observations(result: Result) -> dict[str, pd.DataFrame]:
    """All that a trained result has fitted or predicted, indexed by the last day that it may depend on."""
    windows, forecaster, dates = result.windows, result.forecaster, result.windows.dates
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
        tables["recursive"] = pd.DataFrame(recursive_path(result)[None], index=dates[[last_validation]])
    return tables
