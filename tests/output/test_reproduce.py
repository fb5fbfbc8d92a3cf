"""What is said of trials: tables, conclusions, differences, and the files."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from small_tasks import EXAM, small_task

from trendlstm.experiments import TASKS, tasks
from trendlstm.experiments.long_lags import adding, long_lag, multiplication
from trendlstm.experiments.models import Model, usual_models
from trendlstm.experiments.task import Published
from trendlstm.experiments.trials import Trial, TrialsProgress
from trendlstm.output import reproduce as report
from trendlstm.output.console import Console

CHRONO, ONE, RNN = Model("lstm"), Model("lstm", 1), Model("rnn", None)
NO_EXAMS = np.zeros((0, 2))


def trial(model, outcome="solved", sequences=30_000, wrong=1, **values):
    curve = np.full(-(-sequences // 1000), 0.1)
    return replace(Trial(model, 0, outcome, sequences, wrong, curve, NO_EXAMS, 1233, 60.0), **values)


def examined(model, scores, outcome="not solved", **values):
    """A trial with an exam every 1,000 sequences."""
    exams = np.array([[1000 * (k + 1), score] for k, score in enumerate(scores)], float).reshape(-1, 2)
    values = {"sequences": 1000 * len(scores), "curve": np.zeros(0), "exams": exams, **values}
    return trial(model, outcome, wrong=None, **values)


FAILED = {"outcome": "not solved", "sequences": 100_000, "wrong": 2100}


def rows_of(task, found, capsys):
    Console().show(report.trials_table(task, found))
    return [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]


def test_conclusions_follow_the_numbers():
    task = adding(100)
    decided = "The same LSTM succeeds or fails by the biases"
    found = report.conclusions(task, [trial(CHRONO), trial(CHRONO, sequences=20_000), trial(ONE, **FAILED)])
    assert found[0] == "LSTM, chrono biases: solved in 2 of 2 trials, after 25,000 sequences on average."
    assert found[1] == "LSTM, forget bias 1: solved in 0 of 1 trials within 100,000 sequences."
    assert "74,000" in found[2]
    assert found[3].startswith(decided)
    for chrono_trial, one_trial in [({}, {}), (FAILED, FAILED), (FAILED, {})]:
        found = report.conclusions(task, [trial(CHRONO, **chrono_trial), trial(ONE, **one_trial)])
        assert not any(sentence.startswith(decided) for sentence in found)
    found = report.conclusions(task, [trial(CHRONO), trial(CHRONO, **FAILED)])
    assert found[0].endswith("in 1 of 2 trials, after 30,000 sequences on average, where solved.")


def test_conclusions_of_scores_that_nobody_passes():
    task = small_task(criterion=EXAM._replace(limit=None), max_sequences=2000)
    found = report.conclusions(
        task,
        [
            *(examined(CHRONO, [0.5, 0.9]), examined(CHRONO, [0.5, 0.7])),
            *(examined(ONE, [], "diverged", sequences=96), examined(RNN, [0.3306])),
        ],
    )
    assert found == [
        "LSTM, chrono biases: a score of 0.8000 on average after 2,000 sequences, 0.7000 to 0.9000 in 2 trials.",
        "LSTM, forget bias 1: diverged in 1 of 1 trials, after 96 sequences.",
        "RNN: a score of 0.3306 after 2,000 sequences in 1 trial.",
    ]


def test_conclusions_say_what_diverged():
    lost = {"outcome": "diverged", "wrong": 2560}
    found = report.conclusions(
        adding(100),
        [
            trial(CHRONO),
            *(trial(CHRONO, sequences=seen, **lost) for seen in (96, 1600)),
            trial(RNN, **FAILED),
        ],
    )
    assert found[0] == (
        "LSTM, chrono biases: solved in 1 of 3 trials, after 30,000 sequences on average, where solved; diverged in 2 "
        "of 3 trials, after 96 to 1,600 sequences."
    )
    assert found[1] == "RNN: solved in 0 of 1 trials within 100,000 sequences."


def test_the_papers_figure_stands_beside_what_makes_it_another_experiment():
    shut = Model("lstm1997")

    def about_the_paper(found, task):
        sentences = report.conclusions(task, found)
        return [sentence for sentence in sentences if " took " in sentence]

    task = adding(1000)
    (both,) = about_the_paper([trial(CHRONO), trial(shut, parameters=929), trial(ONE, **FAILED)], task)
    assert both == (
        "The paper's LSTM took 853,000 sequences, but is not the same network taught in the same way: it has 93 "
        "weights, ours have 929 to 1,233; it learned by plain gradient descent, ours by Adam; the initial biases of "
        '"LSTM, chrono biases" and "LSTM 1997, input gates shut" were set from the task\'s length.'
    )
    (plain,) = about_the_paper([trial(ONE)], task)
    assert "1,233" in plain and "length" not in plain
    assert about_the_paper([trial(CHRONO, **FAILED)], task) == []
    (unknown,) = about_the_paper([trial(ONE)], long_lag(50))
    assert "30,000" in unknown and "weights" not in unknown
    newer = adding(10_000, "2022")
    (newer,) = about_the_paper([examined(ONE, [0.0001], "solved")], newer)
    assert newer == 'The published "LEM, 128 units" took 245,000 sequences.'


def test_table_of_judged_trials(capsys):
    found = [
        trial(CHRONO, sequences=20_000, wrong=0),
        trial(CHRONO, wrong=3),
        trial(CHRONO, **FAILED),
        trial(RNN, **FAILED),
    ]
    lines = rows_of(adding(100), found, capsys)
    assert ["LSTM, chrono biases", "1,233", "2 of 3", "25,000", "20,000", "30,000", "701.0"] in lines
    assert ["RNN", "1,233", "0 of 1", "–", "–", "–", "2,100.0"] in lines
    assert ["published: LSTM 1997", "93", "–", "74,000", "–", "–", "–"] in lines
    assert any(
        "74,000 sequences, mean of 10 trials; 1 of 2,560 wrong (Hochreiter" in line[0] for line in lines
    )


def test_table_of_exams_with_milestones(capsys):
    exam = EXAM._replace(limit=0.001, milestones=(0.01,))
    published = (
        Published("LEM", "a paper", 95_000, "a result"),
        Published("LSTM", "a talk", 7, is_remembered=True),
        Published("RNN", "a thesis", None, "never"),
    )
    task = replace(small_task(criterion=exam), published=published)
    found = [
        examined(CHRONO, [0.1, 0.009, 0.0005], "solved"),
        examined(CHRONO, [0.005, 0.02, 0.0009], "solved"),
        examined(CHRONO, [0.1, 0.05, 0.04]),
        examined(RNN, [0.2]),
    ]
    lines = rows_of(task, found, capsys)
    assert ["Network", "Weights", "Solved", "Mean", "Fewest", "Most", "< 0.01 after", "Score"] in lines
    assert [
        *("LSTM, chrono biases", "1,233", "2 of 3", "3,000", "3,000", "3,000"),
        *("1,500 (2 of 3)", "0.01380"),
    ] in lines
    assert ["RNN", "1,233", "0 of 1", "–", "–", "–", "–", "0.2000"] in lines
    assert ["published: LEM", "–", "–", "95,000", "–", "–", "–", "–"] in lines
    assert ["from memory: LSTM", "–", "–", "7", "–", "–", "–", "–"] in lines
    text = [line[0] for line in lines]
    assert "LEM: 95,000 sequences; a result (a paper)." in text
    assert (
        "LSTM: 7 sequences (a talk). This figure is from memory: we could not compare it with the text."
        in text
    )
    assert "RNN: never (a thesis)." in text
    assert (
        "< 0.01 after: sequences until the score was first below 0.01, mean of the trials that got there (their "
        "number)." in text
    )
    assert not any(line.startswith("published: RNN") for line in text)


def test_table_of_scores(capsys):
    task = small_task(criterion=EXAM._replace(limit=None, more_is_better=True))
    found = [examined(CHRONO, [0.1, 0.9]), examined(CHRONO, [0.8]), examined(RNN, [], "diverged")]
    lines = rows_of(task, found, capsys)
    assert ["Network", "Weights", "Trials", "Mean", "Lowest", "Highest"] in lines
    assert ["LSTM, chrono biases", "1,233", "2", "0.8500", "0.8000", "0.9000"] in lines
    assert ["RNN", "1,233", "1", "–", "–", "–"] in lines


@pytest.mark.parametrize(
    ("exam", "sentence"),
    [
        (
            {"limit": 0.001},
            "Score, taken every 40 training sequences: test mean squared error.\nSolved: a score below 0.001.",
        ),
        (
            {"limit": 1_000_000, "more_is_better": True, "every": 33},
            "Score, taken every 40 training sequences: test mean squared error.\n"
            "Solved: a score of 1,000,000 or more.",
        ),
        (
            {"limit": 1, "more_is_better": True},
            "Score, taken every 40 training sequences: test mean squared error.\nSolved: a score of 1.",
        ),
        (
            {"limit": None},
            "Score, taken every 40 training sequences: test mean squared error. What counts is the last one.",
        ),
    ],
)
def test_an_exam_in_words(exam, sentence):
    assert report.criterion_sentence(small_task(criterion=EXAM._replace(**exam))) == sentence


def test_a_criterion_in_words():
    words = "Solved: the last 2,000 training sequences all had |errors| below 0.04 and their mean below 0.01."
    assert report.criterion_sentence(adding(100)) == words
    assert report.criterion_sentence(long_lag(50)).endswith("all had |errors| below 0.2.")


def test_progress_counts_what_is_solved_where_anything_can_be():
    progress = TrialsProgress(0.5, 3, 1)
    assert report.progress_text(adding(100), progress) == "3 trials ended, 1 solved"
    scored = small_task(criterion=EXAM._replace(limit=None))
    assert report.progress_text(scored, progress) == "3 trials ended"


def test_differences_name_what_was_done():
    task = adding(100)
    text = "\n".join(report.differences(task, [trial(model) for model in usual_models("adding")], "float32"))
    for words in (
        *("Adam", "0.01", "norm 1", "32 sequences", "16 hidden units", "forget gate", "Chrono", "T = 110"),
        *(
            "1,233 weights in all",
            "they need; LSTM 1997: that b_i alone.",
            "93 weights in all",
            "RNN",
            "linear",
            "blocks",
            "float32",
            "the paper: plain",
        ),
    ):
        assert words in text
    text = "\n".join(report.differences(long_lag(50), [trial(RNN)], "float32"))
    assert "5,000,000" in text and "Chrono" not in text and "forget gate" not in text
    text = "\n".join(report.differences(task, [trial(CHRONO)], "float32"))
    assert "a memory as long as they need. " in text and "LSTM 1997" not in text
    other = small_task(
        criterion=EXAM, classes=3, is_every_step=True, truncate=7, clip_norm=0.0, batch_size=5000
    )
    other = replace(other, differences=("The numbers are small.",))
    text = "\n".join(report.differences(other, [examined(RNN, [1.0])], "float64"))
    for words in (
        "truncated after 7 steps",
        "cross-entropy",
        "5,000 sequences",
        "float64",
        "The numbers are small.",
    ):
        assert words in text
    for words in ("the paper", "norm", "blocks", "judged", "tanh"):
        assert words not in text
    text = "\n".join(report.differences(multiplication(), [examined(CHRONO, [1.0])], "float32"))
    assert "blocks" in text and "The mean error" not in text


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_described(name, tmp_path):
    task = tasks.make_task(name)
    models = usual_models(name)
    is_judged = "tolerance" in task.criterion._asdict()
    found = [trial(model) if is_judged else examined(model, [0.5, 0.25]) for model in models]
    assert report.task_sentences(task).startswith(f"{task.title}. ")
    document = report.describe(task, found, 3, "float32", "cpu", 1.5)
    report.write_files(tmp_path, document, task, found)
    written = json.loads((tmp_path / "reproduce.json").read_text())
    assert written["task"] == task.name and written["seconds"] == 1.5
    assert written["settings"]["seed"] == 3 and written["settings"]["device"] == "cpu"
    assert written["settings"]["truncate"] == task.training.truncate
    assert len(written["networks"]) == len(models) and len(written["published"]) == len(task.published)
    with open(tmp_path / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    values = [row["mean_error" if is_judged else "score"] for row in rows[:2]]
    assert values == (["0.1", "0.1"] if is_judged else ["0.5", "0.25"])
    assert [row["sequences"] for row in rows[:2]] == ["1000", "2000"]
    with open(tmp_path / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == [model.cell for model in models]
    assert rows[0]["wrong" if is_judged else "score"] == ("1" if is_judged else "0.25")


def test_milestones_are_in_the_files(tmp_path):
    task = small_task(criterion=EXAM._replace(limit=0.001, milestones=(0.01,)))
    found = [examined(CHRONO, [0.1, 0.005, 0.0005], "solved"), examined(CHRONO, [0.1])]
    document = report.describe(task, found, 0, "float32", "cpu", 1.0)
    (network,) = document["networks"]
    assert network["milestones"] == [{"limit": 0.01, "trials": 1, "mean_sequences": 2000}]
    assert (network["solved"], network["mean_sequences"], network["seconds"]) == (1, 3000, 120)
    report.write_files(tmp_path, document, task, found)
    with open(tmp_path / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reached_0.01"] for row in rows] == ["2000", ""]
