"""`Network`: prediction, training, the loss with its gradients, and saved files."""

import functools
import json
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from trendlstm.config import (
    Cell,
    Device,
    DType,
    FitConfig,
    ForgetBias,
    Init,
    Loss,
    NetworkConfig,
    Optimizer,
    Schedule,
)
from trendlstm.errors import DataError, OptionError, RunError
from trendlstm.files import replace_file
from trendlstm.kernels import buffers
from trendlstm.kernels.buffers import CHUNK_ROWS, Data, Thread
from trendlstm.kernels.compile import code_for
from trendlstm.kernels.gradient import gradient_worker
from trendlstm.kernels.predict import Inputs, predict_worker
from trendlstm.nn.device import choose_device
from trendlstm.nn.fit_job import FitJob
from trendlstm.nn.history import History
from trendlstm.nn.memory import leave_memory, take_memory
from trendlstm.nn.outputs import predictions
from trendlstm.nn.parameters import initial_values, make_plan, named_values, named_views, parameter_shapes
from trendlstm.nn.progress import Report, reporter
from trendlstm.nn.samples import Pair, check_inputs, check_samples, finite_array
from trendlstm.nn.state import State, pack_state, unpack_state
from trendlstm.nn.threads import run_together, thread_count
from trendlstm.nn.training import train
from trendlstm.notebook import Table, as_html

_LAYER_TYPES = {
    "lstm": "LSTM",
    "lstm1997": "LSTM 1997",
    "gru": "GRU",
    "rnn": "RNN",
    "rnn-sigmoid": "RNN sigmoid",
    "ann": "Dense tanh",
}
_SUMMARY = ("Layer (type)", "Output Shape", "Param #")
_HEADER_KEY = "trendlstm"  # of the settings in a saved file

_NOTHING_DROPPED = np.uint64(0)

# Below this many products of weights and chunks, starting threads costs more than they save: 1.5 ms on one core.
_SMALL_PREDICTION = 10_000_000


class Network:
    """Recurrent layers (or a feed-forward one), dense layers with ReLU, and a last linear layer.

    With [h, x, 1] the last hidden state, the input and a one (design of the LSTM: Gers, Schmidhuber & Cummins 2000;
    `lstm1997` is Hochreiter & Schmidhuber 1997, without the forget gate, f = 1)::

        i, f, o = sigmoid(W [h_{t-1}, x_t] + b)    g = tanh(W [h_{t-1}, x_t] + b)
        c_t = f c_{t-1} + i g                      h_t = o tanh(c_t)

    The GRU (Cho et al. 2014) in the form of PyTorch and of Keras' `reset_after`, whose candidate n has two biases::

        r, z = sigmoid(W [h_{t-1}, x_t] + b)       n = tanh(W_xn x_t + b_xn + r (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) n + z h_{t-1}

    With several layers the sequence h_1 ... h_T of one is the x_1 ... x_T of the next. While training, inverted dropout
    sets units to 0 with the given probability and multiplies the others by 1 / (1 - probability).

    Parameters
    ----------
    input_size : int
        F, features per time step.
    hidden_size : int or sequence of int
        H, hidden units of every recurrent layer; or those of each, from the one that sees the input up.
    dense : tuple of int
        Sizes of the ReLU layers after the recurrent ones.
    output_size : int
        m, numbers that are predicted, called targets.
    cell : {"lstm", "lstm1997", "gru", "rnn", "rnn-sigmoid", "ann"}
        LSTM with or without forget gate, GRU, Elman network h_t = tanh(W [h_{t-1}, x_t] + b) or with the logistic
        sigmoid in place of tanh, or feed-forward network (tanh) on the flattened window.
    dtype : {"float32", "float64"} or NumPy's dtype
        Of the parameters and of all arithmetic.
    seed : int
        Of the initial values, and of the shuffling in `fit` unless it is given its own.
    lag : int, optional
        T; needed by `cell="ann"` and by `forget_bias="chrono"`.
    bias : bool
        Whether the recurrent layers have biases.
    squash_output : bool
        False: h_t = o c_t, of an LSTM.
    init : {"orthogonal", "glorot", "uniform"}
        Recurrent weights with orthonormal columns and the others Glorot-uniform (as Keras); all Glorot-uniform; all
        weights and biases within +-1/sqrt(n) (as PyTorch; n is H in a recurrent layer, else the layer's inputs).
    forget_bias : {0, 1, "chrono"}
        Added to the initial bias of the forget gate (Jozefowicz et al. 2015); "chrono" sets b_f = ln U[1, T-1] and
        b_i = -b_f (Tallec & Ollivier 2018).
    layers : int
        Recurrent layers, 1 to 8; need not be given with a sequence of `hidden_size`. Time and the memory of training
        grow with their number.
    dropout : float
        Probability, 0 up to below 1, with which a unit of a recurrent layer's output is dropped in training: on its way
        to the next layer anew in every step, and before the dense layers.
    recurrent_dropout : float
        Likewise of h_{t-1} on its way to step t of the same layer, the same units in all steps of a sequence (Gal &
        Ghahramani 2016).
    loss : {"mse", "mae", "huber", "pinball", "gaussian", "cross-entropy"}
        What training minimises, the mean over all targets, and so what the outputs mean: squared or absolute error,
        Huber's (squared up to `huber_delta`, then linear), or one that predicts a distribution. The last layer then has
        several outputs for each target, side by side: of "pinball" a quantile each (Koenker & Bassett 1978), of
        "gaussian" a mean and what gives a standard deviation, by the negative log-likelihood (Nix & Weigend 1994), of
        "cross-entropy" one for each class, whose softmax is its probability: the loss is -ln p of the class that the
        target names by its number.
    quantiles : tuple of float
        Of "pinball": Q numbers above 0 and below 1, ascending.
    huber_delta : float
        Of "huber", in units of the targets.
    classes : int
        Of "cross-entropy": K, 2 or more.

    Attributes
    ----------
    config : NetworkConfig
        All of the above.
    dtype : numpy.dtype
    theta : ndarray (P,)
        All parameters in one buffer, padded, in the layout of `kernels.buffers.parameter_views`: what the kernels
        compute with. `state_dict` gives them by name.

    Raises
    ------
    OptionError
        An argument is out of range; the message names it.
    """

    def __init__(
        self,
        input_size: int = 1,
        hidden_size: int | Sequence[int] = 64,
        dense: tuple[int, ...] = (32, 32),
        output_size: int = 1,
        cell: Cell = "lstm",
        dtype: DType | np.dtype[Any] | type[np.float32] | type[np.float64] = "float32",
        seed: int = 0,
        lag: int | None = None,
        bias: bool = True,
        squash_output: bool = True,
        init: Init = "orthogonal",
        forget_bias: ForgetBias = 1,
        layers: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        loss: Loss = "mse",
        quantiles: tuple[float, ...] = (),
        huber_delta: float = 1.0,
        classes: int = 0,
    ) -> None:
        dense = tuple(dense) if isinstance(dense, Iterable) else dense
        if isinstance(hidden_size, Iterable) and not isinstance(hidden_size, str):
            hidden_size = tuple(hidden_size)
        quantiles = tuple(quantiles) if isinstance(quantiles, Iterable) else quantiles
        self.config = NetworkConfig(
            input_size=input_size,
            hidden_size=hidden_size,
            dense=dense,
            output_size=output_size,
            cell=cell,
            dtype=cast(DType, dtype),  # the settings turn NumPy's into their names
            seed=seed,
            lag=lag,
            bias=bias,
            squash_output=squash_output,
            init=init,
            forget_bias=forget_bias,
            layers=layers,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            loss=loss,
            quantiles=quantiles,
            huber_delta=huber_delta,
            classes=classes,
        )
        self.dtype = np.dtype(self.config.dtype)
        self._last_plan: tuple[tuple[int, bool], buffers.Plan] | None = None
        self.theta = buffers.aligned_zeros(buffers.parameter_size(self.plan(lag or 1)), self.dtype)
        self.load_state_dict(initial_values(self.config))

    @classmethod
    def from_config(cls, config: NetworkConfig) -> Self:
        """The network of these settings, with its initial values."""
        values = config.to_dict()
        lists = {"dense": config.dense, "hidden_size": config.hidden_size, "quantiles": config.quantiles}
        return cls(**{**values, **lists})

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last_plan": None}  # which another version would not know

    def __setstate__(self, state: dict[str, Any]) -> None:
        # a pickled array is no longer aligned, and joblib may map it from a file, read-only: the kernels are compiled
        # for one kind of array
        theta = buffers.aligned_zeros(state["theta"].shape, state["theta"].dtype)
        theta[:] = state["theta"]
        self.__dict__.update(state, theta=theta, _last_plan=None)

    def __repr__(self) -> str:
        always = ("cell", "input_size", "hidden_size", "dense", "output_size", "dtype")
        changed = ("layers", "dropout", "recurrent_dropout", "loss", "quantiles", "classes")
        settings, usual = vars(self.config), vars(NetworkConfig())
        shown = [*always, *(name for name in changed if settings[name] != usual[name])]
        return f"Network({', '.join(f'{name}={settings[name]!r}' for name in shown)})"

    @property
    def num_params(self) -> int:
        """The number of trainable parameters."""
        return sum(math.prod(shape) for shape in parameter_shapes(self.config).values())

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter by name.

        Returns
        -------
        dict of str to ndarray
            `recurrent.weight_ih` (gates * H, F), `recurrent.weight_hh` (gates * H, H), `recurrent.bias` (gates * H,),
            gates in the order i, f, g, o (1997: i, g, o; GRU: r, z, n); of several layers `recurrent.0.weight_ih`, ...,
            `recurrent.1.weight_ih`, ..., where F is the H of the layer below. The GRU has `recurrent.bias_ih` and
            `recurrent.bias_hh`, each (gates * H,), in place of the one bias. For `ann` `hidden.weight` (H, T * F),
            `hidden.bias` (H,). Then `dense.0.weight` (out, in), `dense.0.bias` (out,), `dense.1.weight`, ...
        """
        return named_values(self.config, self.theta)

    def load_state_dict(self, values: Mapping[str, ArrayLike]) -> None:
        """Replace every parameter; nothing changes if any name or shape is wrong.

        Parameters
        ----------
        values : mapping of str to array_like
            All names and shapes of `state_dict`, any float dtype.

        Raises
        ------
        DataError
            A name is missing or unknown, a shape differs, or a value is not finite.
        """
        shapes = parameter_shapes(self.config)
        for name in (*shapes, *values):
            if name not in values or name not in shapes:
                what = "is missing" if name in shapes else "is not a parameter of this network"
                raise DataError(f"parameter {name!r} {what}; expected exactly {', '.join(shapes)}.")
        arrays = {
            name: finite_array(f"parameter {name}", value, shapes[name], self.dtype)
            for name, value in values.items()
        }
        for name, array in arrays.items():
            if array.shape != shapes[name]:
                raise DataError(f"parameter {name!r} must have shape {shapes[name]}, but has {array.shape}.")
        for name, view in named_views(self.config, self.theta).items():
            view[...] = arrays[name].reshape(view.shape)

    def save(self, path: str | Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write weights and settings to a safetensors file, which is replaced as a whole or not at all.

        Parameters
        ----------
        path : str or Path
            The file.
        extra : mapping of str to JSON-able values, optional
            Stored beside the settings in the file's header; see `load_with_extra`.
        """
        from safetensors.numpy import save

        # one entry, for safetensors writes several in random order: the same network must give the same file
        header = {_HEADER_KEY: json.dumps({"network": self.config.to_dict(), **(extra or {})})}
        content = save(self.state_dict(), header)
        replace_file(path, lambda file: file.write(content))

    def summary(self) -> str:
        """A table of the layers with their output shapes and numbers of parameters, in the manner of Keras."""
        rows = [_SUMMARY, *((layer, shape, f"{count:,}") for layer, shape, count in self._layers())]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{a:<{widths[0]}}   {b:<{widths[1]}}   {c:>{widths[2]}}" for a, b, c in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], rule, self._total()])

    def _repr_html_(self) -> str:
        import pandas as pd

        layers = pd.DataFrame(self._layers(), columns=list(_SUMMARY))
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self.config).items())
        return as_html("Network", Table("Layers", layers), self._total(), f"Settings: {settings}")

    def _layers(self) -> list[tuple[str, str, int]]:
        """The rows of the summary: the layer with its type, its output's shape, and its number of parameters."""
        config = self.config
        counts: dict[str, int] = {}
        for name, shape in parameter_shapes(config).items():
            layer = name.rpartition(".")[0]
            counts[layer] = counts.get(layer, 0) + math.prod(shape)
        sizes = (*config.hidden_sizes, *config.dense, config.last_layer_size)
        rows = []
        for (layer, count), size in zip(counts.items(), sizes, strict=True):
            kind = "Dense" if layer.startswith("dense") else _LAYER_TYPES[config.cell]
            rows.append((f"{layer} ({kind})", f"(None, {size})", count))
        return rows

    def _total(self) -> str:
        """The last line of the summary."""
        kilobytes = self.num_params * self.dtype.itemsize / 1024
        return f"Total params: {self.num_params:,} ({kilobytes:.2f} KB)"

    @overload
    def predict(
        self,
        x: ArrayLike,
        lengths: ArrayLike | None = ...,
        n_threads: int | None = ...,
        device: Device = ...,
        *,
        every_step: bool = ...,
        state: State | None = ...,
        return_state: Literal[False] = ...,
    ) -> np.ndarray: ...

    @overload
    def predict(
        self,
        x: ArrayLike,
        lengths: ArrayLike | None = ...,
        n_threads: int | None = ...,
        device: Device = ...,
        *,
        every_step: bool = ...,
        state: State | None = ...,
        return_state: Literal[True],
    ) -> tuple[np.ndarray, State]: ...

    def predict(
        self,
        x: ArrayLike,
        lengths: ArrayLike | None = None,
        n_threads: int | None = None,
        device: Device = "cpu",
        *,
        every_step: bool = False,
        state: State | None = None,
        return_state: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, State]:
        """What the network predicts.

        Parameters
        ----------
        x : array_like (N, T, F)
            Inputs, finite. Not modified.
        lengths : array_like (N,) of int, optional
            Steps of each sample, 1 ... T; later steps are ignored. Default: T for all.
        n_threads : int, optional
            Default: all cores that the process may use. The result does not depend on it.
        device : {"cpu", "cuda", "auto"}
            Where it is computed, see `fit`.
        every_step : bool
            Whether to return the outputs y_t of every step, the dense layers applied to every h_t, instead of the
            last. Recurrent cells on the processor only.
        state : State, optional
            What the samples begin with, as a prediction of the steps before has returned it. Default: zeros.
        return_state : bool
            Whether to return the state after each sample's last step as well. Recurrent cells on the processor only.

        Returns
        -------
        outputs : ndarray (N, m), or (N, T, m) with `every_step`
            In the network's dtype. Of every step: NaN after a sample's end. Of the loss "pinball" with one axis more,
            the Q quantiles, sorted: those of a network may cross, and sorting them never raises the pinball loss
            (Chernozhukov, Fernandez-Val & Galichon 2010). Of "gaussian" with one axis more: mean, standard deviation.
            Of "cross-entropy" with one axis more: the K probabilities.
        state : State
            Only with `return_state`.

        Raises
        ------
        DataError
            An array has the wrong shape or holds a value that is not finite.
        OptionError
            The device is unknown or cannot be used, or the cell has no steps.
        """
        x, lengths = check_inputs(self.config, x, lengths)
        stateful = return_state or state is not None
        if self.config.cell == "ann" and (every_step or stateful):
            option = "every_step" if every_step else "state" if state is not None else "return_state"
            raise OptionError(f"cell 'ann' has one output for the whole window: leave {option} out.")
        plan = self.plan(x.shape[1], every_step)
        if device == "cuda" and stateful:
            raise OptionError("device 'cuda' begins with states of 0: use device 'cpu' for others.")
        if choose_device(device) == "cuda":
            from trendlstm.nn import gpu

            return gpu.predict(self.config, plan, self.theta, x, lengths)
        states = pack_state(self.config, plan, state, x.shape[0]) if stateful else _no_states(self.dtype)
        outputs = self._outputs(plan, x, lengths, states, _NOTHING_DROPPED, n_threads)
        outputs = self._predictions(outputs, lengths, plan, every_step)
        return (outputs, unpack_state(self.config, plan, states)) if return_state else outputs

    def monte_carlo(
        self,
        x: ArrayLike,
        samples: int = 100,
        seed: int | None = None,
        lengths: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> np.ndarray:
        """Outputs with dropout left on, as often as asked for: Monte-Carlo dropout (Gal & Ghahramani 2016).

        Their spread says how much the network's answer hangs on single units, not how far off it is: what the prices
        do beyond the network's reach is not in it.

        Parameters
        ----------
        x : array_like (N, T, F)
            Inputs, finite. Not modified.
        samples : int
            S, how often every unit is dropped or kept anew.
        seed : int, optional
            Of the draws. Default: the network's.
        lengths, n_threads
            As in `predict`.

        Returns
        -------
        ndarray (S, N, m), with one axis more of the losses "pinball", "gaussian" and "cross-entropy"
            As from `predict`; the same for any number of threads. The mean over S of probabilities is a distribution
            again.

        Raises
        ------
        OptionError
            The network has no dropout, or `samples` is no whole number from 1 up.
        DataError
            An array has the wrong shape or holds a value that is not finite.
        """
        if not (self.config.dropout or self.config.recurrent_dropout):
            raise OptionError("the network has no dropout: its outputs are the same every time.")
        if not isinstance(samples, numbers.Integral) or isinstance(samples, bool) or samples < 1:
            raise OptionError(f"samples must be a whole number from 1 up, but is {samples!r}.")
        x, lengths = check_inputs(self.config, x, lengths)
        plan, none = self.plan(x.shape[1]), _no_states(self.dtype)
        seed = self.config.seed if seed is None else seed
        return np.stack(
            [
                predictions(
                    self.config, self._outputs(plan, x, lengths, none, _draws(seed, sample), n_threads)
                )
                for sample in range(samples)
            ]
        )

    def _outputs(
        self,
        plan: buffers.Plan,
        x: np.ndarray,
        lengths: np.ndarray,
        states: np.ndarray,
        drops: np.uint64,
        n_threads: int | None,
    ) -> np.ndarray:
        """The last layer's outputs for checked arrays; `states` and `drops` are those of `kernels.predict.Inputs`."""
        samples = x.shape[0]
        out = np.empty((samples, plan.steps_seen * plan.outputs), self.dtype)
        inputs = Inputs(x, lengths, np.arange(samples), states, drops)
        chunks = -(-samples // CHUNK_ROWS)
        products = chunks * plan.steps * self.theta.size
        threads = 1 if products <= _SMALL_PREDICTION else min(thread_count(n_threads), chunks)
        rows = samples
        if samples > buffers.FEW_ROWS:
            rows = buffers.rows_together(plan, self.dtype, -(-chunks // threads), backward=False)

        memory = take_memory()

        def arguments(rank: int, size: int) -> tuple:
            work = memory.workspace(plan, self.dtype, rows, rank, backward=False)
            return plan, self.theta, inputs, out, Thread(rank, size, work)

        def arguments_of_all(size: int) -> list[tuple]:
            return [arguments(rank, size) for rank in range(size)]

        if threads == 1:
            _predict(*arguments(0, 1))
        else:
            run_together(_predict, arguments_of_all, threads, abandon=lambda: None)
        leave_memory(memory)
        return out

    def _predictions(
        self, out: np.ndarray, lengths: np.ndarray, plan: buffers.Plan, every_step: bool
    ) -> np.ndarray:
        """What `predict` returns, of the last layer's outputs as the kernels write them: (N, steps seen * outputs)."""
        if not every_step:
            return predictions(self.config, out)
        values = predictions(self.config, out.reshape(len(out), plan.steps, plan.outputs))
        values[np.arange(plan.steps) >= lengths[:, None]] = np.nan
        return values

    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, lengths: ArrayLike | None = None
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The mean loss and its gradient by back-propagation through time.

        Parameters
        ----------
        x : array_like (N, T, F)
            Inputs.
        y : array_like (N, m) or (N, T, m)
            Targets of the last step, or of every step, as in `fit`.
        lengths : array_like (N,) of int, optional
            Steps of each sample.

        Returns
        -------
        loss : float
            The mean over all targets, of the squared error mean((predict(x) - y)**2); those of steps after a sample's
            end do not count. Of "pinball" it is that of the quantiles as the network gives them, not sorted.
        gradients : dict of str to ndarray
            dL/d(parameter), names and shapes of `state_dict`.

        Raises
        ------
        DataError
            An array has the wrong shape or holds a value that is not finite.
        """
        plan, data = self.samples(x, y, lengths)
        n = data.x.shape[0]
        chunks = -(-n // CHUNK_ROWS)
        accumulators = min(buffers.ACCUMULATORS, chunks)
        gradients = buffers.aligned_zeros((accumulators, self.theta.size), self.dtype)
        losses = np.zeros(accumulators)
        rows = buffers.rows_together(plan, self.dtype, chunks)
        thread = Thread(0, 1, buffers.make_workspace(plan, self.dtype, rows))
        gradient_worker(plan, self.theta, data, np.arange(n), gradients, losses, thread)
        targets = plan.targets * (data.lengths.sum() if plan.steps_seen > 1 else n)
        return float(losses.sum() / targets), named_values(self.config, gradients[0])

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = FitConfig.epochs,
        batch_size: int = FitConfig.batch_size,
        learning_rate: float = FitConfig.learning_rate,
        validation: Pair | None = None,
        patience: int | None = FitConfig.patience,
        clip_norm: float | None = FitConfig.clip_norm,
        weight_decay: float = FitConfig.weight_decay,
        shuffle: bool = FitConfig.shuffle,
        seed: int | None = FitConfig.seed,
        truncate: int | None = FitConfig.truncate,
        optimizer: Optimizer = FitConfig.optimizer,
        momentum: float | None = FitConfig.momentum,
        schedule: Schedule = FitConfig.schedule,
        warmup: int = FitConfig.warmup,
        step_epochs: int | None = FitConfig.step_epochs,
        plateau_patience: int | None = FitConfig.plateau_patience,
        schedule_factor: float | None = FitConfig.schedule_factor,
        lengths: ArrayLike | None = None,
        n_threads: int | None = None,
        device: Device = "cpu",
        progress: bool | Report | None = None,
    ) -> History:
        """Train on the mean of the network's loss, by Adam (Kingma & Ba 2015) unless `optimizer` says otherwise.

        All threads share each minibatch, and the weights are the same bits for any number of them. Each call starts the
        optimizer afresh. With `validation` the weights of its best epoch are kept, otherwise the last.

        Parameters
        ----------
        x : array_like (N, T, F)
            Inputs. Not modified.
        y : array_like (N, m), or (N,) if m is 1, or (N, T, m)
            Targets of the last step, or of every step: then the loss is the mean over the targets of all steps, without
            those after a sample's end. Of the loss "cross-entropy" class numbers, whole ones from 0 to K-1, also after
            a sample's end. Not modified.
        epochs : int
        batch_size : int
            Samples of a minibatch.
        learning_rate : float
            Of a schedule the highest, with which it begins after the warm-up.
        validation : pair of arrays (x, y), optional
            Evaluated after each epoch; chooses the epoch, changes nothing else.
        patience : int, optional
            Epochs without a better validation loss before stopping. Default: no early stopping.
        clip_norm : float, optional
            Largest norm of the gradient. Default: no clipping.
        weight_decay : float
            Decoupled (Loshchilov & Hutter 2019), of weights only.
        shuffle : bool
            Whether the samples are shuffled before each epoch.
        seed : int, optional
            Of the shuffling and the dropout. Default: the network's.
        truncate : int, optional
            Truncated back-propagation through time (Williams & Peng 1990), for long sequences with targets of every
            step: each minibatch is trained on steps 1 ... K, then on K+1 ... 2K, and so on, a step of the optimiser
            each. The state goes on, the gradient does not. Default: gradients through all steps. `trendlstm train` has
            no option for it, because a window's loss comes after its last step alone.
        optimizer : {"adam", "sgd"}
            Adam, with `weight_decay` AdamW; or stochastic gradient descent with momentum.
        momentum : float, optional
            Of "sgd", 0 up to below 1: v = momentum v + gradient, theta -= rate v. Default: 0.9.
        schedule : {"constant", "cosine", "step", "plateau"}
            How the learning rate falls, from epoch to epoch: not at all; to 0 along half a cosine (Loshchilov &
            Hutter 2017, without restarts); by a factor every `step_epochs`; or by a factor when the validation loss
            (without validation the training loss) has not fallen for `plateau_patience` epochs. The formulas are in
            `trendlstm.nn.schedules.learning_rates`.
        warmup : int
            Epochs, below `epochs`, in which the rate rises along a straight line from step to step. The schedule
            begins after them.
        step_epochs : int, optional
            Epochs between two falls of schedule "step", which needs it.
        plateau_patience : int, optional
            Epochs in a row without a loss below the lowest, after which schedule "plateau" reduces the rate and counts
            anew; below `patience`. Default: 10.
        schedule_factor : float, optional
            By which "step" and "plateau" multiply the rate, above 0 and below 1. Default: 0.1.
        lengths : array_like (N,) of int, optional
            Steps of each sample of x. Not with `validation`.
        n_threads : int, optional
            Default: all cores that the process may use.
        device : {"cpu", "cuda", "auto"}
            Where it is computed: on the processor, an NVIDIA GPU (with the extra `cuda`), or whichever is known to be
            faster. The GPU sees the same minibatches, but adds in another order: its weights agree to rounding, not in
            every bit.
        progress : bool or callable, optional
            True shows a bar on a terminal (on standard error) or in a notebook. A function is called on this thread
            with a `FitProgress`, about 20 times a second and at the end; if it raises, training ends.

        Returns
        -------
        History

        Raises
        ------
        OptionError, DataError
            A setting or an array cannot be used, or another thread is training this network.
        TrainingError
            A loss or weight became infinite or NaN. The network keeps the weights it would have had at the last good
            epoch (the initial ones if there was none).
        FitInterrupted
            Ctrl-C (it is a KeyboardInterrupt); the network then has the best weights so far.
        """
        config = FitConfig(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            shuffle=shuffle,
            seed=seed,
            truncate=truncate,
            optimizer=optimizer,
            momentum=momentum,
            schedule=schedule,
            warmup=warmup,
            step_epochs=step_epochs,
            plateau_patience=plateau_patience,
            schedule_factor=schedule_factor,
        )
        job = self.fit_job(x, y, config, validation=validation, lengths=lengths)
        with reporter(progress) as report:
            (history,) = train([job], n_threads, device, report)
        return history

    def fit_job(
        self,
        x: ArrayLike,
        y: ArrayLike,
        config: FitConfig,
        *,
        validation: Pair | None = None,
        lengths: ArrayLike | None = None,
        repeated: np.ndarray | None = None,
    ) -> FitJob:
        """The fit of this network on checked samples, for `training.train`, which then trains this network.

        Parameters and errors are those of `fit`, but for `repeated` (epochs,), the learning rates of an earlier fit's
        epochs: then it runs for so many epochs with these.
        """
        if validation is not None and not (isinstance(validation, tuple | list) and len(validation) == 2):
            raise OptionError("validation must be a pair of arrays (x, y).")
        if config.patience is not None and validation is None:
            raise OptionError("patience needs validation=(x, y), whose loss it watches.")
        if lengths is not None and validation is not None:
            raise OptionError("lengths cannot be combined with validation.")
        plan, train = self.samples(x, y, lengths)
        validated = Data(train.x[:0], train.y[:0], train.lengths[:0])
        if validation is not None:
            validation_plan, validated = self.samples(*validation, prefix="validation ")
            if validation_plan.steps_seen != plan.steps_seen:
                raise DataError("validation y must be of the last step or of every step as y is.")
            if validated.x.shape[1] != train.x.shape[1]:
                raise DataError(
                    f"validation x must have {train.x.shape[1]} time steps like x, but has {validated.x.shape[1]}."
                )
        if config.truncate is not None:
            if plan.steps_seen < plan.steps or self.config.cell == "ann":
                raise OptionError(
                    "truncate needs targets of every step, y of shape (N, T, m): a loss after the last step alone "
                    "would teach nothing about those before."
                )
            plan = make_plan(self.config, min(config.truncate, plan.steps), every_step=True)
        return FitJob(self.config, config, plan, self.theta, train, validated, repeated)

    def plan(self, steps: int, every_step: bool = False) -> buffers.Plan:
        """The network's shape, as the kernels see it; see `parameters.make_plan`. The last one is kept."""
        if self._last_plan is None or self._last_plan[0] != (steps, every_step):
            self._last_plan = (steps, every_step), make_plan(self.config, steps, every_step)
        return self._last_plan[1]

    def samples(
        self, x: ArrayLike, y: ArrayLike, lengths: ArrayLike | None = None, prefix: str = ""
    ) -> tuple[buffers.Plan, Data]:
        """Checked samples, and the network for windows of their steps, as the kernels see both.

        Parameters
        ----------
        x, y, lengths
            As in `fit`.
        prefix : str
            Goes before the arrays' names in messages.

        Raises
        ------
        OptionError, DataError
            An array cannot be used.
        """
        array, targets, counts = check_samples(self.config, x, y, lengths, prefix)
        plan = self.plan(array.shape[1], every_step=targets.ndim == 3)
        return plan, Data(array, targets.reshape(len(targets), -1), counts)


def _draws(seed: int, sample: int) -> np.uint64:
    """Where the draws of one Monte-Carlo sample begin; never 0, which stands for no dropout."""
    return np.random.SeedSequence([seed, sample]).generate_state(1, np.uint64)[0] | np.uint64(1)


@functools.cache
def _no_states(dtype: np.dtype) -> np.ndarray:
    """For `Inputs`: states of 0 that nobody asks for."""
    return np.empty((0, 0), dtype)


_predict_workers: dict[np.dtype, Callable[..., None]] = {}  # the arguments' types differ in the dtype alone


def _predict(*arguments: Any) -> None:
    """`predict_worker`, whose compiled code is looked up once."""
    dtype = arguments[1].dtype
    worker = _predict_workers.get(dtype)
    if worker is None:
        worker = _predict_workers[dtype] = code_for(predict_worker, arguments)
    worker(*arguments)


def load(path: str | Path) -> Network:
    """The network that `Network.save` wrote.

    Raises
    ------
    RunError
        The file is missing, damaged, or not written by this package.
    """
    if Path(path).is_dir():
        raise RunError(
            f"{path} is a folder: give a file of weights in it, or read a run with trendlstm.load_run."
        )
    network, _ = load_with_extra(path)
    return network


def load_with_extra(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """As `load`, with what `Network.save` was given as extra."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        header = json.loads(metadata[_HEADER_KEY])
        config = NetworkConfig.from_dict(header.pop("network"))
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else "it is no readable file"
        raise RunError(f"{path} cannot be read as saved weights: {why}.") from error
    except SafetensorError as error:
        raise RunError(
            f"{path} cannot be read as saved weights: it is damaged, or no safetensors."
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"{path} was not saved by trendlstm: its header has no network settings.") from error
    network = Network.from_config(config)
    try:
        network.load_state_dict(values)
    except DataError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return network, header
