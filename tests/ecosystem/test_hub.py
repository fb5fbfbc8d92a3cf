"""A run's folder on a model hub: pushed and fetched by the real huggingface_hub, its card read by it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hub_server import serve
from huggingface_hub import ModelCard
from walks import random_walk, small_config

import trendlstm as tl

DOCS = Path(__file__).parents[2] / "docs" / "weights.md"


def run_train(prices=None, **settings):
    return tl.train(random_walk() if prices is None else prices, small_config(**settings))


def snippets(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run_python(script, url, home):
    """As a user would, with the hub elsewhere; its command-line settings and caches are not those of this user."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_TOKEN": "hf_none", "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **settings}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("settings", [{}, {"seeds": 2, "final_fit": True, "horizon": 2}], ids=str)
def test_a_run_comes_back_from_a_hub_and_forecasts_the_same_bits(settings, tmp_path):
    prices = tl.load_prices("MSFT", years=1, source="sample")
    result = run_train(prices, **settings)
    folder = tl.save_run(result, tmp_path / "run")
    *_, push, fetch = snippets(DOCS.read_text())
    with serve() as hub:
        run_python(push.replace("runs/MSFT-20261121-152338", str(folder)), hub.url, tmp_path / "home")
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert {
            name: content for name, content in hub.repositories["you/name"].items() if name in files
        } == files
        assert set(hub.cards) == {(folder / "README.md").read_text()}
        load = 'prices = tl.load_prices("MSFT", years=1, source="sample")'
        fetch = re.sub("prices = .*", load, fetch) + "print(run.path)"
        *table, path = run_python(fetch, hub.url, tmp_path / "home").splitlines()
    assert "\n".join(table) == str(result.forecast)
    assert (Path(path) / "model.safetensors").is_symlink() or (
        Path(path) / "model-0.safetensors"
    ).is_symlink()
    assert (Path(path) / ".gitattributes").exists()
    run = tl.load_run(path)
    assert run.config == result.config
    pd.testing.assert_frame_equal(run.forecast(prices), result.forecast, check_exact=True)
    assert list(run.predictions["step"]) == list(result.assessment.predictions["step"])


@pytest.mark.parametrize("settings", [{}, {"horizon": 3}], ids=str)
def test_the_hub_reads_the_test_figures_off_the_card(settings, tmp_path):
    result = run_train(**settings)
    card = ModelCard.load(tl.save_run(result, tmp_path / "run") / "README.md")
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.license) == (
        "trendlstm",
        "time-series-forecasting",
        None,
    )
    assert {"lstm", "time-series-forecasting"} <= set(data.tags)
    steps = result.assessment.metrics["test"]["model"]
    expected = {
        (name, f"{step} session{'' if step == 1 else 's'} ahead"): getattr(steps[step - 1], name)
        for step in {1, len(steps)}
        for name in ("rmse", "mae", "mape", "skill")
    }
    found = {(one.metric_type, one.metric_name.split(", ")[1]): one.metric_value for one in data.eval_results}
    assert found == {key: pytest.approx(value, rel=1e-5) for key, value in expected.items()}
    for one in data.eval_results:
        assert isinstance(one.metric_value, float) and one.dataset_split == "test"
        assert one.dataset_name == "WALK, 2015-01-05 to 2015-12-04"


HARMS = [
    "a: b",
    "---",
    "x\n---\nlicense: mit",
    '"quoted" \\',
    "<script>alert(1)</script>",
    "#|*_`[x](y)",
    "\udcff\x7f\u2028😀",
]


@pytest.mark.parametrize("ticker", HARMS, ids=ascii)
def test_no_ticker_can_change_the_metadata(ticker, tmp_path):
    from trendlstm.output.model_card import model_card

    folder = tl.save_run(run_train(), tmp_path / "run")
    document = json.loads((folder / "run.json").read_text())
    document["settings"]["data"]["ticker"] = ticker
    plain, harmed = ModelCard((folder / "README.md").read_text()), ModelCard(model_card(document))
    assert harmed.data.model_name == f"trendlstm {ticker}"
    assert {
        one.dataset_name.removesuffix(", 2015-01-05 to 2015-12-04") for one in harmed.data.eval_results
    } == {ticker}
    assert {**harmed.data.to_dict(), "model-index": None} == {**plain.data.to_dict(), "model-index": None}
    assert len(harmed.text.splitlines()) == len(plain.text.splitlines())
