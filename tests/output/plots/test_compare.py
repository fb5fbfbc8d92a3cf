"""The pictures of a comparison: what they show, and that nothing in them overlaps or falls off."""

import dataclasses

import numpy as np
import pytest
from comparisons import KINDS, compared, stand_in_comparison
from matplotlib.figure import Figure
from matplotlib.text import Text

from trendlstm.config import COMPARED
from trendlstm.output.plots import compare as plots
from trendlstm.workflows import compare as workflow
from trendlstm.workflows import variants


@pytest.fixture(scope="module")
def everything():
    return compared(COMPARED, seeds=3, lag=6)


@pytest.fixture(scope="module")
def cases(everything):
    """Comparisons of every shape."""
    return {
        "everything": everything,
        "several layers": compared(
            [name for name in COMPARED if name != "ann"], lag=6, layers=2, dropout=0.2, seeds=2
        ),
        "one seed, shortest lag": compared(lag=3),
        "several steps": compared(("ridge", "ann"), horizon=3, features=("Close", "Volume"), seeds=2),
    }


def drawn(monkeypatch, comparison, folder):
    figures: dict[str, Figure] = {}
    save = plots.save
    monkeypatch.setattr(
        plots, "save", lambda figure, path: (figures.update({path.name: figure}), save(figure, path))
    )
    plots.plot_comparison(comparison, folder)
    return figures


def named_lines(axes):
    return {
        line.get_label(): np.asarray(line.get_ydata())
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


@pytest.mark.parametrize("case", ["everything", "several layers", "one seed, shortest lag", "several steps"])
def test_nothing_leaves_the_pictures_and_no_texts_overlap(monkeypatch, tmp_path, cases, case):
    figures = drawn(monkeypatch, cases[case], tmp_path)
    assert set(figures) == {"learning.png", "predictions.png", "gradients.png", "terms.png"}
    for name, figure in figures.items():
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        figure.draw_without_rendering()
        tight = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert tight.x0 >= 0 and tight.y0 >= 0 and tight.x1 <= width and tight.y1 <= height, name
        texts = [text for text in figure.texts if text.get_text()]
        texts += [text for axes in figure.axes for text in axes.texts]
        # of the text alone: an annotation's own extent has its leader in it
        boxes = [Text.get_window_extent(text) for text in texts] + [axes.bbox for axes in figure.axes]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        boxes += [axes._left_title.get_window_extent() for axes in figure.axes if axes.get_title(loc="left")]
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:index]), name


@pytest.mark.parametrize("picture, quantity", [("gradients.png", "dloss_dh"), ("terms.png", "weight_terms")])
def test_one_line_a_network_on_a_log_axis_before_and_after(
    monkeypatch, tmp_path, everything, picture, quantity
):
    figure = drawn(monkeypatch, everything, tmp_path)[picture]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before training", "after training"]
    for axes, state in zip(figure.axes, workflow.STATES, strict=True):
        gradients = everything.gradients[state]
        assert axes.get_yscale() == "log" and axes.get_xlabel() == "steps into the past, k"
        found = named_lines(axes)
        assert set(found) - {"LSTM, chrono cell", "GRU"} == set(KINDS)
        for variant in everything.prepared.recurrent:
            expected = gradients.profile(variant.kind.key, quantity).relative
            shown = np.where(expected > 0, expected, np.nan)
            np.testing.assert_array_equal(found[variant.kind.label], shown)
        ends = {text.get_text().partition(":")[0] for text in axes.texts}
        assert ends == set(found)
        if picture == "gradients.png":
            expected = gradients.profile("lstm-chrono", "dloss_dc").relative
            np.testing.assert_array_equal(found["LSTM, chrono cell"], expected)
    captions = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "the lecture notes' demonstration" in captions
    assert picture == "terms.png" or "decided by the long-lag tasks (trendlstm reproduce)" in captions


def test_learning_curves_and_predictions(monkeypatch, tmp_path, everything):
    figures = drawn(monkeypatch, everything, tmp_path)
    prepared = everything.prepared
    for axes, name in zip(figures["learning.png"].axes, ("loss", "validation_loss"), strict=True):
        found = named_lines(axes)
        for model, label in (
            ("lstm", "LSTM"),
            ("rnn", "RNN"),
            ("gru", "GRU"),
            ("ann", "ANN"),
            ("lstm1997", "LSTM 1997"),
        ):
            histories = everything.fits.histories[prepared.models[model].kind.key]
            losses = [getattr(history, name) for history in histories]
            np.testing.assert_allclose(found[label], np.mean(losses, axis=0))
    train = prepared.windows.train  # window scaling: persistence predicts 0
    naive = named_lines(figures["learning.png"].axes[0])["persistence (tomorrow = today)"]
    np.testing.assert_allclose(naive, np.mean(train.y**2))
    prices, changes = figures["predictions.png"].axes
    found = {label.partition(":")[0]: values for label, values in named_lines(prices).items()}
    added = {label.partition(":")[0]: values for label, values in named_lines(changes).items()}
    test = prepared.windows.test
    np.testing.assert_array_equal(found["actual close"], test.actual[:, 0])
    for name, model in everything.models.items():
        label = variants.MODELS[name].label
        np.testing.assert_array_equal(found[label], model.predicted[:, 0])
        np.testing.assert_array_equal(added[label], model.predicted[:, 0] - test.anchors)


def test_a_vanished_gradient_leaves_the_picture_not_the_scale(monkeypatch, tmp_path):
    comparison = compared(lag=6)
    initial = comparison.gradients["initial"]
    gone = np.array([1, 1e-10, 1e-200, 0, 0, 0])
    vanished = [dataclasses.replace(flow, dloss_dh=gone) for flow in initial.flows["rnn-uniform"]]
    initial = dataclasses.replace(initial, flows={**initial.flows, "rnn-uniform": vanished})
    comparison = dataclasses.replace(comparison, gradients={**comparison.gradients, "initial": initial})
    axes, _ = drawn(monkeypatch, comparison, tmp_path)["gradients.png"].axes
    assert axes.get_ylim()[0] > 1e-20
    assert "RNN, uniform: 1e-10" in [text.get_text() for text in axes.texts]


def test_a_new_kind_needs_one_row(monkeypatch, tmp_path):
    from trendlstm.output import compare as output

    settings = {"cell": "lstm", "init": "glorot"}
    kind = variants.VariantKind(
        "lstm-glorot", "LSTM, glorot", "the LSTM with glorot weights", settings, "green", "dashed"
    )
    monkeypatch.setattr(workflow, "KINDS", (*variants.KINDS, kind))
    comparison = compared(lag=4)
    figures = drawn(monkeypatch, comparison, tmp_path)
    for name in ("gradients.png", "terms.png"):
        assert "LSTM, glorot" in named_lines(figures[name].axes[0])
    document = output.write_comparison(tmp_path, comparison)
    assert list(document["gradients"]) == [*KINDS, "LSTM, glorot"]
    assert "lstm-glorot" in set(workflow.predictions(comparison)["model"])
    prepared = comparison.prepared
    kept = {"lstm-glorot": [0.9]}
    zero = np.zeros_like(prepared.windows.test.y)
    assert "of all 8 kinds the LSTM with glorot weights now keeps most" in " ".join(
        output.conclusions(stand_in_comparison(prepared, lambda key: zero, trained=kept))
    ).lower().replace("lstm", "LSTM")
