"""What a comparison compares: every kind of network and every model, each in one row, with its names and its style."""

from dataclasses import dataclass, field
from typing import Any, Literal

from trendlstm.config import PLAIN_LSTM, Cell

Colour = Literal["black", "blue", "green", "grey", "orange", "purple", "sky", "vermillion", "wine"]
Line = Literal["solid", "dashed", "dotted"]


@dataclass(frozen=True)
class VariantKind:
    """One network setting: how it differs from the LSTM that is compared, what it is called and how it is drawn.

    Attributes
    ----------
    key : str
        In code and in `predictions.csv`.
    label : str
        In tables, pictures and `compare.json`.
    phrase : str
        In a sentence.
    settings : dict
        Fields of `NetworkConfig` that are not the LSTM's.
    colour, line : str
        Of its curve.
    highlight : bool
        Whether the curve is thick: the two networks of the lecture notes' demonstration.
    only_if_compared : bool
        Whether it is left out unless it is the network of a model that is compared.
    """

    key: str
    label: str
    phrase: str
    settings: dict[str, Any] = field(hash=False)
    colour: Colour
    line: Line = "solid"
    highlight: bool = False
    only_if_compared: bool = False

    @property
    def cell(self) -> Cell:
        """Of its network."""
        return self.settings["cell"]


# what more layers and dropout are compared with
_PLAIN = {"cell": "lstm", "layers": 1, "dropout": 0.0, "recurrent_dropout": 0.0}

# the slowest to train first, so that no thread is left with one at the end
KINDS = (
    VariantKind(
        "lstm-bias-0",
        "LSTM, forget bias 0",
        "the LSTM with forget bias 0",
        {"cell": "lstm", "forget_bias": 0},
        "sky",
        "dotted",
    ),
    VariantKind(
        "lstm-bias-1",
        "LSTM, forget bias 1",
        "the LSTM with forget bias 1",
        {"cell": "lstm", "forget_bias": 1},
        "sky",
    ),
    VariantKind(
        "lstm-chrono",
        "LSTM, chrono",
        "the LSTM with chrono biases",
        {"cell": "lstm", "forget_bias": "chrono"},
        "blue",
        highlight=True,
    ),
    VariantKind("lstm1997", "LSTM 1997", "the LSTM of 1997", {"cell": "lstm1997"}, "purple"),
    VariantKind("gru", "GRU", "the GRU", {"cell": "gru"}, "wine", only_if_compared=True),
    VariantKind(
        PLAIN_LSTM,
        "plain 1-layer LSTM",
        "the plain 1-layer LSTM",
        _PLAIN,
        "sky",
        "dashed",
        only_if_compared=True,
    ),
    VariantKind(
        "rnn-uniform",
        "RNN, uniform",
        "the RNN with uniform weights",
        {"cell": "rnn", "init": "uniform"},
        "vermillion",
        highlight=True,
    ),
    VariantKind(
        "rnn-glorot",
        "RNN, glorot",
        "the RNN with glorot weights",
        {"cell": "rnn", "init": "glorot"},
        "orange",
        "dotted",
    ),
    VariantKind(
        "rnn-orthogonal",
        "RNN, orthogonal",
        "the RNN with orthogonal weights",
        {"cell": "rnn", "init": "orthogonal"},
        "orange",
    ),
    VariantKind("ann", "ANN", "the ANN", {"cell": "ann"}, "green", only_if_compared=True),
)


@dataclass(frozen=True)
class Model:
    """The LSTM, or what it is compared with.

    Attributes
    ----------
    name : str
        On the command line, in `config.COMPARED` and in files.
    label : str
        For people.
    settings : dict or None
        Fields of `NetworkConfig` that are not the LSTM's; None for one of `baselines.BASELINES`.
    colour, line : str
        Of its curve.
    """

    name: str
    label: str
    settings: dict[str, Any] | None = field(hash=False)
    colour: Colour
    line: Line = "solid"


MODELS = {
    model.name: model
    for model in (
        Model("lstm", "LSTM", {"cell": "lstm"}, "blue"),
        Model(PLAIN_LSTM, "plain 1-layer LSTM", _PLAIN, "sky", "dashed"),
        Model("rnn", "RNN", {"cell": "rnn"}, "vermillion"),
        Model("gru", "GRU", {"cell": "gru"}, "wine"),
        Model("ann", "ANN", {"cell": "ann"}, "green"),
        Model("lstm1997", "LSTM 1997", {"cell": "lstm1997"}, "purple"),
        Model("persistence", "persistence", None, "black", "dashed"),
        Model("drift", "drift", None, "grey", "dotted"),
        Model("ridge", "ridge", None, "orange"),
    )
}
