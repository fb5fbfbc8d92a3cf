"""The section "Inside the network": its numbers are the reference's, and its equations the cell's."""

import numpy as np
import pytest
from naive import recurrent_forward
from run_folders import Parsed, train_folder
from walks import trained

from trendlstm.output.report import gates
from trendlstm.output.report.make import write_report
from trendlstm.output.runs import save_run


@pytest.mark.parametrize(
    ("cell", "shown"), [("lstm", "figcoh"), ("lstm1997", "igcoh"), ("rnn", "h"), ("rnn-sigmoid", "h")]
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
        for name, values in zip("ifgo", trace.gates[t]):
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
    for cell, function in (("rnn", "tanh"), ("rnn-sigmoid", "σ")):
        (only,) = gates.quantities(cell, True, True)
        assert equation(only) == f"ht={function}(W[ht−1,xt]+b)"


def test_a_feed_forward_network_has_none(tmp_path):
    page = Parsed(write_report(train_folder(tmp_path / "run", cell="ann")).read_text())
    assert page.data["gates"] is None and not page.all("article")
    assert any("has no gates" in text for text in page.texts("p"))


def test_of_many_units_the_first_are_shown_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "MOST_UNITS", 2)
    page = Parsed(write_report(train_folder(tmp_path / "run")).read_text())
    assert all(len(column) == 2 for values in page.data["gates"]["values"].values() for column in values)
    assert any("the first 2 of 3 units" in text for text in page.texts("p"))
