"""Sequences of the experiments' tasks as tests draw them, and networks that know the answers."""

import numpy as np


def drawn(task, count=2000, seed=0):
    """Fresh sequences, whose shapes and types are as a task must have them."""
    sequences = task.draw(np.random.default_rng(seed), count)
    x, y, lengths = sequences
    steps = x.shape[1]
    assert x.shape == (count, steps, task.input_size)
    assert y.shape == (count, *([steps] if task.is_every_step else []), task.output_size)
    assert x.dtype == y.dtype == np.float32 and lengths.dtype == np.int64
    assert lengths.min() >= 1 and lengths.max() <= steps
    assert not x[np.arange(steps) >= lengths[:, None]].any()
    if task.classes:
        assert set(np.unique(y)) <= set(range(task.classes))
    return sequences


def is_uniform(counts):
    """Whether counts of equally likely events differ by no more than chance, six standard deviations."""
    mean = np.mean(counts)
    return np.abs(np.asarray(counts) - mean).max() < 6 * np.sqrt(mean)


class Answering:
    """In place of a network: its predictions are what a function of the inputs says."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, x, lengths=None, n_threads=None, *, every_step=False):
        return self.answer(x)
