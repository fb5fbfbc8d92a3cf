"""What notebooks show of an object: its texts and tables as HTML, every character of them escaped.

Nothing has a colour of its own, so that it is read on a light page as on a dark one.
"""

import math
from collections.abc import Collection
from html import escape
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

from trendlstm.formats import DASH, p_value, significant

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 20  # of a longer table the first and the last are shown
_LEFT, _RIGHT = ' style="text-align: left"', ' style="text-align: right"'


class Table(NamedTuple):
    """A DataFrame that is to be shown without its index, with a title above it.

    Columns called `p` or `..._p` hold p-values, those of `percent` shares of 1.
    """

    title: str
    frame: "pd.DataFrame"
    percent: Collection[str] = ()


def as_html(title: str, *parts: str | Table) -> str:
    """HTML of a title, texts and tables, in this order.

    Parameters
    ----------
    title : str
    *parts : str or Table
        Each line of a text is a paragraph; empty texts and tables without rows are left out. In tables a float has
        four significant digits, a moment its date, and what is None or NaN is a dash.

    Returns
    -------
    str
    """
    blocks = [f"<p><strong>{escape(title)}</strong></p>"]
    for part in parts:
        if isinstance(part, Table):
            blocks += [_table(part)] if len(part.frame) else []
        else:
            blocks += [f"<p>{escape(line)}</p>" for line in part.splitlines() if line]
    return f"<div>{''.join(blocks)}</div>"


def _table(table: Table) -> str:
    frame, half = table.frame, _MOST_ROWS // 2
    columns = {
        str(name): [_cell(str(name), value, table.percent) for value in frame[name]] for name in frame.columns
    }
    texts = {name for name, cells in columns.items() if any(cell.is_text for cell in cells)}
    rows = [
        "".join(_td(cell.text, name in texts) for name, cell in zip(columns, row))
        for row in zip(*columns.values())
    ]
    if len(rows) > _MOST_ROWS:
        gap = f'<td colspan="{len(columns)}"{_LEFT}>… {len(rows) - 2 * half:,} rows more …</td>'
        rows = [*rows[:half], gap, *rows[-half:]]
    headings = "".join(
        f'<th scope="col"{_LEFT if name in texts else _RIGHT}>{escape(name)}</th>' for name in columns
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    caption = f'<caption style="caption-side: top; text-align: left">{escape(table.title)}</caption>'
    return f"<table>{caption}<thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>"


def _td(text: str, is_text: bool) -> str:
    return f"<td{_LEFT if is_text else _RIGHT}>{escape(text)}</td>"


class _Cell(NamedTuple):
    text: str
    is_text: bool = False  # aligned left, with its column


def _cell(column: str, value: Any, percent: Collection[str]) -> _Cell:
    if value is None or value != value:
        return _Cell(DASH)
    if isinstance(value, bool) or not isinstance(value, Real):
        return _Cell(f"{value:%Y-%m-%d}" if hasattr(value, "strftime") else str(value), is_text=True)
    number = float(value)
    if column in percent:
        return _Cell(f"{100 * number:.1f} %")
    if column == "p" or column.endswith("_p"):
        return _Cell(str(p_value(number)))
    if isinstance(value, Integral) or (
        math.isfinite(number) and number == int(number) and abs(number) >= 1000
    ):
        return _Cell(f"{int(number):,}")
    return _Cell(significant(number))
