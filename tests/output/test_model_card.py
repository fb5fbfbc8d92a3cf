"""The model card and `config.json` of a run: what they say, what they keep to themselves, and that nothing marks up."""

import json
import re

import pytest
from markdown_it import MarkdownIt
from walks import random_walk, trained

import trendlstm as tl
from trendlstm.output.model_card import hub_config, model_card
from trendlstm.output.runs import write_run
from trendlstm.workflows import train as pipeline

SLASHES = re.compile(r"[\\/]")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), trained(seeds=2, final_fit=True))


def body(document):
    """A card without its metadata."""
    return model_card(document).split("\n---\n", 1)[1]


def changed(document, **settings):
    """A copy of a document with other settings of its data."""
    copy = json.loads(json.dumps(document))
    copy["settings"]["data"].update(settings)
    return copy


def test_the_card_says_what_the_run_found(document):
    text = body(document)
    assert document["verdict"].replace("~", r"\~") in text
    test = document["metrics"]["test"]
    rows = [line.split(" | ") for line in text.splitlines() if " | 1 | " in line]
    assert [row[0] for row in rows] == ["| this model", *(f"| {name}" for name in list(test)[1:])]
    for row, steps in zip(rows, test.values(), strict=True):
        assert float(row[2]) == pytest.approx(steps[0]["rmse"], rel=1e-3)
    assert f"On {test['model'][0]['n']} test days" in text
    provenance = document["provenance"]
    for said in (
        provenance["sha256"],
        provenance["start"],
        provenance["end"],
        "given in Python",
        "a fit on all rows",
    ):
        assert said in text
    assert "that of a flat line at the last close was" in text and "license" not in model_card(document)


def test_the_card_says_how_the_networks_were_trained(document, tmp_path):
    assert "Adam, learning rate 0.01, batches of 32" in body(document)
    fit = {"optimizer": "sgd", "momentum": 0.5, "schedule": "cosine", "warmup": 1}
    said = "gradient descent with momentum 0.5, learning rate 0.01, schedule cosine, 1 epoch of warm-up, batches of 32"
    assert said in body(write_run(tmp_path, trained(**fit)))


def test_config_json_has_the_settings_and_nothing_of_the_machine(document, tmp_path):
    write_run(tmp_path, trained(horizon=2))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == config["library_name"] == "trendlstm" and config["networks"] == 1
    assert tl.NetworkConfig.from_dict(config["network"]) == tl.load(tmp_path / "model.safetensors").config
    assert tl.WindowConfig.from_dict(config["window"]).horizon == 2
    assert hub_config(document)["networks"] == 2


def test_no_folder_is_named(document):
    for path in ("/home/me/secret/my:prices---.csv", r"C:\Users\me\secret\my:prices---.csv"):
        leaky = changed(document, csv=path, ticker="OWN")
        leaky["provenance"] |= {"source": "csv", "csv": path, "notices": [f"{path}: 3 rows left out."]}
        texts = model_card(leaky), json.dumps(hub_config(leaky))
        assert not any("secret" in text or "Users" in text for text in texts)
        assert "from my:prices---.csv, as given" in texts[0]


@pytest.mark.parametrize(("happens", "status"), [(KeyboardInterrupt(), "interrupted"), (None, "diverged")])
def test_a_run_that_ended_early_says_so(happens, status, tmp_path, monkeypatch):
    def stop(*_):
        raise happens or tl.errors.TrainingError("The loss is no longer finite.")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "assess", stop)
        document = write_run(tmp_path, trained())
    card = (tmp_path / "README.md").read_text()
    assert document["status"] == status == json.loads((tmp_path / "config.json").read_text())["status"]
    assert f"**Training {'was interrupted' if happens else 'diverged'}" in card
    assert (
        "nothing is known of its skill" in card and "Test figures" not in card and "model-index" not in card
    )


HARMS = [
    "<script>alert(1)</script>",
    "x\n\n# y\n---\nz",
    "[a](http://b) ![c](d)",
    "*a* _b_ `c` ~~d~~",
    "a | b",
    r"\*&lt;",
]


@pytest.mark.parametrize("harm", HARMS)
def test_what_users_wrote_is_shown_and_marks_nothing_up(harm, document):
    def tokens(text):
        copy = changed(document, ticker=text)
        copy["provenance"] |= {"ticker": text, "source": "csv", "csv": f"/data/{SLASHES.sub('', text)}.csv"}
        copy["settings"]["window"]["features"] = [text]
        copy["tries"] = f"This is try 2 on {text} in its folder."
        top = MARKDOWN.parse(body(copy))
        return [inner for token in top for inner in (token.children or [token])]

    plain, harmed = tokens("PLAIN"), tokens(harm)
    assert [token.type for token in harmed] == [token.type for token in plain]
    shown, file = (" ".join(text.split()) for text in (harm, SLASHES.sub("", harm) + ".csv"))
    for one, other in zip(plain, harmed, strict=True):
        expected = one.content.replace("PLAIN.csv", file).replace("PLAIN", shown)
        assert other.content == expected


def test_prices_of_a_file_are_for_the_user_to_give(document):
    assert "prices = ...  # a DataFrame" in body(document)
    of_yahoo = json.loads(json.dumps(document))
    of_yahoo["provenance"]["source"] = "yahoo"
    assert "prices = tl.load_prices(run.config.data.ticker)" in body(of_yahoo)


def test_a_price_that_never_moves_has_no_skill_to_report(tmp_path):
    """Persistence makes no error there: a dash in the table and no such metric."""
    prices = random_walk()
    prices.iloc[150:, :4] = prices["Close"].iloc[150]
    document = write_run(tmp_path, trained(prices, split=(0.6, 0.2, 0.2)))
    assert document["metrics"]["test"]["model"][0]["skill"] is None
    card = (tmp_path / "README.md").read_text()
    assert "type: skill" not in card and "type: rmse" in card
