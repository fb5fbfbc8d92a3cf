"""Nothing that is put into a page is markup unless it says so."""

import pytest
from run_folders import Parsed

from trendlstm.output.report.html import MOST_ROWS, Html, facts_table, html_table, joined, paragraphs
from trendlstm.output.tables import Table

EVIL = "<script>alert('x')</script>\" onclick='y' & <!-- ]]>"


@pytest.mark.parametrize(
    "page",
    [
        Html('<p title="{}">{}</p>').format(EVIL, EVIL),
        Html('<p title="{one}">{two}</p>').format(one=EVIL, two=EVIL),
        Html("<p>{}</p>").format(Html("").join([EVIL, EVIL])),
        Html("<div>{}</div>").format(joined(EVIL, EVIL)),
        paragraphs(EVIL, EVIL),
        html_table(Table(EVIL, [EVIL, EVIL], [[EVIL, EVIL]], [EVIL], text=(EVIL,))),
        facts_table(EVIL, [(EVIL, EVIL)]),
    ],
)
def test_text_is_shown_and_never_markup(page):
    parsed = Parsed(page)
    assert isinstance(page, Html)
    assert not parsed.all("script") and not any("onclick" in found for _, found, _ in parsed.elements)
    assert any(EVIL in text for _, _, text in parsed.elements)


def test_a_piece_of_html_stays_what_it_is():
    piece = Html("<b>{}</b>").format("1 < 2")
    assert Html("<p>{}</p>").format(piece) == "<p><b>1 &lt; 2</b></p>"
    assert joined(piece, "<") == "<b>1 &lt; 2</b>\n&lt;"


def test_a_table_shows_what_the_console_shows():
    table = Table(
        "Title",
        ["Name", "n", "p", "Word"],
        [["a", 1234, None, "up"], ["b", 5, 0.25, "–"]],
        ["Legend."],
        ("Word",),
    )
    parsed = Parsed(html_table(table))
    assert parsed.texts("h3") == ["Title"] and parsed.texts("button") == list(table.columns)
    assert parsed.texts("th", scope="row") == ["a", "b"]
    assert parsed.texts("td") == ["1,234", "–", "up", "5", "0.2500", "–"]
    assert [found["class"] for found, _ in parsed.all("th", scope="col")] == [
        "text",
        "figure",
        "figure",
        "text",
    ]
    assert all(found["aria-sort"] == "none" for found, _ in parsed.all("th", scope="col"))
    assert parsed.texts("p") == ["Legend."]


def test_a_table_is_whole_unless_it_is_very_long():
    for rows, kind in ((MOST_ROWS, "scroll"), (MOST_ROWS + 1, "scroll long")):
        page = Parsed(html_table(Table("Errors", ["row"], [[number] for number in range(rows)])))
        assert [found["class"] for found, _ in page.all("div")] == [kind]
