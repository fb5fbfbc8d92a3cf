"""What notebooks show of an object: escaped, in numbers that can be read, without colours of its own."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from backtests import drawn_backtest
from small_backtests import prices, settings
from walks import random_walk, small_config

import trendlstm as tl
from trendlstm.notebook import Table, as_html

EVIL = "<script>alert('&')</script>"


class Page(HTMLParser):
    """The texts of an HTML fragment, its cells row by row, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.texts = [], set(), []
        self.rows = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(text)


def cells(frame, percent=()):
    return Page(as_html("", Table("", frame, percent))).rows


def test_numbers_p_values_shares_dates_and_gaps():
    frame = pd.DataFrame(
        {
            "ticker": ["A", "B"],
            "date": pd.to_datetime(["2013-03-01", "2013-03-04"]),
            "n": [101, 1_000_000],
            "lag": [1.0, np.nan],
            "rmse": [0.320156, 1234.56],
            "hit_rate": [0.4954, None],
            "p": [0.0004, 0.3444],
            "clark_west_p": [0.05, None],
        }
    )
    assert cells(frame, ("hit_rate",)) == [
        list(frame.columns),
        ["A", "2013-03-01", "101", "1", "0.3202", "49.5 %", "<0.001", "0.050"],
        ["B", "2013-03-04", "1,000,000", "–", "1,235", "–", "0.344", "–"],
    ]


def test_of_a_long_table_the_first_and_the_last_rows_are_shown():
    shown = cells(pd.DataFrame({"lag": range(60)}))
    assert [row[0] for row in shown[1:]] == [*map(str, range(15)), "… 30 more …", *map(str, range(45, 60))]
    assert len(cells(pd.DataFrame({"lag": range(30)}))) == 31


def test_titles_texts_headings_and_cells_are_escaped():
    html = as_html(EVIL, EVIL, Table(EVIL, pd.DataFrame({EVIL: [EVIL]})))
    page = Page(html)
    assert page.tags == {"div", "p", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert page.texts == [EVIL] * 5


def test_each_line_is_a_paragraph_and_what_is_empty_is_left_out():
    html = as_html("title", "one\n\ntwo", "", Table("no rows", pd.DataFrame()))
    assert Page(html).texts == ["title", "one", "two"] and html.count("<p>") == 3


@pytest.fixture(scope="module")
def result():
    config = small_config(horizon=3)
    return tl.train(random_walk(), tl.TrainConfig.from_dict({**config.to_dict(), "data": {"ticker": EVIL}}))


def test_a_result_shows_its_verdict_its_errors_and_its_forecast(result):
    page = Page(result._repr_html_())
    assert result.assessment.verdict in page.texts and "script" not in page.tags
    assert page.texts[0] == f"{EVIL}: training finished"
    errors = [row[:3] for row in page.rows if row[0] in ("train", "validation", "test")]
    of_ends = result.metrics[result.metrics["step"] != 2]
    assert errors == [[split, model, str(step)] for split, model, step in of_ends.iloc[:, :3].to_numpy()]
    assert [row[1] for row in page.rows[-3:]] == [f"{date:%Y-%m-%d}" for date in result.forecast["date"]]
    test = next(row for row in page.rows if row[:2] == ["test", "model"])
    assert test[4] == f"{result.assessment.metrics['test']['model'][0].rmse:.4g}"
    assert repr(result) == f"<Result: {EVIL}, finished; {result.assessment.verdict}>"


def test_a_backtest_shows_its_verdict_and_tables():
    found = tl.backtest(prices("AA", EVIL), settings())
    page = Page(found._repr_html_())
    assert set(found.verdict.splitlines()) <= set(page.texts) and "script" not in page.tags
    assert {row[0] for row in page.rows} >= {"AA", EVIL, "all"}
    assert repr(found) == f"<Backtest of AA, {EVIL}: {found.verdict}>"
    alone = Page(tl.backtest(prices("AA"), settings())._repr_html_())
    assert {row[0] for row in alone.rows} == {"ticker", "AA"}


def test_a_backtest_shows_the_return_of_a_year_only_of_half_a_year_or_more():
    for years, is_shown in ((0.3, False), (0.8, True)):
        page = drawn_backtest(test_years=years)._repr_html_()
        assert ("annualised_return" in page) == is_shown and "total_return" in page


def test_a_run_shows_the_errors_of_its_result_also_if_its_file_is_damaged(result, tmp_path):
    run = tl.load_run(tl.save_run(result, tmp_path / "run"))
    assert Page(run._repr_html_()).rows == Page(result._repr_html_()).rows[:25]
    (run.path / "run.json").write_text("{}")
    page = Page(run._repr_html_())
    assert page.rows == [] and any(
        "run.json is damaged, because it has no status" in text for text in page.texts
    )


def test_networks_windows_and_gradient_flows_show_their_tables(result):
    network = tl.Network(2, 3, (4,), forget_bias="chrono", lag=5)
    page = Page(network._repr_html_())
    shown = ["   ".join(row).split() for row in page.rows]
    lines = [line.split() for line in network.summary().splitlines()]
    assert shown == [line for line in lines if len(line) > 1 and line[0] != "Total"]
    assert network.summary().splitlines()[-1] in page.texts
    assert any("forget_bias='chrono'" in text and "dense=(4,)" in text for text in page.texts)

    windows = result.windows
    assert [row[1] for row in Page(windows._repr_html_()).rows[1:]] == [
        f"{len(split.x)}" for split in windows.splits
    ]
    flow = tl.gradient_flow(result.forecaster.networks[0], windows.test.x, windows.test.y)
    page = Page(flow._repr_html_())
    names = ["dloss_dh", "dloss_dc", "weight_terms", "dh_dh", "dc_dc"]
    assert [row[0] for row in page.rows[1:6]] == names and page.rows[6] == ["lag", *names]


@pytest.mark.parametrize("validated", [True, False])
def test_a_history_shows_its_line_and_its_first_and_last_epochs(result, validated):
    x, y = result.windows.train.x, result.windows.train.y[:, :1]
    history = tl.Network(x.shape[2], 3, ()).fit(x, y, epochs=40, validation=(x, y) if validated else None)
    page = Page(history._repr_html_())
    assert repr(history).strip("<>") in page.texts
    assert page.rows[0] == ["epoch", "loss", *["validation_loss"] * validated]
    assert [row[0] for row in page.rows[1:]] == [
        *map(str, range(1, 16)),
        "… 10 more …",
        *map(str, range(26, 41)),
    ]
    assert float(page.rows[-1][1]) == pytest.approx(history.loss[-1], rel=1e-3)


def test_nothing_has_a_colour_of_its_own(result):
    assert not re.search("color|background", result._repr_html_())
