"""Text that is safe in a page: whatever is put into `Html` is escaped unless it is `Html` itself."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from trendlstm.output.tables import Table, cell_text

MOST_ROWS = 40  # of a table that is shown whole; a longer one scrolls by itself


class Html(str):
    """A piece of HTML. `format` and `join` escape every value that is not a piece of HTML itself."""

    __slots__ = ()

    def format(self, *values: Any, **named: Any) -> "Html":
        """As `str.format`, with everything escaped that is put in."""
        safe = {name: safe_text(value) for name, value in named.items()}
        return Html(str.format(self, *map(safe_text, values), **safe))

    def join(self, parts: Iterable[Any]) -> "Html":
        """As `str.join`, with everything escaped that is joined."""
        return Html(str.join(self, map(safe_text, parts)))


def safe_text(value: Any) -> str:
    """A value as HTML: what is no `Html` yet is text, in which nothing is markup."""
    return value if isinstance(value, Html) else escape(str(value))


def joined(*parts: Any) -> Html:
    """Pieces one after the other."""
    return Html("\n").join(parts)


def paragraphs(text: str, kind: str = "") -> Html:
    """A paragraph for every line."""
    form = Html('<p class="{kind}">{line}</p>') if kind else Html("<p>{line}</p>")
    return joined(*(form.format(line=line, kind=kind) for line in text.splitlines() if line))


def html_table(table: Table) -> Html:
    """A table that sorts by the buttons in its headings, with its legend below."""
    of_text = [index == 0 or heading in table.text for index, heading in enumerate(table.columns)]
    kinds = ["text" if is_text else "figure" for is_text in of_text]
    heading = Html(
        '<th scope="col" class="{kind}" aria-sort="none"><button type="button">{text}</button></th>'
    )
    head = joined(*(heading.format(kind=kind, text=text) for kind, text in zip(kinds, table.columns)))
    body = joined(*(_row(row, kinds) for row in table.rows))
    return Html(
        '<h3>{title}</h3>\n<div class="scroll{long}" tabindex="0" role="region" aria-label="{title}">\n'
        '<table aria-label="{title}">\n'
        "<thead><tr>\n{head}\n</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n{legend}"
    ).format(
        title=table.title,
        long=" long" if len(table.rows) > MOST_ROWS else "",
        head=head,
        body=body,
        legend=paragraphs(" ".join(table.legend), "quiet legend-of-table"),
    )


def _row(cells: Sequence[object], kinds: Sequence[str]) -> Html:
    first, rest = Html('<th scope="row" class="text">{0}</th>'), Html('<td class="{1}">{0}</td>')
    filled = [
        (rest if index else first).format(cell_text(cell), kind)
        for index, (cell, kind) in enumerate(zip(cells, kinds))
    ]
    return Html("<tr>{}</tr>").format(Html("").join(filled))


def facts_table(title: str, facts: Iterable[tuple[str, object]]) -> Html:
    """Names and what they stand for, such as settings."""
    line = Html('<tr><th scope="row">{}</th><td>{}</td></tr>')
    rows = joined(*(line.format(name, cell_text(value)) for name, value in facts))
    return Html("<div>\n<h3>{}</h3>\n<table>\n<tbody>\n{}\n</tbody>\n</table>\n</div>").format(title, rows)
