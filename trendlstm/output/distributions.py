"""How good predicted distributions were, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from trendlstm.formats import figure, p_value, share
from trendlstm.output.tables import Table


def distributions_table(found: Sequence[tuple[str, Mapping[str, Any]]], scaling: str) -> Table:
    """How good predicted distributions were, each beside those of past changes.

    Parameters
    ----------
    found : sequence of (str, mapping)
        What the model is called, and `DistributionMetrics.to_dict`. Of its steps the first and the last are shown.
    scaling : str
        Of the windows.
    """
    first, last = found[0][1], max(one["step"] for _, one in found)
    several = last > 1
    rows = []
    for name, one in found:
        if one["step"] not in (1, last):
            continue
        for label, prefix in ((name, ""), ("past changes", "baseline_")):
            rows.append(
                [
                    label,
                    *([one["step"]] if several else []),
                    *(share(band["coverage"], band["low"], band["high"]) for band in one[f"{prefix}bands"]),
                    *(f"{100 * loss:.4f}" for loss in one[f"{prefix}pinball"]),
                    f"{100 * one[f'{prefix}crps']:.4f}",
                    None if prefix else figure(one["skill"], "+.4f"),
                    None if prefix else p_value(one["diebold_mariano"]["p_value"]),
                ]
            )
    bands = [f"In {100 * band['nominal']:g} % [95 %]" for band in first["bands"]]
    pinball = [f"Pinball {100 * level:g} %" for level in first["levels"]]
    change = "log return" if scaling == "window" else "change, of the last close"
    how = (
        "of whole distributions."
        if first["is_exact"]
        else "approximated by twice the mean of the pinball losses beside it; to be compared at the same levels only."
    )
    legend = [
        "In: closes in % that lay between the outer quantiles, or the next ones; the heading says how many should.",
        f"Pinball losses and CRPS: in % ({change}); smaller is better.",
        f"CRPS: {how}",
        "Past changes: persistence with the quantiles of the training rows' changes. Skill: 1 - CRPS / CRPS of those.",
        "DM p: p-value of the test of Diebold-Mariano that the CRPS is smaller than theirs.",
    ]
    return Table(
        "How good the predicted distributions were on the test rows",
        ["Forecast", *(["Step"] if several else []), *bands, *pinball, "CRPS", "Skill", "DM p"],
        rows,
        legend,
    )
