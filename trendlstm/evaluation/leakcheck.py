"""Whether anything depends on prices that come after it: change the future, do everything again, compare the bits.

What is compared are tables indexed by the last day that the values of a row may depend on: the origin of a
prediction, the last training day for what is fitted, the last validation day for what validation chooses, the day
before its trade for a position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

Observe = Callable[[pd.DataFrame, int], Mapping[str, pd.DataFrame]]
Alter = Callable[[pd.DataFrame, int, np.random.Generator], pd.DataFrame]


@dataclass(frozen=True)
class LeakCheck:
    """One table before and after one change of the future.

    Attributes
    ----------
    change : {"perturbed", "truncated", "shuffled"}
        What was done to all prices after the day `after` (ISO date).
    after : str
    what : str
        Name of the table.
    compared, changed : int
        Values of origins up to `after` that both have, but those that are NaN in both, and those whose bits differ.
    first_changed : str or None
        Origin (ISO date) of the first that differs.
    """

    change: str
    after: str
    what: str
    compared: int
    changed: int
    first_changed: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a plain dict, fit for JSON."""
        return asdict(self)


def check_for_leaks(
    prices: pd.DataFrame, days: Mapping[int, Sequence[str]], observe: Observe
) -> list[LeakCheck]:
    """Change the prices after some days and compare the rows of all tables up to that day.

    A table whose rows all come after the day has nothing to compare.

    Parameters
    ----------
    prices : DataFrame
        Not modified.
    days : mapping of int to sequence of str
        By the row of a day: what is done to the prices after it, of `CHANGES`.
    observe : callable
        Takes prices and the row of a day. Does everything anew and returns tables of float64 by name, index: the day
        up to which the values of a row may know prices. Rows after the given day need not be there.

    Returns
    -------
    list of LeakCheck
        One for each day, change and table with anything to compare.
    """
    original = observe(prices, max(days))
    checks = []
    for row, changes in days.items():
        for change in changes:
            altered = observe(CHANGES[change](prices, row + 1, np.random.default_rng(row)), row)
            for what, table in original.items():
                check = _compare(what, table, altered[what], change, prices.index[row])
                if check.compared:
                    checks.append(check)
    return checks


def observations(days: Mapping[int, Sequence[str]]) -> int:
    """How often `check_for_leaks` observes: the original, and each change."""
    return 1 + sum(len(changes) for changes in days.values())


def _perturbed(prices: pd.DataFrame, start: int, generator: np.random.Generator) -> pd.DataFrame:
    """The rows from `start` on times random factors: one a row for all prices, another for the volume."""
    changed = prices.copy()
    factors = np.exp(generator.normal(0, 0.5, (2, len(prices) - start)))
    for name in prices.columns:
        changed.iloc[start:, prices.columns.get_loc(name)] *= factors[int(name == "Volume")]
    return changed


def _truncated(prices: pd.DataFrame, start: int, generator: np.random.Generator) -> pd.DataFrame:
    return prices.iloc[:start].copy()


def _shuffled(prices: pd.DataFrame, start: int, generator: np.random.Generator) -> pd.DataFrame:
    """The rows from `start` on in one random cycle, so that none stays on its date."""
    changed = prices.copy()
    order = start + generator.permutation(len(prices) - start)
    changed.iloc[order] = prices.iloc[np.roll(order, 1)].to_numpy()
    return changed


# name: function of prices, the first row that is changed and a generator; in the order in which they are made
CHANGES: dict[str, Alter] = {"perturbed": _perturbed, "truncated": _truncated, "shuffled": _shuffled}


def _compare(
    what: str, original: pd.DataFrame, altered: pd.DataFrame, change: str, day: pd.Timestamp
) -> LeakCheck:
    original, altered = original.loc[:day].align(altered.loc[:day], join="inner")
    values = [np.ascontiguousarray(table, np.float64) for table in (original, altered)]
    differs = values[0].view(np.int64) != values[1].view(np.int64)
    compared = int((~np.isnan(values)).any(axis=0).sum())
    origins = original.index[differs.any(axis=1)]
    first = f"{origins[0]:%Y-%m-%d}" if len(origins) else None
    return LeakCheck(change, f"{day:%Y-%m-%d}", what, compared, int(differs.sum()), first)
