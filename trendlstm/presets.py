"""The settings of two models that are passed on in tutorials and lecture notes, for those who come from there."""

from typing import NamedTuple

from trendlstm.config import FitConfig, NetworkConfig, TrainConfig, WindowConfig
from trendlstm.errors import OptionError


class Preset(NamedTuple):
    """A model that others know: what it is, in words, and every setting."""

    description: str
    config: TrainConfig


PRESETS = {
    "keras-tutorial": Preset(
        "four LSTM(50) layers, each with dropout 0.2, and one linear output, on 60 closes scaled to [0, 1], as in the "
        "stock tutorials with Keras",
        TrainConfig(
            window=WindowConfig(lag=60, scaling="minmax"),
            network=NetworkConfig(hidden_size=50, layers=4, dropout=0.2, dense=()),
            fit=FitConfig(epochs=100, batch_size=32, learning_rate=1e-3),
        ),
    ),
    "notes": Preset(
        "the lecture notes' LSTM(64) of 20,065 parameters with dense layers of 32 and 32, on 3 raw closes",
        TrainConfig(
            window=WindowConfig(lag=3, scaling="none"),
            network=NetworkConfig(hidden_size=64, dense=(32, 32)),
            fit=FitConfig(epochs=100, batch_size=32, learning_rate=1e-3),
        ),
    ),
}


def preset(name: str) -> TrainConfig:
    """The settings of a model of the tutorials or of the lecture notes, as `trendlstm train --preset` has them.

    `keras-tutorial`: four LSTM layers of 50 units, each followed by dropout of 0.2, and one linear output (71,051
    parameters), on windows of 60 closes between 0 and 1 (min-max scaling by the training rows). The tutorials choose
    no epoch; here validation does. `notes`: one LSTM layer of 64 units and dense layers of 32 and 32 (20,065
    parameters), on 3 raw closes.

    Parameters
    ----------
    name : {"keras-tutorial", "notes"}

    Returns
    -------
    TrainConfig
        For `train`; `dataclasses.replace` changes parts of it.

    Raises
    ------
    OptionError
        There is no such preset; the message names those that there are.
    """
    if name not in PRESETS:
        raise OptionError(f"preset must be one of {', '.join(PRESETS)}, but is {name!r}.")
    return PRESETS[name].config
