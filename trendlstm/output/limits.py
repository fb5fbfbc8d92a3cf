"""What a run's model cannot do, for its page and its model card."""

from collections.abc import Mapping
from typing import Any

from trendlstm.output.wording import count, decimals, look_ahead_sentence

_NOT_EVEN_NAIVE = -0.1  # skill: so much worse than persistence is no network that has learned to say the same


def limits(document: Mapping[str, Any]) -> list[str]:
    """Sentences on what the model of a run cannot do and what was not measured.

    Parameters
    ----------
    document : mapping
        The content of `run.json`.
    """
    settings, samples = document["settings"], document["samples"]
    lines = [
        "It does not beat persistence (tomorrow = today) on daily closes, as a rule: prices are close to a random "
        f"walk. {_learned(document)}",
        "Its chart follows the price because yesterday's close does. Only the skill on test rows says what it knows, "
        f"and {count(samples['test'], 'test day')} show little: see the verdict.",
        f"It learned from {settings['data']['ticker']} until {document['learned_until']} and knows no news, no other "
        "prices and no later day. Nothing was measured on other tickers.",
    ]
    if recursive := document["recursive"]:
        digits = decimals(recursive["flat"]["rmse"], 4)
        own, flat = (f"{recursive[name]['rmse']:,.{digits}f}" for name in ("recursive", "flat"))
        lines.append(
            f"Fed with its own forecasts over the {recursive['flat']['n']} test rows, its RMSE was {own}; that of a "
            f"flat line at the last close was {flat}."
        )
    if settings["final_fit"] and document["status"] == "finished":
        lines.append("Its forecasts come from a fit on all rows, which no figure here measures.")
    look_ahead = look_ahead_sentence(document["provenance"]["adjusted"], settings["window"]["scaling"])
    if look_ahead:
        lines.append(look_ahead)
    lines += [
        "Its forecast band does not hold when the market changes its kind from one day to the next.",
        "It is for study and research, not advice to buy or sell: its errors say nothing about costs.",
    ]
    return lines


def _learned(document: Mapping[str, Any]) -> str:
    """What the network made of a random walk, or did not."""
    network = (
        f"a network of {document['parameters']:,} parameters on {document['samples']['train']:,} windows"
    )
    measured = document["metrics"].get("test")
    skill = measured and measured["model"][0]["skill"]
    scaling = document["settings"]["window"]["scaling"]
    guess = "change is near 0" if scaling == "window" else "close is near the last one"
    if skill is not None and skill < _NOT_EVEN_NAIVE:
        return f"Not even that the best guess of the next {guess} was learned here, by {network}."
    return f"What {network} mostly learns is that the best guess of the next {guess}."
