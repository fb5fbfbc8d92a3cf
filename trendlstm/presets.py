"""The settings of two models that are passed on in tutorials and lecture notes, for those who come from there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from trendlstm.config import FitConfig, NetworkConfig, TrainConfig, WindowConfig


class _Preset(NamedTuple):
    description: str
    config: TrainConfig


_ALL = {
    "keras-tutorial": _Preset(
        "four LSTM(50) layers, each with dropout 0.2, and one linear output, on 60 closes scaled to [0, 1], as in the "
        "stock tutorials with Keras",
        TrainConfig(
            window=WindowConfig(lag=60, scaling="minmax"),
            network=NetworkConfig(hidden_size=50, layers=4, dropout=0.2, dense=()),
            fit=FitConfig(epochs=100, batch_size=32, learning_rate=1e-3),
        ),
    ),
    "notes": _Preset(
        "the lecture notes' LSTM(64) of 20,065 parameters with dense layers of 32 and 32, on 3 raw closes",
        TrainConfig(
            window=WindowConfig(lag=3, scaling="none"),
            network=NetworkConfig(hidden_size=64, dense=(32, 32)),
            fit=FitConfig(epochs=100, batch_size=32, learning_rate=1e-3),
        ),
    ),
}

# By name: what the model is, in words, and every setting, for `trendlstm.train(prices, PRESETS["notes"])`.
DESCRIPTIONS: Mapping[str, str] = MappingProxyType({name: one.description for name, one in _ALL.items()})
PRESETS: Mapping[str, TrainConfig] = MappingProxyType({name: one.config for name, one in _ALL.items()})
