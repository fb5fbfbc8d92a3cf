"""One self-contained page: sections, data, style and script, and a policy that lets nothing else run."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from trendlstm.files import jsonable
from trendlstm.output.report.charts import Chart
from trendlstm.output.report.html import Html, joined, paragraphs
from trendlstm.version import __version__


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading; `key` is its address in the page."""

    key: str
    heading: str
    body: Html


@dataclass(frozen=True)
class Page:
    """What a report says.

    Attributes
    ----------
    kind, title : str
        What was done, and with which prices.
    subtitle : str
        Below the title; a paragraph for every line.
    answer : str
        The verdict in a few words.
    is_good : bool
        Whether it is good news.
    verdict : str
        A paragraph for every line.
    sections : sequence of Section
    charts : sequence of Chart
        Those of the sections.
    created : str
        When the run was made.
    gates : mapping, optional
        See `report.gates`.
    """

    kind: str
    title: str
    subtitle: str
    answer: str
    is_good: bool
    verdict: str
    sections: Sequence[Section]
    charts: Sequence[Chart]
    created: str
    gates: Mapping[str, Any] | None = None


def render(page: Page) -> str:
    """The page as a whole HTML document."""
    style = Html(_asset("uplot.min.css") + "\n" + _asset("report.css"))
    # the licence asks to go wherever the library goes
    library = Html("/*\nuPlot\n" + _asset("uplot-LICENSE.txt") + "\n*/\n" + _asset("uplot.min.js"))
    script = Html(_asset("report.js"))
    data = {"charts": {chart.key: chart.to_dict() for chart in page.charts}, "gates": page.gates}
    policy = (
        f"default-src 'none'; script-src {_source(library)} {_source(script)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    part = Html(
        '<section id="{key}" aria-labelledby="{key}-heading">\n<h2 id="{key}-heading">{heading}</h2>\n{body}\n'
        "</section>"
    )
    link = Html('<li><a href="#{key}">{heading}</a></li>')
    return _DOCUMENT.format(
        policy=Html(policy),
        title=f"{page.title}: {page.kind}",
        style=style,
        kind=page.kind,
        heading=page.title,
        subtitle=paragraphs(page.subtitle, "quiet"),
        links=joined(*(link.format(**vars(one)) for one in page.sections)),
        good=" good" if page.is_good else "",
        answer=page.answer,
        verdict=paragraphs(page.verdict),
        sections=joined(*(part.format(**vars(one)) for one in page.sections)),
        version=__version__,
        created=page.created,
        data=script_data(data),
        library=library,
        script=script,
    )


def script_data(data: Any) -> Html:
    """JSON that cannot end the script element that it stands in, whatever its texts are."""
    text = json.dumps(jsonable(data), separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)


def _source(content: str) -> str:
    """How a Content-Security-Policy names the one script or style with this content."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (files("trendlstm.output.report") / "assets" / name).read_text(encoding="utf-8").strip()


_DOCUMENT = Html("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#verdict">Skip to the verdict</a>
<header>
<div class="top"><p class="kind">{kind}</p><button type="button" id="theme" hidden>Dark colours</button></div>
<h1>{heading}</h1>
{subtitle}
</header>
<main>
<section id="verdict" class="verdict{good}" aria-labelledby="verdict-heading">
<h2 id="verdict-heading">{answer}</h2>
{verdict}
</section>
<nav aria-label="On this page">
<ul>
{links}
</ul>
</nav>
<noscript>
<p>Charts, and tables that sort, need JavaScript, which this browser does not run. All figures are below.</p>
</noscript>
{sections}
</main>
<footer>
<p class="quiet">Made by trendlstm {version} of the files of a run of {created}; it needs no network.
Charts: uPlot, MIT licence.</p>
</footer>
<script type="application/json" id="data">{data}</script>
<script>{library}</script>
<script>{script}</script>
</body>
</html>
""")
