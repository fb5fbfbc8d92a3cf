"""What a comparison compares: every kind of network and every model, each in one row, with its names and its style."""

from dataclasses import dataclass, field
from typing import Any, Literal

from trendlstm.config import Cell

Colour = Literal["black", "blue", "green", "grey", "orange", "purple", "sky", "vermillion"]
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
    """

    key: str
    label: str
    phrase: str
    settings: dict[str, Any] = field(hash=False)
    colour: Colour
    line: Line = "solid"
    highlight: bool = False

    @property
    def cell(self) -> Cell:
        """Of its network."""
        return self.settings["cell"]


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
    VariantKind("ann", "ANN", "the ANN", {"cell": "ann"}, "green"),
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
    cell : str or None
        Of a network, which has the LSTM's other settings; None for one of `baselines.BASELINES`.
    colour, line : str
        Of its curve.
    """

    name: str
    label: str
    cell: Cell | None
    colour: Colour
    line: Line = "solid"


MODELS = {
    model.name: model
    for model in (
        Model("lstm", "LSTM", "lstm", "blue"),
        Model("rnn", "RNN", "rnn", "vermillion"),
        Model("ann", "ANN", "ann", "green"),
        Model("lstm1997", "LSTM 1997", "lstm1997", "purple"),
        Model("persistence", "persistence", None, "black", "dashed"),
        Model("drift", "drift", None, "grey", "dotted"),
        Model("ridge", "ridge", None, "orange"),
    )
}
