"""What the page of a comparison shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.output.compare import errors_table, gradients_table, model_label
from trendlstm.output.report.charts import Chart, Dash, Line, Rows
from trendlstm.output.report.facts import facts
from trendlstm.output.report.folder import read_table
from trendlstm.output.report.html import Html, html_table, joined, paragraphs
from trendlstm.output.report.page import Page, Section
from trendlstm.output.wording import decimals, prices_sentence
from trendlstm.workflows.variants import KINDS, MODELS

_FAINTEST = 1e-18  # as in gradients.png: what is smaller would press all other lines together
_STATES = {"initial": "before training", "trained": "after training"}
# in black and white, too, no two lines look alike
_DASHES: dict[str, Dash] = {
    "lstm1997": "dashdot",
    "gru": "long",
    "rnn-uniform": "dashdot",
    "rnn-glorot": "sparse",
    "rnn-orthogonal": "dashed",
}
_MODEL_DASHES: dict[str, Dash] = {
    "rnn": "dashdot",
    "gru": "dotted",
    "ann": "sparse",
    "lstm1997": "dashdotdot",
    "ridge": "long",
}


def compare_page(folder: Path, document: Mapping[str, Any]) -> Page:
    """The page of the folder that `trendlstm compare` wrote.

    Parameters
    ----------
    folder : Path
    document : mapping
        The content of `compare.json`.
    """
    provenance, models = document["provenance"], document["models"]
    seeds, samples = document["settings"]["seeds"], document["samples"]
    predictions = read_table(
        folder / "predictions.csv", ["step", "actual", "prediction"], ["origin", "date"], ["model", "seed"]
    )
    forecasts = _predictions(predictions, document)
    gradients = [_gradients(document, state) for state in _STATES]
    better = [
        model_label(name, model)
        for name, model in models.items()
        if (p := model["steps"][0]["claim_p_holm"]) is not None and p < document["tests"]["level"]
    ]
    errors, *memory = document["conclusions"]
    longest = len(next(iter(document["gradients"].values()))["initial"]["dloss_dh"]["relative"]) - 1
    sections = [
        Section("errors", "Models", html_table(errors_table(models, seeds))),
        Section("predictions", "Predictions", joined(*(chart.figure() for chart in forecasts))),
        Section(
            "gradients",
            "Which networks forget",
            joined(
                paragraphs("\n".join(memory)),
                *(chart.figure() for chart in gradients),
                html_table(gradients_table(document["gradients"], seeds, longest)),
            ),
        ),
        Section("limits", "What this cannot say", _limits()),
        Section("provenance", "Settings and provenance", facts(document, provenance)),
    ]
    return Page(
        kind="Comparison",
        title=f"{provenance['ticker']}: {', '.join(MODELS[name].label for name in models)}",
        subtitle=f"{prices_sentence(provenance)}\n{samples['train']:,} windows to train, {samples['validation']:,} to "
        f"validate, {samples['test']:,} to test.",
        answer=f"Evidence of skill: {', '.join(better)}"
        if better
        else "No evidence that any model knows more than persistence",
        is_good=bool(better),
        verdict=errors,
        sections=sections,
        charts=[*forecasts, *gradients],
        created=document["created"],
    )


def _predictions(predictions: pd.DataFrame, document: Mapping[str, Any]) -> list[Chart]:
    """What every model says on the test rows, as closes and as changes from the previous close."""
    models = document["models"]
    own = predictions[(predictions["step"] == 1) & (predictions["seed"] == "ensemble")]
    by_model = {name: rows.set_index("date") for name, rows in own.groupby("model") if name in models}
    actual, previous = by_model["persistence"]["actual"], by_model["persistence"]["prediction"]
    digits = decimals(models["persistence"]["steps"][0]["ensemble"]["rmse"], 4)
    closes = {name: by_model[name]["prediction"] for name in models}
    seeds = document["settings"]["seeds"]
    networks = f", mean of {seeds} networks" if seeds > 1 else ""
    lines = [
        Line(
            f"{MODELS[name].label}{networks if model['network'] else ''}: RMSE "
            f"{model['steps'][0]['ensemble']['rmse']:,.{digits}f}",
            MODELS[name].colour,
            _MODEL_DASHES.get(name, MODELS[name].line),
            1.8 if name == "lstm" else 1.4,
        )
        for name, model in models.items()
    ]
    together = (
        f" The line of a network is the mean output of {seeds}, trained with different seeds; its RMSE is often below "
        "the mean of their own, which the table has."
        if networks
        else ""
    )
    prices = Chart(
        "predictions",
        "One-step predictions of all models on the test rows",
        "Every forecast looks good, because it follows the close of the day before. The next chart shows what it adds."
        + together,
        "date",
        "closing price",
        [Line("actual close", "black", width=2.4), *lines],
        [Rows(actual.index, [actual, *closes.values()])],
        digits=decimals(float(actual.iloc[-1]), 5),
    )
    moves = Chart(
        "changes",
        "The same as changes from the previous close",
        "The bars were to be predicted.",
        "date",
        "change of the close",
        [Line("actual change", "grey", width=0, shape="bars"), *lines],
        [Rows(actual.index, [actual - previous, *(one - previous for one in closes.values())])],
        digits=digits,
    )
    return [prices, moves]


def _gradients(document: Mapping[str, Any], state: str) -> Chart:
    """How much of the gradient is left, against the lag."""
    kinds = {kind.key: kind for kind in KINDS}
    lines: list[Line] = []
    rows: list[np.ndarray] = []
    for label, found in document["gradients"].items():
        kind = kinds[found["key"]]
        curves = [("dloss_dh", label, _DASHES.get(kind.key, kind.line))]
        if kind.highlight and found[state]["dloss_dc"]:
            curves.append(("dloss_dc", f"{label}, its cell state |dL/dc|", "dashed"))
        for quantity, name, dash in curves:
            relative = np.array(found[state][quantity]["relative"], np.float64)
            lines.append(Line(name, kind.colour, dash, 3 if kind.highlight else 1.5))
            rows.append(np.where(relative > _FAINTEST, relative, np.nan))
    seeds = document["settings"]["seeds"]
    over = f"Medians over {seeds} seeds." if seeds > 1 else "One seed."
    if document["settings"]["network"].get("layers", 1) > 1:
        over += " Of several layers: the top one."
    return Chart(
        f"gradients-{state}",
        f"Gradient flow by lag, {_STATES[state]}",
        f"|dL/dh| k steps before the last, as a share of that at the last step. Thick: the textbook RNN against the "
        f"LSTM with chrono biases. {over}",
        "steps into the past",
        "share that is left",
        lines,
        [Rows(range(len(rows[0])), rows)],
        dates=False,
        log=True,
    )


def _limits() -> Html:
    limits = [
        "Which model is best on other prices, or in other years.",
        "What a network could remember. A gradient that reaches far back is needed for that and does not prove it: the "
        "long-lag tasks test memory itself (trendlstm reproduce).",
        "What trading would earn: trendlstm backtest walks forward day by day and counts costs.",
    ]
    return Html("<ul>\n{}\n</ul>").format(joined(*(Html("<li>{}</li>").format(line) for line in limits)))
