"""What all pictures in files share: titles, axes of dates, legends, and how a figure becomes a file."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

from trendlstm.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, WINE
from trendlstm.files import replace_file
from trendlstm.workflows.variants import Colour

PALETTE: dict[Colour, str] = {
    "black": BLACK,
    "blue": BLUE,
    "green": GREEN,
    "grey": GREY,
    "orange": ORANGE,
    "purple": PURPLE,
    "sky": SKY,
    "vermillion": VERMILLION,
    "wine": WINE,
}
DPI = 110
LEGEND: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1.01),
    "borderaxespad": 0,
    "frameon": False,
    "fontsize": 10.5,
}  # above the axes, where no line can run into it


def draw_subtitle(figure: Figure, text: str, y: float) -> None:
    """A grey line below the title, at height `y` of the figure; a long one is set smaller, in two."""
    is_long = len(text) > 11.4 * figure.get_figwidth()
    text = textwrap.fill(text, int(13.5 * figure.get_figwidth())) if is_long else text
    size = 9 if is_long else 11
    figure.text(figure.subplotpars.left, y, text, fontsize=size, color=GREY, va="center", parse_math=False)


def draw_caption(figure: Figure, text: str) -> None:
    """A note at the foot of the figure, broken into lines."""
    text = textwrap.fill(text, int(13 * figure.get_figwidth()))
    figure.text(figure.subplotpars.left, 0.02, text, fontsize=9.5, color=GREY, va="bottom", parse_math=False)


def draw_title(figure: Figure, title: str, y: float, x: float = 0.095) -> None:
    """The title, at height `y` of the figure, from `x` on."""
    figure.text(x, y, title, fontsize=15, fontweight="bold", va="center", parse_math=False)


def date_axis(axes: Axes, dates: pd.DatetimeIndex, most: int = 9) -> None:
    """Ticks for these dates, not many more than `most` of them."""
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=most // 2, maxticks=most))
    if len(dates) <= 10:  # the locator would go on to hours
        axes.set_xticks(dates)
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d" if np.ptp(dates).days < 370 else "%Y-%m"))


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    replace_file(path, lambda file: figure.savefig(file, format="png"))
