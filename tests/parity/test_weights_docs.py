"""The examples of docs/weights.md, as they stand there; those of a hub run in tests/ecosystem."""

import re
from pathlib import Path

import numpy as np

TEXT = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")


def test_the_examples_do_what_they_say():
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[:5]:
        exec(snippet, names)
    x = np.random.default_rng(0).normal(size=(4, 20, 1)).astype(np.float32)
    tl, model, module, torch = (names[name] for name in ("tl", "model", "module", "torch"))
    assert [array.tobytes() for array in model.get_weights()] == [
        array.tobytes() for array in tl.to_keras_weights(names["network"])
    ]
    assert set(names["arrays"]) == {"recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "recurrent.bias_ih_l0",
                                    "recurrent.bias_hh_l0", "dense.0.weight", "dense.0.bias"}  # fmt: skip
    assert names["stacked"].config == tl.NetworkConfig(1, 50, (), 1, lag=60, layers=2, dropout=0.2)
    expected = module(torch.from_numpy(x)).detach().numpy()
    for network in (names["network"], names["same"]):
        np.testing.assert_allclose(network.predict(x), expected, rtol=1e-4, atol=1e-6)
    expected = torch.softmax(names["classifier"](torch.from_numpy(x)), dim=-1).detach().numpy()
    np.testing.assert_allclose(names["with_classes"].predict(x)[:, 0], expected, rtol=1e-4)
