"""What a run's model cannot do, for its page and its model card."""

from collections.abc import Mapping
from typing import Any

from trendlstm.output.wording import count, decimals, look_ahead_sentence


def limits(document: Mapping[str, Any]) -> list[str]:
    """Sentences on what the model of a run cannot do and what was not measured.

    Parameters
    ----------
    document : mapping
        The content of `run.json`.
    """
    settings, samples = document["settings"], document["samples"]
    parameters, windows = f"{document['parameters']:,}", f"{samples['train']:,}"
    lines = [
        "It does not beat persistence (tomorrow = today) on daily closes, as a rule: prices are close to a random "
        f"walk, and a network of {parameters} parameters on {windows} windows mostly learns that the best guess is "
        "near 0.",
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
