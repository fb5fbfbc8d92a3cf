"""What pictures in files and in notebooks share: colours, markers, and how axes look.

Colours are those of Okabe and Ito (2008), which stay distinct in the common forms of colour blindness.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

BLACK, ORANGE, GREEN, BLUE = "#000000", "#E69F00", "#009E73", "#0072B2"
VERMILLION, GREY = "#D55E00", "#666666"
PURPLE, SKY = "#CC79A7", "#56B4E9"
WINE = "#882255"  # of Tol (2021), for a ninth line: their yellow is too faint on white


def epoch_numbers(loss: "NDArray[np.floating]") -> "NDArray[np.integer]":
    """1, 2, ... for every entry of a history."""
    return np.arange(1, len(loss) + 1)


def marker(values: "NDArray[np.floating] | pd.Series") -> str:
    """A dot for short lines, because a line of one point shows nothing."""
    return "." if len(values) <= 25 else ""


def decorate(axes: "Axes") -> None:
    """A faint grid, and no frame above and on the right."""
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=11)
    axes.spines[["top", "right"]].set_visible(False)
