"""What a fit's history says of itself."""

import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import trendlstm as tl
from trendlstm.errors import DataError, OptionError, TrainingError
from trendlstm.nn.history import History

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


def test_the_table_has_a_row_for_each_epoch():
    net = tl.Network(hidden_size=3, dense=())
    history = net.fit(X, Y, epochs=4, validation=(X[:5], Y[:5]))
    table = history.table
    assert list(table["epoch"]) == [1, 2, 3, 4]
    np.testing.assert_array_equal(table["loss"], history.loss)
    np.testing.assert_array_equal(table["validation_loss"], history.validation_loss)
    np.testing.assert_array_equal(table["learning_rate"], history.learning_rate)
    assert net.fit(X, Y, epochs=2).table["validation_loss"].isna().all()


def make_history(validated=True):
    loss, validation = np.array([0.9, 0.8, 0.7]), np.array([0.6, 0.5, 0.55])
    return History(
        loss, validation if validated else None, 2 if validated else 3, 3, 0.1, "epochs", np.full(3, 0.01)
    )


@pytest.mark.parametrize("validated", [True, False])
def test_plot_draws_the_losses_and_the_epoch_that_was_kept(validated):
    history = make_history(validated)
    ax = Figure().add_subplot()
    assert history.plot(ax) is ax
    drawn = {line.get_label(): line for line in ax.lines}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(drawn)
    np.testing.assert_array_equal(drawn["training loss"].get_ydata(), history.loss)
    np.testing.assert_array_equal(drawn["training loss"].get_xdata(), [1, 2, 3])
    (kept,) = [line for label, line in drawn.items() if "weights kept" in label]
    watched = history.validation_loss if validated else history.loss
    assert kept.get_xydata().tolist() == [[history.best_epoch, watched[history.best_epoch - 1]]]
    assert ("validation loss" in drawn) == validated


def test_a_learning_rate_is_shown_if_it_is_not_the_same_in_all_epochs():
    steady, falling = make_history(), replace(make_history(), learning_rate=np.array([0.03, 0.02, 0.01]))
    assert "learning_rate" in falling._repr_html_() and "learning_rate" not in steady._repr_html_()
    for history in (steady, falling):
        assert history.table["learning_rate"].tolist() == history.learning_rate.tolist()
        figure = Figure()
        history.plot(figure.add_subplot())
        names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert ("learning rate (right)" in names) == (history is falling)
        assert len(figure.axes) == (2 if history is falling else 1)
    right = figure.axes[1]
    assert right.get_ylabel() == "learning rate"
    np.testing.assert_array_equal(right.lines[0].get_ydata(), falling.learning_rate)


@pytest.mark.parametrize(
    ("minimised", "label"), [("mae", "mean absolute error of the"), ("cross-entropy", "mean cross-entropy$")]
)
def test_plot_names_the_loss(minimised, label):
    ax = replace(make_history(), minimised=minimised).plot(Figure().add_subplot())
    assert re.match(label, ax.get_ylabel())


def test_plot_takes_pyplots_current_axes_only_if_none_are_given():
    with matplotlib.rc_context({"backend": "Agg"}):
        make_history().plot(Figure().add_subplot())
        assert pyplot.get_fignums() == []
        figure, (left, right) = pyplot.subplots(1, 2)
        pyplot.sca(left)
        assert make_history().plot() is left and not right.lines
        pyplot.close(figure)


def test_nothing_to_plot_is_said():
    history = History(np.array([]), None, 0, 0, 0.1, "interrupted", np.array([]))
    with pytest.raises(DataError, match="No epoch was finished"):
        history.plot(Figure().add_subplot())


@pytest.mark.parametrize("ax", [3, "left", Figure()])
def test_axes_that_are_none_are_refused(ax):
    with pytest.raises(OptionError, match=f"ax must be matplotlib's Axes, .* but is a {type(ax).__name__}"):
        make_history().plot(ax)


@pytest.mark.parametrize(("largest", "scale"), [(1.0, "linear"), (500.0, "log")])
def test_no_curve_runs_into_the_legend(largest, scale):
    loss = np.geomspace(largest, 0.5, 100)
    figure = Figure(figsize=(8, 3.5))
    ax = History(loss, loss[::-1], 1, 100, 0.1, "epochs", np.full(100, 0.01)).plot(figure.add_subplot())
    figure.draw_without_rendering()
    assert ax.get_yscale() == scale
    bottom = ax.get_legend().get_window_extent().y0
    assert all(ax.transData.transform(line.get_xydata())[:, 1].max() < bottom for line in ax.lines)
