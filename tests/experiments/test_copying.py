"""Copy memory against its definition, and its exam against networks that remember or do not."""

import math

import numpy as np
import pytest
from drawn_sequences import Answering, drawn, is_uniform

from trendlstm.experiments.copying import copy


@pytest.mark.parametrize("length", [1, 30, 500])
def test_copy(length):
    x, y, lengths = drawn(copy(length), 400)
    symbols = x.argmax(axis=2)
    assert (x.sum(axis=2) == 1).all() and set(lengths) == {length + 20}
    blank, delimiter = 8, 9
    assert symbols[:, :10].max() < blank
    assert (symbols[:, 10 : length + 9] == blank).all()
    assert (symbols[:, length + 9] == delimiter).all()
    assert (symbols[:, length + 10 :] == blank).all() and symbols[:, length + 10 :].shape[1] == 10
    assert (y[:, : length + 10] == blank).all()
    assert np.array_equal(y[:, length + 10 :, 0], symbols[:, :10])
    for position in range(10):
        assert is_uniform(np.bincount(symbols[:, position], minlength=8))


def test_without_memory_the_loss_is_the_baseline():
    task = copy(40)
    _, y, _ = drawn(task, 50)
    answers = np.zeros((60, 9))
    answers[:50, 8] = 1  # blanks until the delimiter has come
    answers[50:, :8] = 1 / 8
    chosen = np.take_along_axis(np.broadcast_to(answers, (50, 60, 9)), y.astype(int), axis=2)
    loss = -np.log(chosen).mean()
    assert loss == pytest.approx(10 * math.log(8) / 60)
    assert f"{loss:.4f}" in task.question


def test_the_exam_is_the_share_of_symbols_that_are_repeated():
    exam = copy(30).criterion

    def score(answer):
        return exam.take(Answering(lambda x: answer(x)[:, :, None]), np.random.default_rng(2))

    def exact(x):
        answers = np.zeros((*x.shape[:2], 9))
        answers[:, -10:] = x[:, :10, :9]
        answers[:, :-10] = 7  # what it says before does not count
        return answers

    def half(x):
        answers = exact(x)
        answers[:, -5:] = np.eye(9)[8]
        return answers

    assert score(exact) == 1 and score(half) == 0.5
    assert score(lambda x: np.broadcast_to(np.eye(9)[3], (*x.shape[:2], 9))) == pytest.approx(1 / 8, abs=0.04)
    assert (exam.limit, exam.more_is_better) == (0.99, True) and exam.milestones == (0.5, 0.9)


def test_the_task():
    task = copy(500)
    assert (task.classes, task.is_every_step) == (9, True)
    assert [figure.is_remembered for figure in task.published] == [False, True]
    assert copy(2000).published == task.published[1:] and copy(30).published == ()
