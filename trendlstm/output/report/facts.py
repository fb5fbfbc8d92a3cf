"""Settings and provenance: what a run was made of."""

from collections.abc import Iterator, Mapping
from typing import Any

from trendlstm.output.report.html import Html, facts_table, joined

_PROVENANCE = {
    "source": "source",
    "requested_source": "source asked for",
    "csv": "file",
    "exchange": "exchange",
    "calendar": "calendar",
    "adjusted": "adjusted for splits and dividends",
    "start": "first session",
    "end": "last session",
    "rows": "sessions",
    "fetched_at": "fetched at",
    "sha256": "SHA-256 of the rows",
}


def facts(document: Mapping[str, Any], provenance: Mapping[str, Any] | None = None) -> Html:
    """What `output.record.header` wrote, as tables.

    Parameters
    ----------
    document : mapping
    provenance : mapping, optional
        Of the prices, if all are of one ticker.
    """
    settings = {key: value for key, value in document["settings"].items() if isinstance(value, Mapping)}
    settings["run"] = {key: value for key, value in document["settings"].items() if key not in settings}
    names = {
        "data": "Prices asked for",
        "window": "Windows",
        "network": "Network",
        "fit": "Training",
        "run": "Run",
    }
    parts = [] if provenance is None else [_prices_facts(provenance)]
    parts += [
        facts_table(names.get(key, key.capitalize()), _listed(values)) for key, values in settings.items()
    ]
    machine = {
        "trendlstm": document["trendlstm"],
        "created": document["created"],
        **document["versions"],
        **document["machine"],
        "device": document["device"],
    }
    parts.append(facts_table("Versions and machine", _listed(machine)))
    seconds = document["seconds"]
    times = seconds.items() if isinstance(seconds, Mapping) else [("all", seconds)]
    parts.append(facts_table("Time", ((name.replace("_", " "), f"{value:.1f} s") for name, value in times)))
    return Html('<div class="settings">\n{}\n</div>').format(joined(*parts))


def _prices_facts(provenance: Mapping[str, Any]) -> Html:
    """Where the prices of one ticker came from."""
    known = ((label, provenance[key]) for key, label in _PROVENANCE.items() if provenance[key] is not None)
    return facts_table("Prices used", ((label, _words(value)) for label, value in known))


def _listed(values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    return ((key.replace("_", " "), _words(value)) for key, value in values.items())


def _words(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return value
