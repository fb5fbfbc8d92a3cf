"""docs/tutorial.ipynb runs as it stands, and its text says what its cells give."""

import re
from html import unescape
from pathlib import Path

import nbformat
import pytest
from run_tutorial import TUTORIAL, execute, tidy

NOTICE = r"These are the packaged sample prices of \w+, [\d-]+ to [\d-]+: real, but not current\.\n"
MOST_BYTES = 600_000


def texts(cell):
    """What a cell shows, without its pictures."""
    shown = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            shown.append(output.text)
        else:
            shown += [
                unescape(text) for kind, text in sorted(output.data.items()) if kind.startswith("text/")
            ]
    return "\n".join(shown)


def before(notebook, number):
    """What the last code cell before one of text shows, and what that and all before it show."""
    shown = [texts(cell) for cell in notebook.cells[:number] if cell.cell_type == "code"]
    return shown[-1] if shown else "", "\n".join(shown)


def assert_text_says_what_cells_give(notebook):
    """Figures in backquotes are those of the cell above, to their last digit; quotations are what some cell says."""
    figures = quotations = 0
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        above, all_above = before(notebook, number)
        for figure in re.findall(r"`(\d[\d.]*)`", cell.source):
            given = [float(text) for text in re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", above)]
            digit = 10.0 ** -len(figure.partition(".")[2])
            # another processor may round the last digit differently
            assert any(abs(float(figure) - one) <= 1.001 * digit for one in given), figure
            figures += 1
        for quotation in re.findall(r"^> (.*)$", cell.source, re.MULTILINE):
            assert quotation in all_above
            quotations += 1
    assert figures >= 5 and quotations >= 1


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The tutorial as its cells run in an empty folder now; a cell that fails ends it."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder = tmp_path_factory.mktemp("tutorial")
    execute(notebook, folder)
    assert list(folder.iterdir()) == []
    return notebook


def test_no_cell_complains(executed):
    """On standard error stands nothing but where the sample prices come from."""
    streams = [
        output
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert streams and all(re.fullmatch(f"({NOTICE})+", stream.text) for stream in streams)


def test_bars_are_shown_while_it_trains(executed):
    bars = [cell for cell in executed.cells if "progress=True" in cell.source and cell.cell_type == "code"]
    assert len(bars) == 3
    for cell in bars:
        (bar,) = [out for out in cell.outputs if "━" in str(out.get("data", {}).get("text/plain"))]
        assert re.search(r"epoch (\d+)/\1 |(\d+) of \2 ", bar.data["text/plain"])
    tidy(executed)
    assert not any("━" in texts(cell) for cell in executed.cells)


def test_its_text_says_what_its_cells_give(executed):
    assert_text_says_what_cells_give(executed)
    assert_text_says_what_cells_give(nbformat.read(TUTORIAL, as_version=4))


def test_a_figure_that_no_cell_gives_is_found(executed):
    changed = nbformat.from_dict(executed)
    cell = next(cell for cell in changed.cells if "`0.57`" in cell.source)
    cell.source = cell.source.replace("`0.57`", "`0.67`")
    with pytest.raises(AssertionError, match=r"0\.67"):
        assert_text_says_what_cells_give(changed)
    cell.source = cell.source.replace("`0.67`", "`0.57`")


def test_the_committed_outputs_are_those_of_these_cells(executed):
    """The kinds of outputs, and every word in them; figures may differ in their last digits on another processor."""
    committed = nbformat.read(TUTORIAL, as_version=4)
    tidy(executed)
    for one, other in zip(committed.cells, executed.cells, strict=True):
        assert _kinds(one) == _kinds(other)
        assert _words(one) == _words(other)


def _kinds(cell):
    return [(output.output_type, sorted(output.get("data", ()))) for output in cell.get("outputs", [])]


def _words(cell):
    return re.findall("[A-Za-z]+", re.sub(r"[\d.]+(e[+-]?\d+)?", " ", texts(cell)))


def test_the_file_is_small_and_of_no_machine_or_moment():
    text = Path(TUTORIAL).read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in notebook.cells)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    shown = "\n".join(texts(cell) for cell in notebook.cells)
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/| at 0x|\d+:\d\d:\d\d", shown)


def test_it_is_read_in_ten_minutes():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    words = sum(len(cell.source.split()) for cell in notebook.cells)
    assert words < 10 * 180  # a minute, code included
