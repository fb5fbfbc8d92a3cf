"""The section "Inside the network": its numbers are the reference's, and its equations the cell's."""

from importlib.resources import files

import numpy as np
import pytest
from naive import recurrent_forward
from run_folders import Parsed, train_folder
from walks import trained

from trendlstm.config import CELLS
from trendlstm.output.report import gates
from trendlstm.output.report.make import write_report
from trendlstm.output.runs import save_run

ASSETS = files("trendlstm.output.report") / "assets"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("lstm", "figcoh"), ("lstm1997", "igcoh"), ("gru", "rznh"), ("rnn", "h"), ("rnn-sigmoid", "h")],
)
@pytest.mark.parametrize("features", [("Close",), ("Open", "Volume")], ids=",".join)
def test_values_are_those_of_the_last_test_window(tmp_path, cell, shown, features):
    result = trained(cell=cell, features=features, seeds=2, final_fit=True)
    folder = save_run(result, tmp_path / "run")
    page = Parsed(write_report(folder).read_text())
    found = page.data["gates"]
    assert "".join(found["values"]) == shown and len(found["steps"]) == 4
    network, x = result.forecaster.networks[0], result.windows.test.x[-1:]
    trace = recurrent_forward(network.state_dict(), x, cell)
    expected = {"h": trace.h[0, 1:], "c": trace.c[0, 1:]}
    for t in range(4):
        for name, values in zip("rzn" if cell == "gru" else "ifgo", trace.gates[t]):
            expected.setdefault(name, np.zeros((4, 3)))[t] = values[0]
    for name, values in found["values"].items():
        np.testing.assert_allclose(np.array(values) / 1000, expected[name], atol=0.0006)
    means = page.data["charts"]["means"]
    for name, values in zip(shown, means["sets"][0]["values"]):
        np.testing.assert_allclose(values, expected[name].mean(axis=1), rtol=1e-3, atol=1e-6)
    last = result.windows.dates[result.windows.test.origins[-1]]
    assert f"{last:%Y-%m-%d}" in found["steps"][-1] and all(name in found["steps"][0] for name in features)
    if "Volume" in features:
        assert f"Volume {result.windows.prices['Volume'].loc[last]:,.0f} (" in found["steps"][-1]
    assert len(page.all("article")) == len(page.all("math")) == len(shown)
    assert page.all("input", type="range", min="1", max="4")


def test_equations_are_the_cells():
    def equation(one):
        return "".join(text for _, _, text in Parsed(one.equation).elements)

    lstm = {one.key: equation(one) for one in gates.quantities("lstm", True, True)}
    assert lstm["f"] == "ft=σ(Wf[ht−1,xt]+bf)" and lstm["i"] == "it=σ(Wi[ht−1,xt]+bi)"
    assert lstm["g"] == "gt=tanh(Wg[ht−1,xt]+bg)" and lstm["o"] == "ot=σ(Wo[ht−1,xt]+bo)"
    assert lstm["c"] == "ct=ft⊙ct−1+it⊙gt" and lstm["h"] == "ht=ot⊙tanh(ct)"
    old = {one.key: equation(one) for one in gates.quantities("lstm1997", False, False)}
    assert (
        old["c"] == "ct=ct−1+it⊙gt"
        and old["i"] == "it=σ(Wi[ht−1,xt])"
        and old["h"] == "ht=ot⊙ct"
        and "f" not in old
    )
    gru = {one.key: equation(one) for one in gates.quantities("gru", True, True)}
    assert gru == {
        "r": "rt=σ(Wr[ht−1,xt]+br)",
        "z": "zt=σ(Wz[ht−1,xt]+bz)",
        "n": "nt=tanh(Wxnxt+bxn+rt⊙qt)qt=Whnht−1+bhn",
        "h": "ht=(1−zt)⊙nt+zt⊙ht−1",
    }
    assert all("b" not in equation(one) for one in gates.quantities("gru", False, True))
    for cell, function in (("rnn", "tanh"), ("rnn-sigmoid", "σ")):
        (only,) = gates.quantities(cell, True, True)
        assert equation(only) == f"ht={function}(W[ht−1,xt]+b)"


def test_of_several_layers_the_top_one_is_shown_and_that_is_said(tmp_path):
    result = trained(cell="gru", hidden_size=(3, 2), dropout=0.2)
    page = Parsed(write_report(save_run(result, tmp_path / "run")).read_text())
    (network,), x = result.forecaster.networks, result.windows.test.x[-1:]
    params = network.state_dict()
    below = recurrent_forward(layer_params(params, 0), x, "gru").h[:, 1:]
    top = recurrent_forward(layer_params(params, 1), below, "gru").h[0, 1:]
    np.testing.assert_allclose(np.array(page.data["gates"]["values"]["h"]) / 1000, top, atol=0.0006)
    assert any("Of its 2 recurrent layers the top one is shown" in text for text in page.texts("p"))
    assert not any("units" in text and "the first" in text for text in page.texts("p"))


def layer_params(params, layer):
    """The parameters of one recurrent layer, under the names of a single one."""
    before = f"recurrent.{layer}."
    return {
        f"recurrent.{name.removeprefix(before)}": value
        for name, value in params.items()
        if name.startswith(before)
    }


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "ann"])
def test_the_script_has_a_sentence_for_everything_that_is_shown(cell):
    script = (ASSETS / "report.js").read_text()
    sentences = script.partition("const sentences = {")[2].partition("};")[0]
    for one in gates.quantities(cell, True, True):
        assert f" {one.key}: (now, " in sentences


def test_a_feed_forward_network_has_none(tmp_path):
    page = Parsed(write_report(train_folder(tmp_path / "run", cell="ann")).read_text())
    assert page.data["gates"] is None and not page.all("article")
    assert any("has no gates" in text for text in page.texts("p"))


def test_of_many_units_the_first_are_shown_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "MOST_UNITS", 2)
    page = Parsed(write_report(train_folder(tmp_path / "run")).read_text())
    assert all(len(column) == 2 for values in page.data["gates"]["values"].values() for column in values)
    assert any("the first 2 of 3 units" in text for text in page.texts("p"))
