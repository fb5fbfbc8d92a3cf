"""Decimals and counts of things in words, and the sentences that several commands share."""

import math
from collections.abc import Mapping
from typing import Any

from trendlstm.nn.device import device_name

_PLACES = {
    "yahoo": "from Yahoo",
    "cache": "from the price cache",
    "sample": "from the packaged sample",
    "frame": "from a table that was given in Python",
}


def prices_sentence(provenance: Mapping[str, Any]) -> str:
    """Which prices these are, and where they came from."""
    place = _PLACES.get(provenance["source"]) or f"from {provenance['csv']}"
    adjusted = "adjusted for splits and dividends" if provenance["adjusted"] else "as given, not adjusted"
    return (
        f"{provenance['ticker']}: {provenance['rows']:,} sessions, {provenance['start']} to {provenance['end']}, "
        f"{place}, {adjusted}."
    )


def look_ahead_sentence(adjusted: bool, scaling: str) -> str:
    """What adjusted prices know too much; empty where a scaling does not show it to the networks."""
    if not adjusted or scaling != "none":
        return ""
    return (
        "Adjusted prices look ahead: splits and dividends that came later have lowered them. Only --scaling none sees "
        "that level."
    )


def device_sentence(asked: str, device: str) -> str:
    """What trains the networks, and why, if the choice was ours."""
    if device == "cuda":
        return f"Device: {device_name()}."
    return "Device: cpu" + (
        ", because no GPU has been measured to be faster yet." if asked == "auto" else "."
    )


def decimals(value: float, significant: int) -> int:
    """Decimal places that show this many significant digits of `value`, at least 2."""
    if not (value > 0 and math.isfinite(value)):
        return 2
    return max(2, significant - 1 - math.floor(math.log10(value)))


def count(number: int, noun: str) -> str:
    """A number of things: "1 epoch", "2,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def hidden_units(network: Mapping[str, Any]) -> str:
    """The hidden units of a network's settings, layer by layer: "64", "2 × 64", "50, 64"."""
    sizes, layers = (
        network["hidden_size"],
        network.get("layers", 1),
    )  # the first runs have one, and do not say
    if isinstance(sizes, list):
        return ", ".join(map(str, sizes))
    return f"{sizes}" if layers == 1 else f"{layers} × {sizes}"


def cell_phrase(network: Mapping[str, Any]) -> str:
    """The recurrent layers of a network's settings: "gru, 2 layers of 64 hidden units, dropout 0.2"."""
    sizes, layers = network["hidden_size"], network.get("layers", 1)
    if isinstance(sizes, list):
        units = f"layers of {', '.join(map(str, sizes[:-1]))} and {count(sizes[-1], 'hidden unit')}"
    else:
        units = ("" if layers == 1 else f"{count(layers, 'layer')} of ") + count(sizes, "hidden unit")
    return ", ".join([network["cell"], units, *dropout_phrases(network)])


def dropout_phrases(network: Mapping[str, Any]) -> list[str]:
    """What a network's settings say of dropout, where it has any: "dropout 0.2", "recurrent dropout 0.1"."""
    names = ("dropout", "recurrent_dropout")
    return [f"{name.replace('_', ' ')} {network[name]:g}" for name in names if network.get(name)]


def sessions(number: int) -> str:
    """What comes after "every": "session", "5 sessions"."""
    return "session" if number == 1 else count(number, "session")


def quantiles_phrase(lower: float, upper: float) -> str:
    """What a band between two predicted quantiles is called, given their levels."""
    return f"{100 * lower:g} % to {100 * upper:g} % quantile"
