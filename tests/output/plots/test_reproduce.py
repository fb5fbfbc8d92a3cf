"""The picture of trials."""

from dataclasses import replace

import numpy as np
import pytest
from small_tasks import EXAM, small_task

from trendlstm.experiments.long_lags import adding, long_lag
from trendlstm.experiments.models import Model, usual_models
from trendlstm.experiments.task import Published
from trendlstm.experiments.trials import Trial
from trendlstm.output.plots import reproduce as plots

RNN = Model("rnn", None)
AXES = {"linear": "", "log": ", log scale", "symlog": ", log scale above 1"}


def trial(model, outcome="solved", sequences=30_000):
    curve = np.full(-(-sequences // 1000), 0.1)
    return Trial(model, 0, outcome, sequences, 1, curve, np.zeros((0, 2)), 1233, 1.0)


def examined(model, scores, outcome="not solved"):
    exams = np.array([[1000 * (k + 1), score] for k, score in enumerate(scores)], float)
    return Trial(model, 0, outcome, 1000 * len(scores), None, np.zeros(0), exams, 1233, 1.0)


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def levels(axes):
    return [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]


@pytest.mark.parametrize("task", [adding(100), long_lag(50)], ids=lambda task: task.name)
def test_judged_trials(task, tmp_path):
    found = [trial(model) for model in usual_models("adding")[:4]] + [trial(RNN, "not solved", 100_000)]
    figure = plots._trials_figure(found, task)
    (axes,) = figure.axes
    assert "LSTM, chrono biases: solved 1 of 1" in labels(axes) and "RNN: solved 0 of 1" in labels(axes)
    assert any(f"{task.published[0].sequences:,}" in text for text in labels(axes))
    assert any("0.01" in text for text in labels(axes)) == (task.name == "adding-100")
    assert axes.get_yscale() == "log"
    assert levels(axes) == ([0.01] if task.name == "adding-100" else [])
    plots.plot_trials(found, task, tmp_path / "errors.png")
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")


def test_the_legend_has_the_dashes_of_the_lines():
    (axes,) = plots._trials_figure([trial(Model("lstm")), trial(RNN, "not solved")], adding(100)).axes
    handles = dict(zip(labels(axes), axes.get_legend().legend_handles, strict=True))
    assert handles["RNN: solved 0 of 1"].is_dashed()
    assert not handles["LSTM, chrono biases: solved 1 of 1"].is_dashed()


@pytest.mark.parametrize(
    ("exam", "last"),
    [
        ({"limit": 13, "milestones": (140,)}, 0),
        ({"limit": 1_000_000, "milestones": (), "more_is_better": True}, 1_000_000),
        ({"limit": 1, "milestones": (), "more_is_better": True}, 1),
        ({"limit": 0.001, "milestones": ()}, 0.0001),
    ],
)
def test_the_dot_of_a_solved_trial_is_not_cut(exam, last):
    exam = EXAM._replace(**exam)
    found = [examined(Model("lstm"), [0.2, last], "solved")]
    figure = plots._trials_figure(found, small_task(criterion=exam))
    (axes,) = figure.axes
    figure.canvas.draw()
    box, radius = axes.get_window_extent(), plots.DPI / 72 * 4
    _, y = axes.transData.transform((2000, last))
    assert box.y0 + radius < y < box.y1 - radius
    assert any(text.startswith("solved: a score ") for text in labels(axes))


@pytest.mark.parametrize(
    ("exam", "scale"),
    [
        ({"limit": 0.001, "milestones": (0.01,)}, "log"),
        ({"limit": 13, "milestones": (140,)}, "symlog"),
        ({"limit": 1_000_000, "milestones": (1000,), "more_is_better": True}, "symlog"),
        ({"limit": 0.99, "milestones": (0.5,), "more_is_better": True}, "linear"),
        ({"limit": None, "milestones": (), "more_is_better": True}, "linear"),
    ],
)
def test_scores(exam, scale):
    exam = EXAM._replace(**exam)
    published = (Published("LEM", "a paper", 1500), Published("RNN", "a talk", 10**6, is_remembered=True))
    task = replace(small_task(criterion=exam), published=published)
    found = [
        examined(Model("lstm"), [0.2, 0.5, 0.4], "solved"),
        examined(Model("lstm"), [0.1]),
        examined(RNN, [0.3]),
    ]
    figure = plots._trials_figure(found, task)
    (axes,) = figure.axes
    figure.canvas.draw()
    assert axes.get_yscale() == scale
    assert set(levels(axes)) == {limit for limit in (*exam.milestones, exam.limit) if limit is not None}
    curves = [line for line in axes.lines if line.get_linewidth() == 1.1]
    assert [line.get_ydata().tolist() for line in curves] == [[0.2, 0.5, 0.4], [0.1], [0.3]]
    assert curves[0].get_color() == curves[1].get_color() != curves[2].get_color()
    said = labels(axes)
    assert f"LSTM, chrono biases: {'2 trials' if exam.limit is None else 'solved 1 of 2'}" in said
    assert "published: LEM, solved after 1,500 sequences" in said
    assert "(published, from memory: RNN, solved after 1,000,000 sequences)" in said
    assert axes.get_ylabel() == "score" + AXES[scale]
    assert axes.yaxis.get_tightbbox().x0 > 0
    # the legend is above the axes, and inside the picture
    box = axes.get_legend().get_window_extent()
    assert box.y0 >= axes.get_window_extent().y1 - 1
    assert box.y1 < figure.bbox.height and box.x1 < figure.bbox.width
    assert any(text.get_text() == "Score: test mean squared error" for text in figure.texts)
