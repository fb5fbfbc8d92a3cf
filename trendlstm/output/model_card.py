"""What a model hub reads of a run's folder: `config.json` and `README.md`, the model card, both made of `run.json`."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any

from trendlstm.config import LOSS_NAMES
from trendlstm.formats import figure
from trendlstm.output.distributions import distributions_table
from trendlstm.output.limits import limits
from trendlstm.output.tables import cell_text
from trendlstm.output.wording import cell_phrase, count, decimals, prices_sentence

_LIBRARY = "trendlstm"
_TAGS = ("trendlstm", "lstm", "time-series-forecasting", "finance", "stocks")
_TASK = "time-series-forecasting"
_METRICS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "mape": "MAPE (%)",
    "skill": "Skill: 1 - RMSE / RMSE of persistence",
}
_ENDINGS = {
    "interrupted": "Training was interrupted; these are the best weights until then.",
    "diverged": "Training diverged: a loss was no longer finite. These are the weights of the last good epoch.",
}


def hub_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """What `config.json` says: the settings that make the network and its inputs, and nothing of the machine.

    Parameters
    ----------
    document : mapping
        The content of `run.json`.

    Returns
    -------
    dict
        model_type, library_name, trendlstm (its version), architectures, status, networks (how many), network, window.
    """
    settings = document["settings"]
    return {
        "model_type": _LIBRARY,
        "library_name": _LIBRARY,
        "trendlstm": document["trendlstm"],
        "architectures": ["Network"],
        "status": document["status"],
        "networks": len(document["fits"]),
        "network": settings["network"],
        "window": settings["window"],
    }


def model_card(document: Mapping[str, Any]) -> str:
    """The model card: metadata in YAML, then data, settings, test figures, what they are worth, how to load it.

    Parameters
    ----------
    document : mapping
        The content of `run.json`.

    Returns
    -------
    str
        Markdown. A text that users gave (a ticker, a file's name, a feature) is shown as it is and marks nothing up.
    """
    sections = [
        f"# {_plain(document['settings']['data']['ticker'])}: daily closes, forecast by {_title(document)}",
        _standing(document),
        f"## Data\n\n{_data(document)}",
        f"## Settings\n\n{_settings(document)}",
    ]
    if document["metrics"]:
        sections.append(f"## Test figures\n\n{_figures(document)}")
    sections += [
        "## What it cannot do\n\n" + "\n".join(f"- {_plain(line)}" for line in limits(document)),
        f"## How to use it\n\n{_usage(document)}",
    ]
    return f"---\n{_metadata(document)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _title(document: Mapping[str, Any]) -> str:
    networks, cell = len(document["fits"]), document["settings"]["network"]["cell"]
    what = "network" if networks == 1 else "networks"
    return f"{'a' if networks == 1 else networks} small {what} ({cell})"


def _standing(document: Mapping[str, Any]) -> str:
    """How training ended and what the run said of its skill."""
    ending = _ENDINGS.get(document["status"], "")
    said = document["verdict"] or "Its errors were not measured, so nothing is known of its skill."
    return f"**{_plain(' '.join(part for part in (ending, said, document['tries']) if part))}**"


def _data(document: Mapping[str, Any]) -> str:
    provenance, rows = document["provenance"], document["rows"]
    name = (
        PureWindowsPath(provenance["csv"]).name if provenance["csv"] else None
    )  # knows both kinds of slashes
    return (
        f"{_plain(prices_sentence({**provenance, 'csv': name}))} Of these, the first {rows['train']:,} were for "
        f"training, the next {rows['validation']:,} chose the epoch, and the last {rows['test']:,} were the test. "
        f"SHA-256 of the rows: `{provenance['sha256']}`.\n\n"
        "No licence is stated here, because the weights were learned from prices that belong to their source, and "
        "`predictions.csv` repeats closes: read the source's terms before you publish them."
    )


def _settings(document: Mapping[str, Any]) -> str:
    settings = document["settings"]
    network, window, fit = settings["network"], settings["window"], settings["fit"]
    dense = ", ".join(map(str, network["dense"])) or "none"
    rows = [
        ("Inputs", f"{count(window['lag'], 'session')} of {', '.join(window['features'])}"),
        ("Outputs", f"the next {'close' if window['horizon'] == 1 else str(window['horizon']) + ' closes'}"),
        ("Scaling", window["scaling"]),
        ("Cell", cell_phrase(network)),
        ("ReLU layers", dense),
        ("Parameters", f"{document['parameters']:,} ({network['dtype']})"),
        ("Networks", f"{len(document['fits'])}, seeds from {network['seed']}"),
        ("Loss", _loss(network)),
        ("Training", _training(fit)),
        ("Epochs kept", ", ".join(str(one["best_epoch"]) for one in document["fits"])),
        ("trendlstm", document["trendlstm"]),
    ]
    return _table(("Setting", "Value"), rows)


def _loss(network: Mapping[str, Any]) -> str:
    levels = f" at {', '.join(map(str, network['quantiles']))}" if network["quantiles"] else ""
    return f"{LOSS_NAMES[network['loss']]}{levels}"


def _training(fit: Mapping[str, Any]) -> str:
    """How the networks were trained, as a phrase."""
    descent = "Adam" if fit["optimizer"] == "adam" else f"gradient descent with momentum {fit['momentum']:g}"
    parts = [descent, f"learning rate {fit['learning_rate']:g}"]
    if fit["schedule"] != "constant":
        parts.append(f"schedule {fit['schedule']}")
    if fit["warmup"]:
        parts.append(f"{count(fit['warmup'], 'epoch')} of warm-up")
    return ", ".join([*parts, f"batches of {fit['batch_size']}"])


def _figures(document: Mapping[str, Any]) -> str:
    test, horizon = document["metrics"]["test"], document["settings"]["window"]["horizon"]
    digits = decimals(test["persistence"][0]["rmse"], 4)
    rows = []
    for step in sorted({1, horizon}):
        for model, steps in test.items():
            one = steps[step - 1]
            rate = one["hit_rate"]["rate"]
            rows.append(
                (
                    "this model" if model == "model" else model,
                    str(step),
                    f"{one['rmse']:,.{digits}f}",
                    f"{one['mae']:,.{digits}f}",
                    f"{one['mape']:,.2f}",
                    figure(one["skill"], "+.3f") or "–",
                    "–" if rate is None else f"{100 * rate:.1f}",
                )
            )
    columns = ("Forecast", "Sessions ahead", "RMSE", "MAE", "MAPE %", "Skill", "Hit rate %")
    distributions = f"\n\n{_distributions(document)}" if document["distributions"] else ""
    return (
        f"{_table(columns, rows)}\n\nOn {test['model'][0]['n']:,} test days. RMSE and MAE are in the price's currency. "
        "Skill is 1 - RMSE / RMSE of persistence (tomorrow = today). The hit rate is the share of days whose "
        f"direction was right.{distributions}"
    )


def _distributions(document: Mapping[str, Any]) -> str:
    """The measures of predicted distributions."""
    found = [("this model", one) for one in document["distributions"]]
    table = distributions_table(found, document["settings"]["window"]["scaling"])
    rows = [[cell_text(cell) for cell in row] for row in table.rows]
    return f"{_plain(table.title)}:\n\n{_table(table.columns, rows)}\n\n{_plain(' '.join(table.legend))}"


def _usage(document: Mapping[str, Any]) -> str:
    columns = ", ".join(dict.fromkeys((*document["settings"]["window"]["features"], "Close")))
    if document["provenance"]["source"] in ("csv", "frame"):
        prices = "prices = ...  # a DataFrame of daily prices, dates as its index"
    else:
        prices = "prices = tl.load_prices(run.config.data.ticker)"
    return (
        "```python\nimport huggingface_hub\nimport trendlstm as tl\n\n"
        f'run = tl.load_run(huggingface_hub.snapshot_download("you/name"))\n{prices}\nprint(run.forecast(prices))\n```'
        f"\n\nThe prices need {count(document['settings']['window']['lag'], 'row')} or more with {_plain(columns)}."
    )


def _metadata(document: Mapping[str, Any]) -> str:
    """The metadata of a card as hubs specify it; the test figures are its `model-index`."""
    lines = [f"library_name: {_LIBRARY}", f"pipeline_tag: {_TASK}", "tags:", *(f"- {tag}" for tag in _TAGS)]
    if not document["metrics"]:
        return "\n".join(lines)
    provenance = document["provenance"]
    ticker = document["settings"]["data"]["ticker"]
    data = f"{ticker}, {provenance['start']} to {provenance['end']}"
    lines += [
        "model-index:",
        f"- name: {_yaml_text(f'{_LIBRARY} {ticker}')}",
        "  results:",
        "  - task:",
        f"      type: {_TASK}",
        "    dataset:",
        "      type: daily-prices",
        f"      name: {_yaml_text(data)}",
        "      split: test",
        "    metrics:",
    ]
    steps = document["metrics"]["test"]["model"]
    for step in sorted({1, len(steps)}):
        ahead = f"{count(step, 'session')} ahead"
        for name, words in _METRICS.items():
            value = steps[step - 1][name]
            if value is not None:
                lines += [
                    f"    - type: {name}",
                    f"      value: {_yaml_number(value)}",
                    f"      name: {_yaml_text(f'{words}, {ahead}')}",
                ]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """A text for one line of Markdown that marks nothing up; what cannot be printed is written as its code."""
    one_line = "".join(_printable(character) for character in " ".join(text.split()))
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", html.escape(one_line, quote=False))


def _yaml_text(text: str) -> str:
    """A text as a quoted YAML scalar: JSON's, but for characters that YAML does not take as they are."""
    return "".join(map(_printable, json.dumps(text, ensure_ascii=False)))


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _yaml_number(value: float) -> str:
    """Six digits, with the point that YAML 1.1 wants before an exponent."""
    return re.sub(r"^(-?\d+)(?=e)", r"\1.0", f"{value:.6g}")
