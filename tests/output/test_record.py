"""One header for every result file: what made it, on what machine, from which settings and prices."""

import json
import logging
import os
import platform
import shlex
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from click.testing import CliRunner

import trendlstm
from trendlstm import cli

NETWORK = "--source sample --years 1 --lag 4 --hidden 3 --dense none --epochs 1 --seed 7 --seeds 1"
COMMANDS = {
    "run.json": f"train {NETWORK}",
    "compare.json": f"compare {NETWORK}",
    "reproduce.json": "reproduce adding --cell rnn --trials 1 --max-sequences 32 --seed 7",
}


@pytest.fixture(scope="module", params=COMMANDS)
def document(request, tmp_path_factory):
    logger = logging.getLogger("trendlstm")
    handlers, level = logger.handlers[:], logger.level
    folder = tmp_path_factory.mktemp("record") / "out"
    options = f"--threads 1 --no-plot --out {folder}"
    result = CliRunner().invoke(cli.main, shlex.split(f"{COMMANDS[request.param]} {options}"))
    logger.handlers[:] = handlers
    logger.setLevel(level)
    assert result.exit_code == 0, result.output
    return json.loads((folder / request.param).read_text())


def test_every_result_says_what_made_it_where_and_when(document):
    assert document["trendlstm"] == trendlstm.__version__
    assert document["versions"] == {
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "pandas", "yfinance", "exchange_calendars")},
    }
    assert document["machine"]["platform"] == platform.platform()
    assert document["machine"]["threads"] == len(os.sched_getaffinity(0))
    assert document["machine"]["processor"]
    age = datetime.now(UTC) - datetime.fromisoformat(document["created"])
    assert timedelta(0) <= age < timedelta(minutes=10)
    assert document["device"] == "cpu"


def test_every_result_says_its_settings_prices_and_times(document):
    settings = document["settings"]
    assert settings.get("network", settings)["seed"] == 7 and settings["device"] == "cpu"
    if "data" in settings:
        assert document["provenance"]["ticker"] == settings["data"]["ticker"] == "MSFT"
        assert all(seconds >= 0 for seconds in document["seconds"].values())
    else:
        assert "provenance" not in document and document["seconds"] > 0


def test_the_header_is_the_same_and_in_the_same_order(document):
    names = ["trendlstm", "created", "versions", "machine", "device", "settings", "provenance", "seconds"]
    header = [name for name in document if name in names]
    assert header == [name for name in names if name != "provenance" or "data" in document["settings"]]
