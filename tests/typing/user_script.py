"""What type checkers must see in a user's script: `mypy --strict` accepts all that is right and finds what is wrong.

An `ignore` that is not needed is an error under --strict, so that every line with one must have just that error.
"""

from typing import assert_type

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import trendlstm as tl
from trendlstm.nn.history import History
from trendlstm.sklearn import LSTMRegressor

prices = tl.load_prices("MSFT", years=4, source="sample")
assert_type(prices, pd.DataFrame)
windows = tl.make_windows(prices, lag=20, scaling="window")
train, validation = windows.train, windows.validation

net = tl.Network(hidden_size=64, dense=(32, 32), cell="lstm", dtype="float32", forget_bias="chrono", lag=20)
tl.Network(dtype=np.float64)
tl.Network(dtype=np.zeros(3).dtype)
history = net.fit(train.x, train.y, epochs=3, validation=(validation.x, validation.y), progress=True)
assert_type(history, History)
assert_type(history.best_epoch, int)
net.fit([[[1.0], [2.0]]], [0.5], learning_rate=0.01, clip_norm=1, patience=None, progress=print)
histories = tl.fit_many([net], train.x, train.y, epochs=3, n_threads=2, device="cpu")
assert_type(histories, list[History])
assert_type(tl.from_pytorch(tl.to_pytorch_state_dict(net), cell="rnn", lag=20), tl.Network)
assert_type(tl.to_keras_weights(net), list[np.ndarray])
loss, gradients = net.loss_and_gradients(train.x, train.y)
assert_type(loss, float)
net.predict(train.x, device="auto").mean(axis=0)
net.predict([[[1.0], [2.0]]], lengths=[1])
outputs, state = net.predict(train.x, return_state=True)
assert_type(state, tl.State)
net.predict(train.x, state=state).mean(axis=0)
tl.Network(cell="gru", hidden_size=(50, 64), dropout=0.2, recurrent_dropout=0.1)
assert_type(tl.preset("notes"), tl.TrainConfig)
net.load_state_dict({name: value.tolist() for name, value in net.state_dict().items()})
tl.gradient_flow(net, train.x.tolist(), train.y)
assert_type(tl.load("model.safetensors"), tl.Network)
walked = tl.backtest({"MSFT": prices}, tl.BacktestConfig(models=("lstm", "rnn"), refit=5), progress=print)
assert_type(walked, tl.Backtest)
walked.equity.pivot_table(index="date", columns="strategy", values="equity")
assert_type(walked.verdict, str)
LSTMRegressor(cell="gru", hidden_size=(8, 4), layers=2, dropout=0.1)
model = LSTMRegressor(cell="rnn", lag=20, validation_fraction=0.1, patience=3).fit(train.x, train.y)
assert_type(model, LSTMRegressor)
assert_type(model.network_, tl.Network)
model.predict(train.x).mean(axis=0)
tl.backtest({"MSFT": prices}, progress=True)
result = tl.train(prices, tl.TrainConfig(seeds=2), progress=True)
tl.train(prices, progress=lambda told: print(told.epoch, told.validation_loss))
assert_type(result.metrics, pd.DataFrame)
assert_type(tl.load_run("runs/MSFT").metrics, pd.DataFrame)
assert_type(windows.table, pd.DataFrame)
assert_type(history.table, pd.DataFrame)
assert_type(tl.gradient_flow(net, train.x, train.y).table, pd.DataFrame)
assert_type(history.plot(), Axes)
history.plot(ax=history.plot()).set_title("twice")

tl.load_prices("MSFT", source="yaho")  # type: ignore[arg-type]
tl.make_windows(prices, scaling="log")  # type: ignore[arg-type]
tl.Network(cell="gru9")  # type: ignore[arg-type]
tl.Network(dtype="float16")  # type: ignore[arg-type]
tl.Network(init="zeros")  # type: ignore[arg-type]
tl.Network(forget_bias=2)  # type: ignore[arg-type]
tl.Network(hidden=64)  # type: ignore[call-arg]
net.fit(train.x, train.y, epoch=3)  # type: ignore[call-arg]
net.fit(train.x, train.y, epochs="3")  # type: ignore[arg-type]
net.fit(train.x, train.y, device="gpu")  # type: ignore[arg-type]
net.fit(train.x, train.y, progress="yes")  # type: ignore[arg-type]
tl.fit_many([net], train.x, train.y, epoch=3)  # type: ignore[call-arg]
tl.fit_many(net, train.x, train.y)  # type: ignore[arg-type]
net.predict(train.x, device="gpu")  # type: ignore[call-overload]
history.plot(axes=None)  # type: ignore[call-arg]
tl.train(prices, progress="yes")  # type: ignore[arg-type]
tl.backtest({"MSFT": prices}, progress="yes")  # type: ignore[arg-type]
tl.BacktestConfig(models=("gru9",))  # type: ignore[arg-type]
tl.fitmany([net], train.x, train.y)  # type: ignore[attr-defined]
LSTMRegressor(cell="gru9")  # type: ignore[arg-type]
LSTMRegressor(hidden=64)  # type: ignore[call-arg]
