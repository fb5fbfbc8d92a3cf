"""Whether anything depends on prices that come after it: change the future, do everything again, compare the bits.

What is compared are tables indexed by the last day that the values of a row may depend on: the origin of a
prediction, the last training day for what is fitted, the last validation day for what validation chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trendlstm.errors import OptionError

if TYPE_CHECKING:
    from trendlstm.data.windows import Windows

MOST_OBSERVATIONS = 9  # the original and three changes after each of three days, less one

Observe = Callable[[pd.DataFrame], Mapping[str, pd.DataFrame]]


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
        Values of origins up to `after` that both have, and those among them whose bits differ.
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


def check_for_leaks(windows: Windows, observe: Observe) -> list[LeakCheck]:
    """Change the prices after three days and compare the rows of all tables up to that day.

    The days are the last training day, the first test day that closes a forecast, and the middle of the test days.
    After each the prices are perturbed and shuffled, after the test days also truncated: without validation rows
    nothing can be fitted. A table whose rows all come after the day has nothing to compare; after the last training
    day these are all tables that validation has a part in.

    Parameters
    ----------
    windows : Windows
        Of the original prices; gives the days.
    observe : callable
        Takes prices of the same or fewer rows, does everything from their windows to predictions, split at the same
        rows as `windows`, and returns tables of float64 by name; index: origins.

    Returns
    -------
    list of LeakCheck
        One for each day, change and table with anything to compare.

    Raises
    ------
    OptionError
        There are too few test rows to have a future.
    """
    prices, last = windows.prices, len(windows.prices) - 1
    first_target = windows.train_rows + windows.validation_rows + windows.horizon - 1
    if last - first_target < 2:
        raise OptionError(
            f"The test rows end on {windows.dates[last]:%Y-%m-%d}, too soon to change what follows a test "
            "day: use a larger share for the test, a smaller horizon, or more years of prices."
        )
    days = [windows.train_rows - 1, *sorted({first_target, (first_target + last - 1) // 2})]
    original = observe(prices)
    checks = []
    for row in days:
        for change, alter in _CHANGES.items():
            if change == "truncated" and row < first_target:
                continue  # no validation rows would be left
            altered = observe(alter(prices, row + 1, np.random.default_rng(row)))
            for what, table in original.items():
                check = _compare(what, table, altered[what], change, prices.index[row])
                if check.compared:
                    checks.append(check)
    return checks


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


_CHANGES = {"perturbed": _perturbed, "truncated": _truncated, "shuffled": _shuffled}


def _compare(
    what: str, original: pd.DataFrame, altered: pd.DataFrame, change: str, day: pd.Timestamp
) -> LeakCheck:
    original, altered = original.loc[:day].align(altered.loc[:day], join="inner")
    bits = [np.ascontiguousarray(table, np.float64).view(np.int64) for table in (original, altered)]
    differs = bits[0] != bits[1]
    origins = original.index[differs.any(axis=1)]
    first = f"{origins[0]:%Y-%m-%d}" if len(origins) else None
    return LeakCheck(change, f"{day:%Y-%m-%d}", what, differs.size, int(differs.sum()), first)
