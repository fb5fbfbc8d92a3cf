"""Whether two tables of one stock's prices are on the same level.

A split or a dividend makes every source restate all earlier prices by a factor. A model of returns does not notice; a
model of prices themselves takes them for other prices.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

LEAST_SESSIONS = 20  # common ones, about a month
RECENT = 20  # of them, from which the ratio is taken: dividends change it slowly along the table
SMALLEST_CHANGE = 1e-3  # of the ratio; less is rounding
# of a typical daily change: returns of the same stock differ by rounding alone, those of two stocks by much more
TOLERANCE = 0.25


@dataclass(frozen=True)
class PriceLevel:
    """How newer prices compare with earlier ones of the same sessions.

    Attributes
    ----------
    state : {"same", "restated", "different", "unknown"}
        On the same level; on another, by a factor; not the same stock, by their daily changes; or too few common
        sessions to say.
    ratio : float
        Earlier / newer price, the median of the last common sessions; 1 unless restated.
    lowest, highest : float
        Of all common sessions; NaN where there is none.
    sessions : int
        How many are common.
    """

    state: Literal["same", "restated", "different", "unknown"]
    ratio: float
    lowest: float
    highest: float
    sessions: int


def compare_levels(earlier: pd.Series, newer: pd.Series) -> PriceLevel:
    """Compare two series of closes where their dates overlap.

    Parameters
    ----------
    earlier, newer : Series
        Closes above 0, indexed by date, ascending.

    Returns
    -------
    PriceLevel
    """
    common = earlier.index.intersection(newer.index)
    before, after = np.log(earlier[common].to_numpy()), np.log(newer[common].to_numpy())
    ratios = np.exp(before - after)
    if len(common) < LEAST_SESSIONS:
        return PriceLevel("unknown", 1.0, *_range(ratios), len(common))
    changes, deviations = np.abs(np.diff(before)), np.abs(np.diff(before - after))
    if np.median(deviations) > TOLERANCE * np.median(changes):
        return PriceLevel("different", 1.0, *_range(ratios), len(common))
    ratio = float(np.median(ratios[-RECENT:]))
    if abs(ratio - 1) < SMALLEST_CHANGE:
        return PriceLevel("same", 1.0, *_range(ratios), len(common))
    return PriceLevel("restated", ratio, *_range(ratios), len(common))


def _range(ratios: np.ndarray) -> tuple[float, float]:
    return (float(ratios.min()), float(ratios.max())) if ratios.size else (np.nan, np.nan)
