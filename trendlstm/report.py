"""What the commands say: sentences and tables of results."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .console import Console
from .cuda import device_name

if TYPE_CHECKING:
    import pandas as pd

    from .evaluation.compare import Comparison, Spread
    from .evaluation.leakcheck import LeakCheck
    from .evaluation.metrics import HitRate
    from .pipeline import Result
    from .training import Progress

_PLACES = {"yahoo": "from Yahoo", "cache": "from the price cache", "sample": "from the packaged sample"}
_STANDING = {
    "train": ("train", "in-sample"),
    "validation": ("validation", "used for", "selection"),
    "test": ("test",),
}


def prices_sentence(provenance: Mapping[str, Any]) -> str:
    """Which prices these are, and where they came from."""
    place = _PLACES.get(provenance["source"]) or f"from {provenance['csv']}"
    adjusted = "adjusted for splits and dividends" if provenance["adjusted"] else "as given, not adjusted"
    return (
        f"{provenance['ticker']}: {provenance['rows']:,} sessions, {provenance['start']} to {provenance['end']}, "
        f"{place}, {adjusted}."
    )


def device_sentence(asked: str, device: str) -> str:
    """What trains the networks, and why, if the choice was ours."""
    if device == "cuda":
        return f"Device: {device_name()}."
    return "Device: cpu" + (", for no GPU has been measured to be faster yet." if asked == "auto" else ".")


def windows_sentence(result: "Result") -> str:
    """What the samples are and how many each part has; and why there is no recursive forecast, if so."""
    windows = result.windows
    train, validation, test = (f"{len(split.anchors):,}" for split in windows.splits)
    text = (
        f"{_count(windows.lag, 'session')} of {', '.join(windows.features)} predict the next "
        f"{'close' if windows.horizon == 1 else f'{windows.horizon} closes'}: {train} windows to train, {validation} "
        f"to validate, {test} to test."
    )
    if not result.forecaster.is_recursive:
        text += "\nThere is no recursive forecast: that needs --features Close and --horizon 1."
    return text


def fits_sentences(result: "Result") -> str:
    """How training ended, one line per network, and how long it took."""
    from .pipeline import kept_loss

    lines = []
    for number, history in enumerate(result.histories, start=1):
        name = f"Network {number}: trained" if len(result.histories) > 1 else "Trained"
        stopped = " (stopped early)" if history.stopped == "patience" else ""
        lines.append(
            f"{name} {_count(history.epochs_run, 'epoch')}{stopped}; kept the weights of epoch "
            f"{history.best_epoch + 1}, which has the lowest validation loss, {kept_loss(history):.4g}."
        )
    return "\n".join([*lines, f"Training took {result.seconds['fit']:.1f} s."])


def progress_text(progress: "Progress") -> str:
    """The losses beside a progress bar."""
    text = f"epoch {progress.epoch}/{progress.epochs}"
    if math.isfinite(progress.loss):
        text += f" · loss {progress.loss:.4g}"
    if math.isfinite(progress.validation_loss):
        text += f" · validation {progress.validation_loss:.4g}"
    return text


def show_metrics(console: Console, result: "Result") -> None:
    """The table of all errors, of the first and the last step, with what its columns mean."""
    horizon = result.windows.horizon
    digits = decimals(result.metrics["test"]["persistence"][0].rmse, 4)
    rows = []
    for split, models in result.metrics.items():
        names = [*_STANDING[split], *[""] * 2 * len(models)]
        for step in sorted({1, horizon}):
            for model, steps in models.items():
                measured = steps[step - 1]
                error = f"{measured.rmse:,.{digits}f}"
                if model == "model" and step == 1 and result.spread:
                    error += f" ± {result.spread[split]:,.{digits}f}"
                rows.append([
                    names.pop(0),
                    *([step] if horizon > 1 else []),
                    result.config.network.cell if model == "model" else model,
                    error,
                    f"{measured.mae:,.{digits}f}",
                    f"{measured.mape:,.2f}",
                    _figure(measured.skill, "+.3f"),
                    _hit_rate(measured.hit_rate),
                    _p_value(measured.diebold_mariano.p_value),
                    _p_value(measured.pesaran_timmermann.p_value),
                    measured.lag_check.shift,
                ])  # fmt: skip
    step_column = ["Step"] if horizon > 1 else []
    columns = [
        "Rows",
        *step_column,
        "Forecast",
        "RMSE",
        "MAE",
        "MAPE %",
        "Skill",
        "Hit rate % [95 %]",
        "DM p",
        "PT p",
        "Lag",
    ]
    console.table("How far the predictions were off; only test rows can support a claim", columns, rows)
    echo = "the step" if horizon > 1 else "1"
    legend = [
        "RMSE, MAE: in the price's currency. Skill: 1 - RMSE / RMSE of persistence (tomorrow = today).",
        "Hit rate: days whose direction was right, with Wilson's interval. DM p, PT p: p-values of the",
        "Diebold-Mariano test (smaller errors than persistence) and the Pesaran-Timmermann test (directions).",
        f"Lag: days by which predictions trail prices; {echo} is an echo of the last close.",
    ]
    if horizon > 1:
        legend.append(
            "Of k steps ahead the interval counts one k-th of the days: forecasts k days ahead overlap."
        )
    if result.spread:
        legend.append("±: standard deviation over the single networks; all other figures are of their mean.")
    console.print("\n".join(legend))


def forecast_title(result: "Result") -> str:
    """What made a training run's forecast, and the last prices that it knows."""
    begin = f"Forecast of {result.config.data.ticker} by"
    if result.final:
        until = result.final.learned_until
        return f"{begin} the final fit on all rows, until {until}, for the epochs that validation chose"
    windows = result.windows
    validated_until = windows.dates[windows.train_rows + windows.validation_rows - 1]
    return (
        f"{begin} the evaluated model: trained until {result.forecaster.learned_until}, epoch chosen on prices until "
        f"{validated_until:%Y-%m-%d}"
    )


def show_forecast(console: Console, table: "pd.DataFrame", title: str) -> None:
    """The forecast of the next sessions, with the band and the naive forecast beside it."""
    from .forecasting import BAND, LEAST_ERRORS, LEAST_SPANS

    digits = decimals(float(table["naive"].iloc[0]), 5)
    share = f"{100 * BAND:g} %"

    def price(value: float) -> str | None:
        return None if math.isnan(value) else f"{value:,.{digits}f}"

    rows = [
        [
            f"{row.date:%a %Y-%m-%d}",
            price(row.price),
            row.direction,
            price(row.low),
            price(row.high),
            price(row.naive),
        ]
        for row in table.itertuples()
    ]
    console.table(title, ["Session", "Close", "Direction", f"{share} from", "to", "Naive"], rows)
    legend = [
        f"{share} band: half-width that held {share} of the evaluated model's validation errors that many sessions",
        "ahead. Naive: the last close.",
    ]
    if table["low"].isna().any():
        legend.append(
            f"A dash: no band; it needs {LEAST_ERRORS} validation errors that many sessions ahead, and {LEAST_SPANS} "
            "that do not overlap."
        )
    console.print("\n".join(legend))


def show_leak_checks(console: Console, checks: Sequence["LeakCheck"], cell: str) -> None:
    """One row for each day and change, one column for each table that was compared."""
    names = list(dict.fromkeys(check.what for check in checks))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for check in checks:
        verdict = (
            f"CHANGED {check.changed:,} of {check.compared:,}"
            if check.changed
            else f"same ({check.compared:,})"
        )
        rows.setdefault((check.after, check.change), {})[check.what] = verdict
    headings = {"scaler": "Scaler", "model": cell, "recursive": "Recursive"}
    console.table(
        "What must not depend on prices after a day, compared bit by bit",
        ["Prices after", "were", *(headings.get(name, name) for name in names)],
        [[*key, *(found.get(name) for name in names)] for key, found in rows.items()],
    )
    recursive = ", and the recursive forecast" if "recursive" in names else ""
    legend = [
        "same (n): n numbers with the same bits as before. Compared are the fitted scaler, drift's predictions from",
        f"validation and test days, those of ridge and {cell} from test days, each up to the day{recursive}.",
        "A dash: nothing to compare, for validation, which comes after that day, has a part in it. After the last",
        "training day prices are not truncated: no validation rows would be left.",
    ]
    console.print("\n".join(legend))


def leak_sentence(checks: Sequence["LeakCheck"], cell: str) -> str:
    """Whether anything saw its future."""
    leaks = [check for check in checks if check.changed]
    if not leaks:
        changes = len({(check.after, check.change) for check in checks})
        numbers = sum(check.compared for check in checks)
        return f"No leak found: in {changes} changes of later prices all {numbers:,} compared numbers kept every bit."
    names = {"model": cell, "recursive": "recursive forecast"}
    who = ", ".join(dict.fromkeys(names.get(check.what, check.what) for check in leaks))
    first = leaks[0]
    return (
        f"A leak: {who} changed; the first was {names.get(first.what, first.what)} of {first.first_changed}, when the "
        f"prices after {first.after} were {first.change}."
    )


def show_cache(console: Console, entries: Sequence[Mapping[str, Any]]) -> None:
    """What the price cache holds, one line a ticker."""
    rows = [
        [entry["path"], None, None, None, f"damaged: {entry['error']}", None]
        if "error" in entry
        else [entry["ticker"], entry["rows"], entry["start"], entry["end"], _minutes(entry["fetched_at"]),
              _minutes(entry["fresh_until"])]
        for entry in entries
    ]  # fmt: skip
    console.table(
        "Cached prices", ["Ticker", "Sessions", "From", "To", "Fetched (UTC)", "Fresh until (UTC)"], rows
    )


def show_rows(console: Console, prices: "pd.DataFrame", count: int = 5) -> None:
    """The newest rows of some prices."""
    newest = prices.tail(count)
    digits = decimals(float(newest["Close"].iloc[-1]), 5)
    rows = [
        [
            f"{date:%a %Y-%m-%d}",
            *(f"{value:,.{0 if name == 'Volume' else digits}f}" for name, value in row.items()),
        ]
        for date, row in newest.iterrows()
    ]
    console.table(f"The last {len(rows)} sessions", ["Session", *newest.columns], rows)


def comparison_sentence(comparison: "Comparison") -> str:
    """Which networks are trained, on what, and what they share."""
    networks = len(comparison.variants) * comparison.config.seeds
    shared = "hidden units" if comparison.match == "hidden" else "number of parameters (as nearly as can be)"
    train, validation, test = (f"{len(split.anchors):,}" for split in comparison.windows.splits)
    return (
        f"{networks} networks, {_count(comparison.config.seeds, 'seed')} of each of {len(comparison.variants)} kinds, "
        f"with the same windows, dense layers, training and {shared}:\n"
        f"{train} windows of {_count(comparison.windows.lag, 'session')} to train, {validation} to validate, {test} to "
        "test."
    )


def show_comparison(console: Console, comparison: "Comparison") -> None:
    """The errors of all models on the test rows, of the first and the last step, with what the columns mean."""
    horizon, seeds = comparison.windows.horizon, comparison.config.seeds
    digits = decimals(comparison.assessments["persistence"].ensemble[0].rmse, 4)
    rows = []
    for step in sorted({1, horizon}):
        for name, model in comparison.assessments.items():
            better = model.lstm_better[step - 1].p_value if model.lstm_better else None
            is_fitted = name != "persistence"
            rows.append([
                *([step] if horizon > 1 else []),
                model.variant.name if model.variant else name,
                model.variant and model.variant.networks[0].config.hidden_size,
                model.parameters if is_fitted else None,
                _spread(model.spread(lambda steps: steps.rmse, step), f",.{digits}f"),
                _spread(model.spread(lambda steps: steps.mae, step), f",.{digits}f"),
                _spread(model.spread(lambda steps: steps.skill, step) if is_fitted else None, "+.3f"),
                _spread(model.spread(lambda steps: _percent(steps.hit_rate.rate), step), ".1f"),
                _p_value(model.ensemble[step - 1].diebold_mariano.p_value),
                _p_value(better),
                f"{model.seconds:.2f}" if is_fitted else None,
            ])  # fmt: skip
    columns = ["Model", "Hidden", "Parameters", "RMSE", "MAE", "Skill", "Hit rate %", "DM p", "LSTM p"]
    console.table(
        f"How far the predictions of {_count(comparison.assessments['lstm'].ensemble[0].n, 'test row')} were off",
        [*(["Step"] if horizon > 1 else []), *columns, "Seconds"],
        rows,
    )
    legend = [
        "RMSE, MAE: in the price's currency. Skill: 1 - RMSE / RMSE of persistence (tomorrow = today).",
        "DM p: Diebold-Mariano test of smaller errors than persistence; LSTM p: of the LSTM against this model.",
        "Seconds: to train one network on one thread.",
    ]
    if seeds > 1:
        legend.append(
            f"±: mean and standard deviation over {seeds} seeds; the p-values are of the seeds' mean output."
        )
    console.print("\n".join(legend))


def show_gradients(console: Console, comparison: "Comparison") -> None:
    """How much of the gradient is left at the oldest step, of every network before and after training."""
    from .evaluation.compare import JACOBIAN_SAMPLES, STATES, profile

    rows = []
    for variant in comparison.recurrent:
        row: list[object] = [variant.name]
        for quantity in ("dloss_dh", "dloss_dc", "dh_dh", "dc_dc"):
            found = [profile(variant, state, quantity) for state in STATES]
            row += [one and f"{one.ratio:.2g}" for one in found]
            if quantity == "dloss_dh":
                row += [one and _half_life(one.half_life, comparison.windows.lag) for one in found]
        rows.append([*row, f"{variant.test_rmse:.4g}"])
    pairs = ["|dL/dh|", "half-life", "|dL/dc|", "dh/dh", "dc/dc"]
    console.table(
        f"What is left {_count(comparison.longest_lag, 'step')} back of the last step's, before and after training",
        ["Network", *(heading for pair in pairs for heading in (pair, "after")), "Test RMSE"],
        rows,
    )
    over = f"Medians over {comparison.config.seeds} seeds. " if comparison.config.seeds > 1 else ""
    legend = [
        f"{over}LSTMs differ in the initial bias of the forget gate, RNNs in their initial weights.",
        "|dL/dh|, |dL/dc|: norm of the gradient by a state, mean over the training windows; half-life: steps to half.",
        f"dh/dh, dc/dc: spectral norm of the product of state Jacobians, {JACOBIAN_SAMPLES} windows, first seed.",
        "Test RMSE: one step ahead, mean over seeds.",
    ]
    console.print("\n".join(legend))


def _half_life(steps: float | None, lag: int) -> str:
    return f"≥{lag}" if steps is None else f"{steps:g}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _spread(spread: "Spread | None", style: str) -> str | None:
    if spread is None:
        return None
    mean = format(spread.mean, style)
    return mean if spread.sd is None else f"{mean} ± {format(spread.sd, style.lstrip('+'))}"


def _hit_rate(rate: "HitRate") -> str | None:
    if rate.rate is None or rate.low is None or rate.high is None:
        return None
    return f"{100 * rate.rate:.1f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _p_value(value: float | None) -> str | None:
    return "<0.001" if value is not None and value < 0.001 else _figure(value, ".3f")


def _figure(value: float | None, style: str) -> str | None:
    return None if value is None else format(value, style)


def decimals(value: float, significant: int) -> int:
    """Decimal places that show this many significant digits of `value`, at least 2."""
    if not (value > 0 and math.isfinite(value)):
        return 2
    return max(2, significant - 1 - math.floor(math.log10(value)))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _minutes(iso: str | None) -> str | None:
    return None if iso is None else iso[:16].replace("T", " ")
