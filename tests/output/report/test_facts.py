"""Settings and provenance are shown whole."""

from run_folders import Parsed
from walks import trained

from trendlstm.files import jsonable
from trendlstm.output.record import header
from trendlstm.output.report.facts import facts


def shown(document, provenance=None):
    parsed = Parsed(facts(document, provenance))
    return dict(zip(parsed.texts("th"), parsed.texts("td"), strict=True)), parsed.texts("h3")


def test_every_setting_is_there_in_words():
    result = trained(features=("Close", "Volume"), final_fit=True)
    provenance = result.prices.provenance.to_dict()
    document = jsonable(header(result.config.to_dict(), "cpu", {"fit": 1.26, "prepare": 0.04}, provenance))
    found, headings = shown(document, provenance)
    assert headings == [
        "Prices used", "Prices asked for", "Windows", "Network", "Training", "Run", "Versions and machine", "Time",
    ]  # fmt: skip
    for part in document["settings"].values():
        for name in part if isinstance(part, dict) else ():
            assert name.replace("_", " ") in found
    assert found["features"] == "Close, Volume" and found["dense"] == "none" and found["bias"] == "yes"
    assert found["patience"] == "–" and found["learning rate"] == "0.01" and found["final fit"] == "yes"
    assert found["sessions"] == "240" and found["SHA-256 of the rows"] == provenance["sha256"]
    assert found["fit"] == "1.3 s" and found["numpy"] == document["versions"]["numpy"]


def test_seconds_may_be_one_number():
    document = jsonable(header({"seeds": 1234}, "cpu", 2.0))
    found, headings = shown(document)
    assert found["all"] == "2.0 s" and found["seeds"] == "1,234" and "Prices used" not in headings
