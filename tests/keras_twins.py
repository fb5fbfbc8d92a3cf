"""A network once more in Keras."""

from contextlib import contextmanager

import keras
import numpy as np


@contextmanager
def keras_precision(dtype):
    """What Keras' layers are made of and compute in."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    yield dtype
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(before)


def keras_twin(net, T):
    """The same network in Keras."""
    config = net.config
    inputs = keras.Input((T, config.input_size))
    if config.cell == "ann":
        layers = [
            keras.layers.Flatten(),
            keras.layers.Dense(config.hidden_size, "tanh", use_bias=config.bias),
        ]
    else:
        kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
        kind = kinds.get(config.cell, keras.layers.SimpleRNN)
        activation = "sigmoid" if config.cell == "rnn-sigmoid" else "tanh"
        layers = [
            kind(size, activation, use_bias=config.bias, return_sequences=number < config.layers - 1)
            for number, size in enumerate(config.hidden_sizes)
        ]
    if config.dropout:
        layers = [one for layer in layers for one in (layer, keras.layers.Dropout(config.dropout))]
        if config.cell == "ann":
            del layers[1]
    layers += [keras.layers.Dense(size, "relu") for size in config.dense]
    last = "softmax" if config.loss == "cross-entropy" else "linear"
    layers.append(keras.layers.Dense(config.last_layer_size, last))
    model = keras.Sequential([inputs, *layers])
    model.set_weights(keras_arrays(config, net.state_dict()))
    return model


def keras_arrays(config, state):
    """Parameters, or their gradients, in Keras' order and shapes: transposed, a GRU's gates in the order z, r, n."""
    arrays = []
    for name, tensor in state.items():
        if config.cell == "gru" and name.startswith("recurrent."):
            r, z, n = np.split(tensor, 3)
            tensor = np.concatenate([z, r, n])
        if name.endswith("bias_hh"):
            arrays[-1] = np.stack([arrays[-1], tensor])
        else:
            arrays.append(tensor.T)
    return arrays
