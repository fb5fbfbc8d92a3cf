"""A network once more in Keras."""

import keras


def keras_twin(net, T):
    """The same network in Keras, whose kernels are our weights transposed (the gates' order is the same)."""
    config, state = net.config, net.state_dict()
    inputs = keras.Input((T, config.input_size))
    if config.cell == "ann":
        layers = [
            keras.layers.Flatten(),
            keras.layers.Dense(config.hidden_size, "tanh", use_bias=config.bias),
        ]
    else:
        layer = keras.layers.LSTM if config.cell == "lstm" else keras.layers.SimpleRNN
        activation = "sigmoid" if config.cell == "rnn-sigmoid" else "tanh"
        layers = [layer(config.hidden_size, activation, use_bias=config.bias)]
    layers += [keras.layers.Dense(size, "relu") for size in config.dense]
    layers.append(keras.layers.Dense(config.output_size))
    model = keras.Sequential([inputs, *layers])
    model.set_weights([tensor.T for tensor in state.values()])
    return model
