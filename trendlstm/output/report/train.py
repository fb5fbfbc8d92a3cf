"""What the page of a training run shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import LOSS_NAMES, Loss, TrainConfig
from trendlstm.errors import RunError
from trendlstm.evaluation.distributions import QuantileBand
from trendlstm.evaluation.intervals import NOMINAL
from trendlstm.output.distributions import distributions_table
from trendlstm.output.limits import limits
from trendlstm.output.report.charts import Chart, Line, Rows, band
from trendlstm.output.report.facts import facts
from trendlstm.output.report.folder import read_table
from trendlstm.output.report.gates import Inside, inside
from trendlstm.output.report.html import Html, html_table, joined, paragraphs
from trendlstm.output.report.page import Page, Section
from trendlstm.output.runs import bands_of, load_weights
from trendlstm.output.train import (
    fit_sentences,
    forecast_page,
    forecaster_phrase,
    metrics_table,
    recursive_table,
    samples_sentence,
    standing,
)
from trendlstm.output.wording import count, decimals, prices_sentence, quantiles_phrase
from trendlstm.workflows.forecast import Forecaster
from trendlstm.workflows.variants import Colour

_ENLARGED_ROWS = 250  # as in predictions.png
_SAME = 1e-4  # relative; what processors and float32 differ by is far below
_SPLITS: dict[str, tuple[str, Colour]] = {
    "train": ("training (in-sample)", "blue"),
    "validation": ("validation (used for selection)", "orange"),
    "test": ("test (never trained on)", "green"),
}


def train_page(folder: Path, document: Mapping[str, Any]) -> Page:
    """The page of the folder that `trendlstm train` wrote.

    Parameters
    ----------
    folder : Path
    document : mapping
        The content of `run.json`.
    """
    ticker, provenance = document["settings"]["data"]["ticker"], document["provenance"]
    charts: list[Chart] = []
    sections: list[Section] = []
    gates: Inside | None = None
    if document["metrics"]:
        predictions = read_table(
            folder / "predictions.csv",
            ["step", "actual", "prediction"],
            ["origin", "date"],
            ["split"],
            gaps=["recursive", *(["low", "high"] if document.get("distributions") else [])],
        )
        drawn = [_prices(predictions, document), _enlarged(predictions, document)]
        charts += drawn
        sections.append(
            Section("prices", "Prices and predictions", _prices_body(document, predictions, drawn))
        )
        if document["forecast"]:
            sections.append(Section("forecast", "Forecast", _forecast(document, predictions)))
        sections.append(Section("errors", "How far off", _errors(document)))
        gates, body = _inside(folder, document, predictions)
        sections.append(Section("inside", "Inside the network", body))
    minimised = document["settings"]["network"].get("loss", "mse")
    fitted = [
        _losses(folder, document["fits"], minimised),
        *_rates(folder, document["settings"]["fit"]),
    ]
    charts += fitted
    sections.append(
        Section(
            "training",
            "Training",
            joined(
                paragraphs("\n".join(fit_sentences(document["fits"]))), *(chart.figure() for chart in fitted)
            ),
        )
    )
    sections.append(Section("limits", "What the model cannot do", _limits(document)))
    sections.append(Section("provenance", "Settings and provenance", facts(document, provenance)))
    if gates:
        charts.append(gates.chart)
    window, samples = document["settings"]["window"], document["samples"]
    answer, verdict = _verdict(document)
    return Page(
        kind="Training run",
        title=ticker,
        subtitle=f"{prices_sentence(provenance)}\n{samples_sentence(window, samples, provenance['adjusted'])}",
        answer=answer,
        is_good=bool(document["evidence"]),
        verdict=verdict,
        sections=sections,
        charts=charts,
        created=document["created"],
        gates=gates.values if gates else None,
    )


def _verdict(document: Mapping[str, Any]) -> tuple[str, str]:
    if not document["metrics"]:
        ended = {"interrupted": "was interrupted", "diverged": "diverged"}[document["status"]]
        return "Not measured", f"Training {ended} before the model's errors were measured."
    answer = "Evidence of skill" if document["evidence"] else "No evidence of skill"
    return answer, "\n".join(text for text in (document["verdict"], document.get("tries", "")) if text)


def _digits(document: Mapping[str, Any]) -> int:
    """Decimals of errors, as in the table."""
    return decimals(document["metrics"]["test"]["persistence"][0]["rmse"], 4)


def _price_digits(predictions: pd.DataFrame) -> int:
    """Decimals of prices, as in the table of the forecast."""
    return decimals(float(predictions["actual"].iloc[-1]), 5)


def _forecast_table(document: Mapping[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame(document["forecast"])
    for name in ("origin", "date"):
        table[name] = pd.to_datetime(table[name])
    return table.astype(dict.fromkeys(("price", "low", "high", "naive"), float))


def _prices(predictions: pd.DataFrame, document: Mapping[str, Any]) -> Chart:
    """The whole history: closes, predictions of every split, the recursive forecast, and the forecast with its band."""
    actual = predictions.drop_duplicates("date").set_index("date")["actual"].sort_index()
    first = predictions[predictions["step"] == 1].set_index("date")
    horizon = int(predictions["step"].max())
    kind = "one-step prediction" if horizon == 1 else f"prediction, step 1 of {horizon}"
    dates, lines, rows = actual.index, [Line("actual close", "black", width=2.2)], [actual]
    for split, (name, colour) in _SPLITS.items():
        lines.append(Line(f"{kind}, {name}", colour, width=1.3))
        rows.append(first.loc[first["split"] == split, "prediction"])
    recursive = first["recursive"].dropna()
    marks = [
        (own.index[0], split)
        for split in ("validation", "test")
        if len(own := first[first["split"] == split])
    ]
    if len(recursive):
        start = actual.index[actual.index < recursive.index[0]][-1]
        flat = pd.Series(actual[start], recursive.index.union([start]))
        found, digits = document["recursive"], _digits(document)
        error, flat_error = (f"{found[name]['rmse']:,.{digits}f}" for name in ("recursive", "flat"))
        lines.append(Line(f"recursive from {start:%Y-%m-%d}: test RMSE {error}", "vermillion", "dashed", 2))
        rows.append(pd.concat([actual[[start]], recursive]))
        lines.append(Line(f"flat line from that day: test RMSE {flat_error}", "vermillion", "dotted", 1.5))
        rows.append(flat)
    if document["forecast"]:
        forecast = _forecast_table(document).set_index("date")
        last = pd.Series(forecast["naive"].iloc[0], pd.DatetimeIndex([forecast["origin"].iloc[0]]))
        dates = dates.union(forecast.index)
        if forecast["low"].notna().any():
            lines += band(_band_name(document), "sky")
            rows += [forecast["low"], forecast["high"]]
        lines.append(Line("forecast", "purple", "dashdot", 2.4))
        rows.append(pd.concat([last, forecast["price"]]))
        lines.append(Line("naive: the last close", "grey", "sparse", 1.5))
        rows.append(pd.concat([last, forecast["naive"]]))
        marks.append((forecast.index[0], "forecast"))
    span = float(actual.max() - actual.min())
    return Chart(
        "prices",
        "Closing price, "
        + ("one-step predictions" if horizon == 1 else f"predictions of step 1 of {horizon}")
        + " and forecasts",
        "The predictions lie on the price because each begins at the close of the day before: zoom in, or see the "
        "enlarged chart below.",
        "date",
        "closing price",
        lines,
        [Rows(dates, [row.reindex(dates).to_numpy() for row in rows], marks=marks)],
        digits=_price_digits(predictions),
        # a recursive forecast that runs away must not press all prices into a flat line
        limits=(float(actual.min()) - span, float(actual.max()) + span),
    )


def _band_name(document: Mapping[str, Any]) -> str:
    """What the band of the forecast is."""
    bands, _ = bands_of(document)
    if bands and isinstance(bands[0], QuantileBand):
        return quantiles_phrase(bands[0].lower, bands[0].upper)
    return f"{100 * NOMINAL:g} % band of the forecast"


def _enlarged(predictions: pd.DataFrame, document: Mapping[str, Any]) -> Chart:
    """The last test forecasts beside persistence."""
    actual = predictions.drop_duplicates("date").set_index("date")["actual"]
    test = predictions[(predictions["step"] == 1) & (predictions["split"] == "test")]
    shown = test.iloc[-_ENLARGED_ROWS:]
    found, digits = document["metrics"]["test"], _digits(document)
    model, persistence = (f"{found[name][0]['rmse']:,.{digits}f}" for name in ("model", "persistence"))
    which = f"{len(test)}" if len(shown) == len(test) else f"last {len(shown)} of {len(test)}"
    lines = [
        Line("actual close", "black", width=2.6),
        Line(f"prediction: RMSE {model}", "green", "solid", 1.4),
        Line(f"previous close (persistence): RMSE {persistence}", "grey", "dashed", 1.4),
    ]
    previous = actual.reindex(shown["origin"]).to_numpy()
    values = [shown["actual"], shown["prediction"], previous]
    if "low" in shown:
        lines = [*band(_band_name(document), "sky"), *lines]
        values = [shown["low"], shown["high"], *values]
    return Chart(
        "enlarged",
        f"The {which} test forecasts enlarged",
        "Is the prediction nearer to the close than the close of the day before is?",
        "date",
        "closing price",
        lines,
        [Rows(shown["date"], values)],
        digits=_price_digits(predictions),
    )


def _prices_body(document: Mapping[str, Any], predictions: pd.DataFrame, charts: Sequence[Chart]) -> Html:
    body = [chart.figure() for chart in charts]
    if document["recursive"]:
        start = predictions.loc[predictions["recursive"].notna(), "origin"].min()
        table = recursive_table(document, f"{start:%Y-%m-%d}")
        note = (
            "The recursive forecast is fed with its own forecasts alone from the last training day on, as the long "
            "lines in tutorials claim to be."
        )
        body += [paragraphs(note), html_table(table)]
    return joined(*body)


def _forecast(document: Mapping[str, Any], predictions: pd.DataFrame) -> Html:
    table = _forecast_table(document)
    bands, no_bands = bands_of(document)
    validated = predictions.loc[predictions["split"] == "validation", "date"].max()
    phrase = forecaster_phrase(
        document["learned_until"], f"{validated:%Y-%m-%d}", document["settings"]["final_fit"]
    )
    ticker = document["settings"]["data"]["ticker"]
    title = f"Forecast of {ticker}{standing(document['evidence'])}"
    return joined(paragraphs(f"By {phrase}."), html_table(forecast_page(table, title, bands, no_bands)))


def _errors(document: Mapping[str, Any]) -> Html:
    table = metrics_table(document, document["settings"]["network"]["cell"])
    rows = "Rows: train figures are in-sample, validation figures were used for selection."
    body = [html_table(replace(table, legend=[rows, *table.legend]))]
    if document.get("distributions"):  # earlier runs do not say
        settings = document["settings"]
        found = [(settings["network"]["cell"], one) for one in document["distributions"]]
        body.append(html_table(distributions_table(found, settings["window"]["scaling"])))
    return joined(*body)


def _losses(folder: Path, fits: Sequence[Mapping[str, Any]], loss: Loss) -> Chart:
    """Loss against the epoch; of an ensemble the mean of all networks, or each."""
    history = read_table(folder / "history.csv", ["network", "epoch", "loss", "validation_loss"])
    losses = [own for _, own in history.groupby("network")]
    if len(losses) != len(fits):
        raise RunError(f"{folder / 'history.csv'} does not fit {folder / 'run.json'}: train again.")
    names = ["loss", "validation_loss"]
    sets = [
        Rows(
            own["epoch"].to_numpy(),
            [own[name].to_numpy() for name in names],
            f"network {number}",
            [(fit["best_epoch"], f"kept: epoch {fit['best_epoch']}")],
        )
        for number, (own, fit) in enumerate(zip(losses, fits), start=1)
    ]
    if len(fits) > 1:
        shortest = min(map(len, losses))
        means = [np.mean([own[name].to_numpy()[:shortest] for own in losses], axis=0) for name in names]
        kept = sorted({fit["best_epoch"] for fit in fits})
        some = "" if shortest == max(map(len, losses)) else ", while all of them run"
        sets.insert(
            0,
            Rows(
                range(1, shortest + 1),
                means,
                f"the mean of {len(fits)}{some}",
                [(epoch, f"kept: epoch {epoch}") for epoch in kept],
            ),
        )
    values = history[names].to_numpy()
    return Chart(
        "losses",
        "Loss after every epoch",
        f"Loss: {LOSS_NAMES[loss]} of the scaled target. The weights of the epoch with the lowest validation loss were "
        "kept. Where the training loss falls on and the validation loss does not, the network learns its rows by "
        "heart.",
        "epoch",
        "loss",
        [Line("training loss", "blue", "solid", 2), Line("validation loss", "vermillion", "dashed", 2)],
        sets,
        dates=False,
        log=bool(np.nanmin(values) > 0),
        choice="Network",
        aspect=0.36,
    )


def _rates(folder: Path, settings: Mapping[str, Any]) -> list[Chart]:
    """The learning rate of every epoch, if it was not the same in all of them."""
    if settings.get("schedule", "constant") == "constant" and not settings.get("warmup"):
        return []  # a run of an earlier version has no such column
    history = read_table(folder / "history.csv", ["network", "epoch", "learning_rate"])
    if history["learning_rate"].nunique() == 1:
        return []
    sets = [
        Rows(own["epoch"].to_numpy(), [own["learning_rate"].to_numpy()], f"network {number}")
        for number, (_, own) in enumerate(history.groupby("network"), start=1)
    ]
    return [
        Chart(
            "rates",
            "Learning rate of every epoch",
            "In a warm-up it rises from step to step; the rate is that of the epoch's last step.",
            "epoch",
            "learning rate",
            [Line("learning rate", "blue", "solid", 2)],
            sets,
            dates=False,
            choice="Network",
            aspect=0.2,
        )
    ]


def _inside(
    folder: Path, document: Mapping[str, Any], predictions: pd.DataFrame
) -> tuple[Inside | None, Html]:
    """The gates over the last test window, or a sentence why there are none."""
    config = TrainConfig.from_dict(document["settings"])
    if config.network.cell == "ann":
        return None, paragraphs(
            "A feed-forward network (ann) sees the whole window at once: it has no gates and no steps."
        )
    path = folder / "inputs.csv"
    if not path.exists():
        return None, paragraphs(
            "This run was written before runs kept inputs.csv, the rows that its test windows see. Train again to look "
            "inside."
        )
    networks, scaler, learned_until = load_weights(folder, "model", len(document["fits"]))
    forecaster = Forecaster(networks, scaler, config.window.lag, config.window.horizon, learned_until)
    test = predictions[(predictions["split"] == "test") & (predictions["step"] == 1)]
    own = test.iloc[-1]
    digits = _price_digits(predictions)
    which, forecast = "network", "It forecast"
    if len(networks) > 1:
        which, forecast = f"first of {count(len(networks), 'network')}", "Together they forecast"
    steps = count(config.window.lag, "session")
    intro = (
        f"How the {which} read its last test window, the {steps} to {own['origin']:%Y-%m-%d}. {forecast} a close of "
        f"{own['prediction']:,.{digits}f} for {own['date']:%Y-%m-%d}; it was {own['actual']:,.{digits}f}."
    )
    found = inside(_last_window(path, forecaster, predictions, own), networks[0], scaler, intro)
    return found, found.body


def _last_window(
    path: Path, forecaster: Forecaster, predictions: pd.DataFrame, forecast: pd.Series
) -> pd.DataFrame:
    """The rows of `inputs.csv` of which a forecast in `predictions.csv` was made.

    Raises
    ------
    RunError
        The file has other sessions or closes, or the model does not make this forecast of them.
    """
    scaler, lag = forecaster.scaler, forecaster.lag
    columns = list(dict.fromkeys((*scaler.features, "Close")))
    window = read_table(path, columns, dates=["date"]).iloc[-lag:]
    sessions = pd.DatetimeIndex(np.union1d(predictions["origin"], predictions["date"]))
    # the first rows of a long window may be older than all predictions
    known = sessions[sessions <= forecast["origin"]][-lag:]
    closes = window.set_index("date")["Close"]
    actual = predictions.drop_duplicates("date").set_index("date")["actual"].reindex(known).dropna()
    if not (
        len(window) == lag
        and closes.index.is_monotonic_increasing
        and closes.index[-len(known) :].equals(known)
        and np.allclose(closes[actual.index], actual, rtol=_SAME, atol=0)
        and _makes(forecaster, window, forecast["prediction"])
    ):
        raise RunError(
            f"{path} does not fit predictions.csv: it must have the rows that the last test forecast was made of. "
            "Train again."
        )
    return window


def _makes(forecaster: Forecaster, window: pd.DataFrame, prediction: float) -> bool:
    """Whether a model makes a forecast of a window, as far as another machine would, in the units of its targets."""
    scaler, anchor = forecaster.scaler, window["Close"].to_numpy(np.float64)[-1:]
    raw = window[list(scaler.features)].to_numpy(np.float64)
    own = forecaster.predict(scaler.inputs(raw[None], anchor), anchor)[0, 0]
    scaled, expected = scaler.targets(np.array([[own], [prediction]]), anchor.repeat(2))
    return bool(np.isclose(scaled, expected, rtol=_SAME, atol=_SAME).all())


def _limits(document: Mapping[str, Any]) -> Html:
    return Html("<ul>\n{}\n</ul>").format(
        joined(*(Html("<li>{}</li>").format(line) for line in limits(document)))
    )
