"""Presets are the models of the tutorials and the lecture notes, parameter by parameter."""

import pytest

import trendlstm as tl
from trendlstm.errors import OptionError


@pytest.mark.parametrize(
    ("name", "parameters", "lag", "scaling"),
    [("keras-tutorial", 71_051, 60, "minmax"), ("notes", 20_065, 3, "none")],
)
def test_a_preset_is_the_model_that_it_is_named_after(name, parameters, lag, scaling):
    config = tl.preset(name)
    assert tl.Network.from_config(config.network).num_params == parameters
    assert (config.window.lag, config.window.scaling, config.window.features) == (lag, scaling, ("Close",))
    assert (config.fit.epochs, config.fit.batch_size, config.fit.learning_rate) == (100, 32, 1e-3)


def test_an_unknown_preset_is_named_with_the_choices():
    with pytest.raises(OptionError, match="preset must be one of keras-tutorial, notes, but is 'tutorial'"):
        tl.preset("tutorial")
