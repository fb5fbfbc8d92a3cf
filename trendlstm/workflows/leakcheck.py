"""Train again and again on prices whose future was changed, and compare what must not depend on it."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from trendlstm.config import TrainConfig
from trendlstm.evaluation.baselines import BASELINES
from trendlstm.evaluation.leakcheck import MOST_OBSERVATIONS, LeakCheck, check_for_leaks
from trendlstm.nn.progress import FitProgress
from trendlstm.workflows.train import Prepared, Trained, fit_networks, part_of, prepare, recursive_path


def leak_check(prepared: Prepared, progress: Callable[[FitProgress], None] | None = None) -> list[LeakCheck]:
    """Train again and again on prices whose future was changed; see `check_for_leaks`.

    Parameters
    ----------
    prepared : Prepared
        Its networks stay untrained.
    progress : callable, optional
        Told of all fits together; their number is an upper bound.

    Returns
    -------
    list of LeakCheck
        Tables "scaler", the baselines but persistence, "model" (test predictions and the forecast from the last row)
        and, if there is one, "recursive".
    """
    fits = 0
    epochs = prepared.config.fit.epochs * prepared.config.seeds

    def observe(prices: pd.DataFrame) -> dict[str, pd.DataFrame]:
        nonlocal fits
        changed = replace(prepared.prices, frame=prices)
        again = prepare(_split_at_same_rows(prepared, len(prices)), changed)
        trained = fit_networks(again, part_of(progress, fits * epochs, MOST_OBSERVATIONS * epochs))
        fits += 1
        return _observations(trained)

    return check_for_leaks(prepared.windows, observe)


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
