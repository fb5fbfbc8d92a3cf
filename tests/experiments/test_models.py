"""The networks that are tried."""

import numpy as np
from small_tasks import small_task

from trendlstm import Network
from trendlstm.experiments import TASKS
from trendlstm.experiments.models import Model, make_models, make_network, usual_models


def test_the_usual_models_of_the_adding_problem():
    assert usual_models("adding") == [
        Model("lstm", "chrono"),
        Model("lstm", 1),
        Model("lstm1997", "chrono"),
        Model("lstm1997", 0),
        Model("rnn", None),
    ]
    assert all(model.init == "uniform" for model in usual_models("adding", init="uniform"))


def test_no_task_has_a_model_twice_and_all_have_an_lstm_first():
    for name in TASKS:
        models = usual_models(name)
        assert models[0].cell == "lstm"
        assert len({model.label for model in models}) == len(models) >= 2
        assert all((model.forget_bias is None) == (not model.is_lstm) for model in models)


def test_every_cell_with_every_bias_but_none_twice():
    models = make_models(["rnn", "gru", "lstm1997", "lstm", "rnn"], [0, 1, 1, "chrono"])
    assert [model.label for model in models] == [
        "RNN",
        "GRU",
        "LSTM 1997, zero biases",
        "LSTM 1997, input gates shut",
        "LSTM, forget bias 0",
        "LSTM, forget bias 1",
        "LSTM, chrono biases",
    ]
    assert make_models(["lstm1997"], [0, 1]) == [Model("lstm1997", 0)]
    assert all(model.init == "uniform" for model in make_models(["lstm", "rnn"], [1], init="uniform"))


def test_the_lstm_of_1997_starts_with_its_input_gates_shut():
    task = small_task(steps=110, hidden_size=16)
    before = Network(2, 16, (), 1, "lstm1997", seed=3, lag=110).state_dict()
    after = make_network(task, Model("lstm1997"), 3).state_dict()
    bias = after.pop("recurrent.bias")
    assert (bias[:16] < 0).all() and (bias[:16] > -np.log(109)).all() and len(set(bias[:16])) == 16
    assert not bias[16:].any()
    assert all(np.array_equal(before[name], value) for name, value in after.items())
    open_gates = make_network(task, Model("lstm1997", 0), 3).state_dict()
    assert not open_gates["recurrent.bias"].any()


def test_the_network_is_the_tasks():
    task = small_task(classes=3, hidden_size=7)
    config = make_network(task, Model("gru"), 5, "float64").config
    assert (config.cell, config.seed, config.dtype, config.hidden_size) == ("gru", 5, "float64", 7)
    assert (config.loss, config.classes, config.dense, config.lag) == ("cross-entropy", 3, (), 4)
    assert make_network(small_task(), Model("lstm", 0), 5).config.loss == "mse"
