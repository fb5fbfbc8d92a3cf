"""What a fit's history says of itself."""

import numpy as np
import pytest

import trendlstm as tl
from trendlstm.errors import TrainingError

X = np.random.default_rng(0).normal(size=(40, 3, 1))
Y = X[:, -1] + 1


def test_epochs_count_from_1_and_0_means_that_none_was_finished():
    net = tl.Network(hidden_size=3, dense=(), dtype="float64")
    history = net.fit(X, Y, epochs=9, learning_rate=0.3, validation=(X[:5], -Y[:5]))
    assert history.best_epoch == np.argmin(history.validation_loss) + 1
    assert tl.Network(hidden_size=3, dense=()).fit(X, Y, epochs=7).best_epoch == 7
    with pytest.raises(TrainingError) as raised:
        net.fit(X, 1e200 * Y, epochs=9)
    (history,) = raised.value.histories
    assert (history.best_epoch, history.epochs_run) == (0, 0)


def test_repr_is_one_short_line():
    net = tl.Network(hidden_size=3, dense=())
    history = net.fit(X, Y, epochs=300, learning_rate=0.1, patience=1, validation=(X[:5], -Y[:5]))
    text = repr(history)
    assert len(text) < 140 and "\n" not in text
    kept = history.validation_loss[history.best_epoch - 1]
    for part in (
        f"{history.epochs_run} epochs",
        f"epoch {history.best_epoch} kept",
        f"{kept:.4g}",
        "patience",
    ):
        assert part in text
    assert "validation" not in repr(net.fit(X, Y, epochs=1))
    with pytest.raises(TrainingError) as raised:
        net.fit(X, Y, epochs=9, learning_rate=1e39)
    assert "no weights kept; stopped: not finite" in repr(raised.value.histories[0])
