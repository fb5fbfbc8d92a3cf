"""A table as the console and the report page both show it: cells, headings and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trendlstm.formats import DASH


@dataclass(frozen=True)
class Table:
    """A table before it is shown.

    Attributes
    ----------
    title : str
        A line above the table; "" for none.
    columns : sequence of str
        Headings. The first column names the rows.
    rows : sequence of sequences
        Cells, see `cell_text`.
    legend : sequence of str
        What the columns mean, line by line.
    text : sequence of str
        Headings of further columns that hold text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    legend: Sequence[str] = ()
    text: Sequence[str] = ()


def cell_text(value: Any) -> str:
    """Text as it is, integers with thousands separators, floats with four decimals, a dash for None and NaN."""
    if type(value).__module__ == "numpy":
        value = value.item()
    if value is None or value != value:
        return DASH
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if type(value) is int else str(value)
