"""Folders of small runs of every kind, and what a page made of one holds."""

import json
from html.parser import HTMLParser

from backtests import drawn_backtest
from comparisons import compared
from walks import trained

from trendlstm.output.backtest import BacktestFolder
from trendlstm.output.compare import write_comparison
from trendlstm.output.runs import write_run

VOID = {"br", "img", "input", "link", "meta"}


def train_folder(path, prices=None, **settings):
    """The folder of a training run, without pictures."""
    path.mkdir()
    write_run(path, trained(prices, **settings))
    return path


def compare_folder(path, *arguments, **settings):
    """The folder of a comparison."""
    path.mkdir()
    write_comparison(path, compared(*arguments, **settings))
    return path


def backtest_folder(path, **settings):
    """The folder of a backtest whose forecasts were drawn."""
    result = drawn_backtest(**settings)
    prices = {ticker: walk.prices for ticker, walk in result.walks.items()}
    with BacktestFolder.create(path, result.config, prices, result.failures) as folder:
        folder.write(result, draw=False)
    return path


def edit(path, change):
    """Change the object in a JSON file."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


class Parsed(HTMLParser):
    """A page's elements in order, as (tag, attributes, text directly inside)."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = [tag, dict(attributes), ""]
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, text):
        if self._open:
            self._open[-1][2] += text

    def all(self, tag, **attributes):
        """The elements of a kind with these attributes."""
        return [
            (found, text)
            for name, found, text in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    def texts(self, tag, **attributes):
        return [text for _, text in self.all(tag, **attributes)]

    @property
    def data(self):
        """What the script draws."""
        (text,) = self.texts("script", id="data")
        return json.loads(text)
