"""The networks that are tried on a task: cells and their initial values."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from trendlstm.config import Cell, DType, ForgetBias, Init, NetworkConfig
from trendlstm.experiments import USUAL_MODELS
from trendlstm.experiments.task import Task
from trendlstm.nn.network import Network


class Model(NamedTuple):
    """What is tried: a cell and its initial values, see `Network`.

    The LSTM of 1997 has no forget gate; "chrono" gives it the input gate's half, b_i = -ln U[1, T-1], which keeps the
    gates almost shut at first, as the paper's own negative biases do.
    """

    cell: Cell
    forget_bias: ForgetBias | None = "chrono"
    init: Init = "orthogonal"

    @property
    def is_lstm(self) -> bool:
        """Whether the forget bias says anything of it."""
        return self.cell in ("lstm", "lstm1997")

    @property
    def label(self) -> str:
        """For people: "LSTM, chrono biases"."""
        if not self.is_lstm:
            return self.cell.upper()
        if self.cell == "lstm1997":
            return f"LSTM 1997, {'input gates shut' if self.forget_bias == 'chrono' else 'zero biases'}"
        return "LSTM, " + (
            "chrono biases" if self.forget_bias == "chrono" else f"forget bias {self.forget_bias}"
        )


def usual_models(name: str, init: Init = "orthogonal") -> list[Model]:
    """Those that show what matters in the task of `tasks.make_task` that has this name; the first two show most."""
    return [Model(cell, forget_bias, init) for cell, forget_bias in USUAL_MODELS[name]]


def make_models(
    cells: Iterable[Cell],
    forget_biases: Iterable[ForgetBias],
    init: Init = "orthogonal",
) -> list[Model]:
    """Every cell with every bias, without those that would be the same: RNN and GRU have one case, `lstm1997` two."""
    made: dict[str, Model] = {}
    for cell in cells:
        for bias in forget_biases:
            model = Model(cell, bias, init)
            model = model if model.is_lstm else model._replace(forget_bias=None)
            made.setdefault(model.label, model)
    return list(made.values())


def network_config(task: Task, model: Model, seed: int, dtype: DType = "float32") -> NetworkConfig:
    """The network of one trial: one recurrent layer, and a linear one."""
    classes = {"loss": "cross-entropy", "classes": task.classes} if task.classes else {}
    return NetworkConfig(
        input_size=task.input_size,
        hidden_size=task.training.hidden_size,
        dense=(),
        output_size=task.output_size,
        seed=seed,
        lag=task.lag,
        cell=model.cell,
        dtype=dtype,
        forget_bias=model.forget_bias or 0,
        init=model.init,
        **classes,  # type: ignore[arg-type]
    )


def make_network(task: Task, model: Model, seed: int, dtype: DType = "float32") -> Network:
    """The network of one trial with its initial weights."""
    network = Network.from_config(network_config(task, model, seed, dtype))
    if model.cell == "lstm1997" and model.forget_bias == "chrono":
        _shut_input_gates(network)
    return network


def _shut_input_gates(network: Network) -> None:
    """Set b_i = -ln U[1, T-1] in an LSTM without forget gate."""
    config = network.config
    assert config.lag is not None
    generator = np.random.default_rng([config.seed, 3])
    values = network.state_dict()
    values["recurrent.bias"][: config.hidden_size] = -np.log(
        generator.uniform(1, config.lag - 1, config.hidden_size)
    )
    network.load_state_dict(values)
