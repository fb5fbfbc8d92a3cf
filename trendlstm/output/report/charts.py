"""What a chart shows, as the page's script takes it, and the figure that it is drawn into."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trendlstm.output.report.html import Html
from trendlstm.workflows.variants import Colour

Dash = Literal["solid", "dashed", "dotted", "dashdot", "sparse", "long", "dashdotdot"]
Shape = Literal["line", "bars", "edge", "band"]
_SIGNIFICANT = 6  # digits of a drawn value: a chart is some thousand points wide at most


@dataclass(frozen=True)
class Line:
    """How one row of values is drawn.

    Attributes
    ----------
    label : str
    colour : str
        A name of `plots.style.PALETTE`; the page has a shade of it for either theme.
    dash, width
        Lines differ in more than their colours.
    shape : {"line", "bars", "edge", "band"}
        A band is filled down to the line before it, its lower "edge".
    """

    label: str
    colour: Colour
    dash: Dash = "solid"
    width: float = 1.5
    shape: Shape = "line"


def band(label: str, colour: Colour) -> list[Line]:
    """The two lines of a band."""
    return [Line(label, colour, width=0, shape="edge"), Line(label, colour, width=0, shape="band")]


@dataclass(frozen=True)
class Rows:
    """The values of a chart; of several sets one is shown, which the reader chooses.

    Attributes
    ----------
    x : sequence
        Numbers or dates, ascending.
    values : sequence of sequences of float
        One for each line of the chart; NaN where there is none.
    name : str
        What is chosen.
    marks : sequence of (x, label)
        Vertical lines; those without a label are dashed.
    """

    x: Sequence[Any]
    values: Sequence[ArrayLike]
    name: str = ""
    marks: Sequence[tuple[Any, str]] = ()


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes
    ----------
    key : str
        Names it in the page.
    title, note : str
        Above it: what it shows, and what to look for.
    x, y : str
        What the axes say.
    lines : sequence of Line
    sets : sequence of Rows
    dates : bool
        Whether x are dates.
    log : bool
        Whether the y axis is logarithmic.
    digits : int or None
        Decimals of values; None for three significant digits.
    unit : str
        After every value.
    limits : (float, float) or None
        Beyond which the y axis never goes, though lines may.
    choice : str
        What is chosen among several sets.
    aspect : float
        Height over width.
    """

    key: str
    title: str
    note: str
    x: str
    y: str
    lines: Sequence[Line]
    sets: Sequence[Rows]
    dates: bool = True
    log: bool = False
    digits: int | None = None
    unit: str = ""
    limits: tuple[float, float] | None = None
    choice: str = ""
    aspect: float = 0.42

    def to_dict(self) -> dict[str, Any]:
        """What the script draws, fit for JSON."""
        return {
            "x": self.x,
            "y": self.y + (", log scale" if self.log else ""),
            "lines": [vars(line) for line in self.lines],
            "sets": [
                {
                    "name": rows.name,
                    "x": self._places(rows.x),
                    "values": [_short(values) for values in rows.values],
                    "marks": [{"x": self._places([x])[0], "label": label} for x, label in rows.marks],
                }
                for rows in self.sets
            ],
            "dates": self.dates,
            "log": self.log,
            "digits": self.digits,
            "unit": self.unit,
            "limits": self.limits,
            "choice": self.choice,
            "aspect": self.aspect,
        }

    def figure(self) -> Html:
        """Where the script draws it."""
        return Html(
            '<figure data-chart="{key}">\n<figcaption><b>{title}</b><span class="quiet">{note}</span></figcaption>\n'
            "</figure>"
        ).format(key=self.key, title=self.title, note=self.note)

    def _places(self, x: Sequence[Any]) -> list[int]:
        if not self.dates:
            return [int(one) for one in x]
        days = pd.DatetimeIndex(x).to_numpy().astype("datetime64[D]")
        return days.astype(np.int64).tolist()


def _short(values: ArrayLike) -> list[float | None]:
    """Values as they are drawn, None for those that are not finite."""
    array = np.asarray(values, np.float64)
    return [float(f"{one:.{_SIGNIFICANT}g}") if np.isfinite(one) else None for one in array.tolist()]
