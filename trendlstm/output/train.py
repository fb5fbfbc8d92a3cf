"""A training run in words and tables: its windows, its fits, its errors and its forecast."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trendlstm.formats import figure, p_value, share
from trendlstm.output.console import Console
from trendlstm.output.distributions import distributions_table
from trendlstm.output.tables import Table
from trendlstm.output.wording import count, decimals, look_ahead_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from trendlstm.data.windows import Windows
    from trendlstm.workflows.forecast import AnyBand
    from trendlstm.workflows.train import Result


_STANDING = {
    "train": ("train", "in-sample"),
    "validation": ("validation", "used for", "selection"),
    "test": ("test",),
}


def windows_sentence(windows: "Windows", adjusted: bool) -> str:
    """What the samples are and how many each part has; and what adjusted prices know too much, if so.

    Parameters
    ----------
    windows : Windows
    adjusted : bool
        Whether the prices are adjusted for splits and dividends.

    Returns
    -------
    str
        It also says why there is no recursive forecast, if so.
    """
    window = {
        "lag": windows.lag,
        "horizon": windows.horizon,
        "features": windows.features,
        "scaling": windows.scaler.scaling,
    }
    return samples_sentence(window, {split.name: len(split.anchors) for split in windows.splits}, adjusted)


def samples_sentence(window: "Mapping[str, Any]", samples: "Mapping[str, int]", adjusted: bool) -> str:
    """As `windows_sentence`, given the settings of the windows and `samples` of `run.json`."""
    lag, horizon, features = window["lag"], window["horizon"], window["features"]
    train, validation, test = (f"{samples[split]:,}" for split in ("train", "validation", "test"))
    text = (
        f"{count(lag, 'session')} of {', '.join(features)} predict the next "
        f"{'close' if horizon == 1 else f'{horizon} closes'}: {train} windows to train, {validation} "
        f"to validate, {test} to test."
    )
    if look_ahead := look_ahead_sentence(adjusted, window["scaling"]):
        text += f"\n{look_ahead}"
    if tuple(features) != ("Close",) or horizon > 1:
        text += "\nThere is no recursive forecast: that needs --features Close and --horizon 1."
    return text


def fits_sentences(result: "Result") -> str:
    """How training ended, one line per network, and how long it took."""
    from trendlstm.output.runs import describe_fits

    return "\n".join([*fit_sentences(describe_fits(result)), f"Training took {result.seconds['fit']:.1f} s."])


def fit_sentences(fits: "Sequence[Mapping[str, Any]]") -> list[str]:
    """How the training of every network ended, given `fits` of `run.json`."""
    lines = []
    for number, fit in enumerate(fits, start=1):
        name = f"Network {number}: trained" if len(fits) > 1 else "Trained"
        stopped = " (stopped early)" if fit["stopped"] == "patience" else ""
        lines.append(
            f"{name} {count(fit['epochs_run'], 'epoch')}{stopped}; kept the weights of epoch "
            f"{fit['best_epoch']}, which has the lowest validation loss, {fit['validation_loss']:.4g}."
        )
    return lines


def ending_sentence(result: "Result", path: "Path") -> str:
    """How a run ended that did not finish, and where what it had by then is."""
    if result.status == "interrupted":
        return f"Interrupted; the best weights so far are in {path}."
    return f"{result.failure} The weights are in {path}."


def show_metrics(console: Console, result: "Result") -> None:
    """The table of all errors, of the first and the last step, with what its columns mean."""
    from trendlstm.output.runs import describe_assessment

    table = metrics_table(describe_assessment(result.assessment), result.config.network.cell)
    lines = {split: iter(words) for split, words in _STANDING.items()}
    # what the rows are stands beside the first of them, a line each
    rows = [[next(lines[str(split)], ""), *cells] for split, *cells in table.rows]
    console.show(replace(table, rows=rows))


def metrics_table(assessed: "Mapping[str, Any]", cell: str) -> Table:
    """All errors, of the first and the last step.

    Parameters
    ----------
    assessed : mapping
        `metrics`, `rmse_spread` and `ridge_alpha` of `run.json`.
    cell : str
        What the model is called.

    Returns
    -------
    Table
        Its first column is the split, by name.
    """
    metrics, spread = assessed["metrics"], assessed["rmse_spread"]
    horizon = len(metrics["test"]["model"])
    digits = decimals(metrics["test"]["persistence"][0]["rmse"], 4)
    rows = []
    for split, models in metrics.items():
        for step in sorted({1, horizon}):
            for model, steps in models.items():
                measured = steps[step - 1]
                error = f"{measured['rmse']:,.{digits}f}"
                if model == "model" and step == 1 and spread:
                    error += f" ± {spread[split]:,.{digits}f}"
                rows.append(
                    [
                        split,
                        *([step] if horizon > 1 else []),
                        cell if model == "model" else model,
                        error,
                        f"{measured['mae']:,.{digits}f}",
                        f"{measured['mape']:,.2f}",
                        figure(measured["skill"], "+.3f"),
                        _hit_rate(measured["hit_rate"]),
                        p_value(measured["diebold_mariano"]["p_value"]),
                        p_value(measured["clark_west"]["p_value"]),
                        p_value(measured["pesaran_timmermann"]["p_value"]),
                        figure(measured["correlation"]["value"], "+.2f"),
                        p_value(measured["correlation"]["test"]["p_value"]),
                    ]
                )
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
        "CW p",
        "PT p",
        "Corr.",
        "p",
    ]
    legend = [
        "RMSE, MAE: in the price's currency. Skill: 1 - RMSE / RMSE of persistence (tomorrow = today).",
        "Hit rate: days whose direction was right, with Wilson's interval. p-values of the tests of Diebold-Mariano",
        "(smaller errors than persistence), Clark-West (the same, less the noise that learning adds) and",
        "Pesaran-Timmermann (directions). Corr.: correlation of predicted and actual changes, and the p-value of one",
        "above 0; an echo of the last close has none, though its chart fits.",
    ]
    if horizon > 1:
        legend.append(
            "Of k steps ahead the interval counts one k-th of the days: forecasts k days ahead overlap."
        )
    legend.append(_ridge_sentence(float(assessed["ridge_alpha"])))
    if spread:
        legend.append("±: standard deviation over the single networks; all other figures are of their mean.")
    title = "How far the predictions were off; only test rows can support a claim"
    return Table(title, columns, rows, legend, text=("Forecast",))


def show_distributions(console: Console, result: "Result") -> None:
    """How good predicted distributions were on the test rows."""
    from trendlstm.output.runs import describe_assessment

    described = describe_assessment(result.assessment)
    found = [(result.config.network.cell, one) for one in described["distributions"]]
    console.show(distributions_table(found, result.config.window.scaling))


def show_recursive(console: Console, result: "Result") -> None:
    """The errors of the recursive forecast on the test rows, beside a flat line."""
    from trendlstm.output.runs import describe_assessment

    assessed = describe_assessment(result.assessment)
    console.show(recursive_table(assessed, result.forecaster.learned_until))


def recursive_table(assessed: "Mapping[str, Any]", start: str) -> Table:
    """The errors of the recursive forecast on the test rows, beside a flat line.

    Parameters
    ----------
    assessed : mapping
        `metrics` and `recursive` of `run.json`.
    start : str
        The last training day.
    """
    found, names = assessed["recursive"], {"recursive": "recursive forecast", "flat": "flat line"}
    digits = decimals(assessed["metrics"]["test"]["persistence"][0]["rmse"], 4)
    rows = [
        [
            names[line],
            f"{one['rmse']:,.{digits}f}",
            f"{one['mae']:,.{digits}f}",
            f"{one['mape']:,.2f}",
            figure(one["skill"], "+.3f"),
        ]
        for line, one in found.items()
    ]
    days = count(found["flat"]["n"], "test row")
    return Table(
        f"Fed with its own forecasts alone since {start}: {days}",
        ["Forecast", "RMSE", "MAE", "MAPE %", "Skill"],
        rows,
        ["Flat line: the last training close, kept. Skill: 1 - RMSE / RMSE of the flat line."],
    )


def _ridge_sentence(alpha: float) -> str:
    """Which penalty validation chose, and whether it is an end of those that were tried."""
    from trendlstm.evaluation.baselines import ALPHAS

    tried = f"{ALPHAS[0]:g} to {ALPHAS[-2]:g} and infinity"
    if math.isinf(alpha):
        return f"Ridge: of the penalties {tried} validation chose infinity: the mean of the training targets."
    end = {ALPHAS[0]: ", the smallest", ALPHAS[-2]: ", the largest but infinity"}.get(alpha, "")
    return f"Ridge: of the penalties {tried} validation chose {alpha:.3g}{end}."


def _hit_rate(rate: "Mapping[str, Any]") -> str | None:
    return share(rate["rate"], rate["low"], rate["high"])


def standing(evidence: bool | None) -> str:
    """What a forecast's title adds to it, given whether its run found evidence of skill; None: it was not measured."""
    if evidence is None:
        return "; skill not measured"
    return "" if evidence else "; no evidence of skill: see above"


def forecast_title(result: "Result") -> str:
    """What a training run's forecast is worth, what made it, and the last prices that it knows."""
    evidence = result.assessment.evidence if result.assessment else None
    windows = result.windows
    validated_until = f"{windows.dates[windows.train_rows + windows.validation_rows - 1]:%Y-%m-%d}"
    begin = f"Forecast of {result.config.data.ticker}{standing(evidence)}\nBy"
    learned_until = (result.final or result.forecaster).learned_until
    return f"{begin} {forecaster_phrase(learned_until, validated_until, result.final is not None)}"


def forecaster_phrase(learned_until: str, validated_until: str, is_final_fit: bool) -> str:
    """What made a training run's forecast, and the last prices that it knows."""
    if is_final_fit:
        return f"the final fit on all rows, until {learned_until}, for the epochs that validation chose"
    return (
        f"the evaluated model: trained until {learned_until}, epoch chosen on prices until {validated_until}"
    )


def show_forecast(
    console: Console, table: "pd.DataFrame", title: str, bands: "Sequence[AnyBand]", no_bands: str = ""
) -> None:
    """The forecast of the next sessions, as `forecast_page` has it."""
    console.show(forecast_page(table, title, bands, no_bands))


def forecast_page(table: "pd.DataFrame", title: str, bands: "Sequence[AnyBand]", no_bands: str = "") -> Table:
    """The forecast of the next sessions, with the band and the naive forecast beside it, and how the band has done.

    Parameters
    ----------
    table : DataFrame
        From `forecast_table`.
    title : str
    bands : sequence of Band or QuantileBand
        Those of the table.
    no_bands : str
        Why none are known, as `Run.no_bands`.
    """
    from trendlstm.evaluation.distributions import QuantileBand
    from trendlstm.evaluation.intervals import LEAST_ERRORS, LEAST_RETURNS, LEAST_SPANS, NOMINAL

    digits = decimals(float(table["naive"].iloc[0]), 5)
    level = f"{100 * NOMINAL:g} %"
    edges = [f"{level} from", "to"]

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
    legend = []
    shown = bands[: len(table)]
    if shown:
        held = " and ".join(
            f"{100 * band.coverage:.1f} % [{100 * band.low:.0f}, {100 * band.high:.0f}] "
            f"{count(band.step, 'session')} ahead"
            for band in dict.fromkeys((shown[0], shown[-1]))
        )
        legend = [
            f"{level} band: wide enough for {level} of the evaluated model's errors, measured in recent volatility.",
            f"On test rows it held {held} (95 % intervals).",
        ]
    predicted = next((band for band in shown if isinstance(band, QuantileBand)), None)
    if predicted:
        edges = [f"{100 * level:g} % quantile" for level in (predicted.lower, predicted.upper)]
        legend = [
            "Close: the predicted median, between two predicted quantiles; "
            f"{100 * predicted.nominal:g} % of the closes should lie between them.",
            f"Of the closes on test rows {held} did (95 % intervals).",
        ]
    columns = ["Session", "Close", "Direction", *edges, "Naive"]
    legend.append("Naive: the last close.")
    if predicted and len(shown) < len(table):
        legend.append(
            "A dash: only the next session's quantiles are predicted; --horizon has later ones predicted, too."
        )
    elif no_bands:
        legend.append(f"A dash: no band, because {no_bands}.")
    elif len(shown) < len(table):
        legend.append(
            f"A dash: no band; it needs {LEAST_ERRORS} errors that many sessions ahead before the test rows, and "
            f"{LEAST_SPANS}\nthat do not overlap."
        )
    if not predicted and table["low"].iloc[: len(shown)].isna().any():
        legend.append(
            "A dash: no band, because this forecast or many a one before was not above 0, or because there are fewer\n"
            f"than {LEAST_RETURNS} daily changes of the close to tell its volatility from."
        )
    return Table(title, columns, rows, legend, text=("Direction",))


def last_close_warning(table: "pd.DataFrame") -> str | None:
    """A sentence if the last close lies outside the band of a forecast."""
    outside = table[(table["naive"] < table["low"]) | (table["high"] < table["naive"])]
    if outside.empty:
        return None
    first = outside.iloc[0]
    return (
        f"The last close lies outside the band of {len(outside)} of {count(len(table), 'session')}, the first "
        f"{first['date']:%Y-%m-%d}: by the model's own band so large a move is rare. Look at its skill before you "
        "believe the forecast."
    )
