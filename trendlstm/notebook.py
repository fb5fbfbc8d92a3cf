"""What notebooks show of an object: its texts and tables as HTML, every character of them escaped.

Nothing has a colour of its own, so that it is read on a light page as on a dark one.
"""

from collections.abc import Callable, Collection, Sequence
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from trendlstm.formats import DASH, p_value, significant

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 30  # of a longer table the first and the last are shown


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
        Each line of a text is a paragraph; empty texts and tables without rows are left out. In a table a number has
        four significant digits, a column of whole numbers none after the point, a moment its date, and what is None or
        NaN is a dash.

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
    columns = [
        _column(str(name), list(values), name in table.percent) for name, values in table.frame.items()
    ]
    headings = "".join(heading for heading, _ in columns)
    rows = ["".join(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    if len(rows) > _MOST_ROWS:
        half = _MOST_ROWS // 2
        gap = f'<td colspan="{len(columns)}">… {len(rows) - 2 * half:,} more …</td>'
        rows = [*rows[:half], gap, *rows[-half:]]
    caption = f'<caption style="caption-side: top; text-align: left">{escape(table.title)}</caption>'
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    whole = f"<table>{caption}<thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x: auto">{whole}</div>'


def _column(name: str, values: Sequence[Any], is_share: bool) -> tuple[str, list[str]]:
    """A column's heading and its cells: text is aligned left, numbers are aligned right."""
    present = [value for value in values if not _is_missing(value)]
    is_number = all(isinstance(value, Real) and not isinstance(value, bool) for value in present)
    write = _format_of(name, present, is_share) if is_number else _text
    style = f' style="text-align: {"right" if is_number else "left"}"'
    cells = (DASH if _is_missing(value) else write(value) for value in values)
    return (
        f'<th scope="col"{style}>{escape(name)}</th>',
        [f"<td{style}>{escape(cell)}</td>" for cell in cells],
    )


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _text(value: Any) -> str:
    return f"{value:%Y-%m-%d}" if hasattr(value, "strftime") else str(value)


def _format_of(name: str, numbers: Sequence[Any], is_share: bool) -> Callable[[Any], str]:
    """How the numbers of a column are written."""
    if is_share:
        return lambda share: f"{100 * share:.1f} %"
    if name == "p" or name.endswith("_p"):
        return lambda p: str(p_value(p))
    if all(number == round(number, 0) for number in numbers):
        return lambda number: f"{number:,.0f}"
    return significant
