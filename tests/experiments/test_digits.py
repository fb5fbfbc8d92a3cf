"""Sequential digits: the images, their order, and the exam."""

import sys

import numpy as np
import pytest
from drawn_sequences import Answering, drawn

from trendlstm.errors import OptionError
from trendlstm.experiments import digits as module
from trendlstm.experiments.digits import digits, permutation

datasets = pytest.importorskip("sklearn.datasets")


def originals():
    data, target = datasets.load_digits(return_X_y=True)
    return (data / 16).astype(np.float32), target


def images_of_exam(task):
    """The images that the exam shows."""
    shown = []

    def answer(x):
        shown.append(x)
        return np.zeros((len(x), 1, 10))

    task.criterion.take(Answering(answer), np.random.default_rng(0))
    (x,) = shown
    return x[:, :, 0]


def test_training_images_are_not_test_images():
    data, target = originals()
    x, y, lengths = drawn(digits(), 20_000)
    assert set(lengths) == {64}
    labels = {image.tobytes(): label for image, label in zip(data, target)}
    for image, label in zip(x[:500, :, 0], y[:500, 0]):
        assert labels[image.tobytes()] == label
    seen = {image.tobytes() for image in x[:, :, 0]}
    test = {image.tobytes() for image in images_of_exam(digits())}
    assert len(test) == 360 and len(seen) == 1437 and not seen & test
    assert set(np.unique(y)) == set(range(10))
    counts = np.unique([hash(image.tobytes()) for image in x[:, :, 0]], return_counts=True)[1]
    assert counts.std() == pytest.approx(np.sqrt(20_000 / 1437), rel=0.15)  # with replacement


def test_permuted_images_are_the_same_in_one_other_order():
    order = permutation(64)
    assert sorted(order) == list(range(64)) and np.mean(order == np.arange(64)) < 0.1
    plain, permuted = drawn(digits(), 50), drawn(digits("permuted"), 50)
    assert np.array_equal(plain.x[:, order], permuted.x) and np.array_equal(plain.y, permuted.y)
    assert np.array_equal(images_of_exam(digits())[:, order], images_of_exam(digits("permuted")))


def test_the_exam_is_the_share_of_images_that_are_recognised():
    exam = digits().criterion
    data, target = originals()
    labels = {image.tobytes(): label for image, label in zip(data, target)}

    def exact(x):
        return np.eye(10)[[labels[image.tobytes()] for image in x[:, :, 0]]][:, None]

    def half(x):
        answers = exact(x)
        answers[::2] = np.roll(answers[::2], 1, axis=2)
        return answers

    take = exam.take
    assert take(Answering(exact), np.random.default_rng(0)) == 1
    assert take(Answering(half), np.random.default_rng(0)) == 0.5
    assert exam.limit is None and exam.more_is_better


def test_the_task_needs_scikit_learn(monkeypatch):
    module._images.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(OptionError, match=r"scikit-learn.*\[sklearn\]"):
        digits()


def test_the_published_figures_are_of_other_images():
    for variant, expected in (("in-order", "98.5 % of MNIST"), ("permuted", "91.0 % of MNIST")):
        task = digits(variant)
        assert task.published[0].result.startswith(expected)
        assert "cannot be compared" in task.differences[0]
