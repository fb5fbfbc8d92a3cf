"""The page's frame: one file, nothing from elsewhere, nothing runs but what its policy names."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import pytest
from run_folders import Parsed

from trendlstm.output.report.charts import Chart, Line, Rows
from trendlstm.output.report.html import Html
from trendlstm.output.report.page import Page, Section, render, script_data

EVIL = "</script><script>alert(1)</script><!--\u2028"
ASSETS = files("trendlstm.output.report") / "assets"
LARGEST = 500 * 1024


def page(**changes):
    line = Line(EVIL, "blue")
    chart = Chart(
        "one", EVIL, EVIL, "epoch", "loss", [line], [Rows([1, 2], [[0.5, float("nan")]])], dates=False
    )
    settings = {
        "kind": EVIL,
        "title": EVIL,
        "subtitle": EVIL,
        "answer": EVIL,
        "is_good": False,
        "verdict": EVIL,
        "sections": [Section("first", EVIL, chart.figure())],
        "charts": [chart],
        "created": EVIL,
    }
    return render(Page(**{**settings, **changes}))


def test_every_script_and_style_is_named_by_the_policy_and_nothing_else_is_allowed():
    parsed = Parsed(page())
    (policy,) = [found["content"] for found, _ in parsed.all("meta") if "http-equiv" in found]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "unsafe" not in policy and "http" not in policy

    def hashes(texts):
        return {f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts}

    code = [text for found, text in parsed.all("script") if found.get("type") != "application/json"]
    assert len(code) == 2 and hashes(code) == set(rules["script-src"].split())
    assert hashes(parsed.texts("style")) == set(rules["style-src"].split())


def test_it_asks_for_nothing_from_elsewhere_and_has_no_code_in_attributes():
    parsed = Parsed(page())
    for _, found, _ in parsed.elements:
        assert not any(name == "style" or name.startswith("on") for name in found)
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert found.get(name, "#").startswith(("#", "data:,"))
    (style,) = parsed.texts("style")
    assert "@import" not in style and "url(" not in style
    for name in ("report.js", "uplot.min.js"):
        code = (ASSETS / name).read_text()
        assert not re.search(
            r"\bfetch\(|XMLHttpRequest|WebSocket|import\(|\beval\(|new Function|innerHTML|sendBeacon", code
        )
        assert "</script" not in code and "<!--" not in code


def test_text_is_shown_and_ends_no_element():
    parsed = Parsed(page())
    assert len(parsed.all("script")) == 3
    assert parsed.data["charts"]["one"]["lines"][0]["label"] == EVIL
    for tag in ("h1", "h2", "title", "b"):
        assert all(EVIL in text for text in parsed.texts(tag))


@pytest.mark.parametrize("text", [EVIL, "&lt;", "a\u2029b", "]]>", "\x00"])
def test_data_are_json_without_a_sign_of_markup(text):
    found = script_data({text: [text, float("inf"), None, 1.5]})
    assert not set(found) & set("<>&")
    assert json.loads(found) == {text: [text, None, None, 1.5]}


def test_without_data_it_is_small():
    size = len(page().encode())
    assert size < LARGEST / 4, size


def test_the_library_is_there_with_its_licence_and_version():
    _, library, _ = Parsed(page()).texts("script")
    assert "Permission is hereby granted" in library and "Leon Sorokin" in library
    assert "(v1.6.32)" in library and library.endswith((ASSETS / "uplot.min.js").read_text().strip())


def test_sections_are_landmarks_with_headings_and_links():
    parsed = Parsed(page(sections=[Section("a", "First", Html("")), Section("b", "Second", Html(""))]))
    assert (
        parsed.all("html", lang="en") and parsed.all("main") and parsed.all("header") and parsed.all("footer")
    )
    assert len(parsed.all("h1")) == 1
    ids = {found["id"] for _, found, _ in parsed.elements if "id" in found}
    for found, _ in parsed.all("section"):
        assert found["aria-labelledby"] in ids
    links = [found["href"] for found, _ in parsed.all("a")]
    assert links == ["#verdict", "#a", "#b"] and {link[1:] for link in links} <= ids


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_as_wcag_aa_asks(theme):
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (ASSETS / "report.css").read_text())
    colours = {name: both[theme] for name, *both in pairs}
    for text in ("ink", "soft", "link"):
        for surface in ("page", "surface"):
            assert contrast(colours[text], colours[surface]) >= 4.5, (text, surface)
    for surface in ("tint", "good"):
        assert contrast(colours["ink"], colours[surface]) >= 4.5
    for line in ("black", "grey", "blue", "sky", "green", "orange", "vermillion", "purple", "wine", "focus"):
        assert contrast(colours[line], colours["surface"]) >= 3, line
