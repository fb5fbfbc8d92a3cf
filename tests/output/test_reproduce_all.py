"""The table of all experiments."""

import pytest

from trendlstm.output.reproduce_all import describe_all, summary_table, time_text

JUDGED = {"task": "adding-100", "criterion": {}, "published": [{"sequences": 74_000, "is_remembered": False}]}
SCORED = {
    "task": "multiplication-100",
    "criterion": {"measure": "wrong of 2,000"},
    "published": [{"sequences": 1_273_000, "is_remembered": True}],
}
NETWORK = {
    "network": "GRU",
    "trials": 2,
    "solved": 1,
    "diverged": 0,
    "mean_sequences": 3000.0,
    "seconds": 7.25,
}


def table_of(*documents, **score):
    documents = {one["task"]: one | {"networks": [NETWORK | score]} for one in documents}
    left_out = {"digits": "digits is left out: no images."}
    document = describe_all(documents, left_out, {"copy": "no room"}, {"seed": 3}, "cpu", 60.0)
    assert document["settings"] == {"seed": 3}
    return summary_table(document)


def test_a_row_a_network_and_what_each_score_measures():
    table = table_of(JUDGED, SCORED, mean_score=12.5)
    assert table.columns[-1] == "Time"
    assert table.rows == [
        ["adding-100", "GRU", "1 of 2", "3,000", "12.50", "74,000", "7.2 s"],
        ["multiplication-100", "GRU", "1 of 2", "3,000", "12.50", "1,273,000 *", "7.2 s"],
    ]
    text = "\n".join(table.legend)
    for words in (
        "- multiplication-100: wrong of 2,000.",
        "It was trained otherwise",
        "*: from memory.",
        "digits is left out: no images.",
        "copy failed: no room",
    ):
        assert words in text


def test_a_legend_explains_nothing_that_is_not_there():
    text = "\n".join(table_of(JUDGED).legend)
    assert "*" not in text and "Score" not in text and "diverged" not in text


def test_what_diverged_is_said():
    assert "adding-100, GRU: 1 of 2 trials diverged." in table_of(JUDGED, diverged=1).legend


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59, "59.0 s"), (90, "1.5 min")])
def test_times(seconds, text):
    assert time_text(seconds) == text
