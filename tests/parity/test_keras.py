"""Predictions against Keras from the same weights, and its count of the parameters."""

import keras
import naive
import numpy as np
import pytest
import tensorflow
from keras_twins import keras_arrays, keras_precision, keras_twin
from random_networks import random_network

import trendlstm as tl


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("N", "T", "F", "H", "dense", "m"),
    [(1, 1, 1, 1, (), 1), (40, 20, 1, 64, (32, 32), 1), (9, 5, 50, 7, (3,), 5), (17, 3, 4, 130, (16, 8), 2)],
)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "ann"])
def test_predictions(cell, N, T, F, H, dense, m, bias):
    rng = np.random.default_rng(H)
    net = random_network(
        rng, cell=cell, input_size=F, hidden_size=H, dense=dense, output_size=m, bias=bias, lag=T
    )
    x = rng.normal(size=(N, T, F)).astype(np.float32)
    model = keras_twin(net, T)
    expected = np.asarray(model(x))
    outputs = net.predict(x)
    naive.assert_close(outputs, expected, 1e-4, "outputs")
    assert net.num_params == model.count_params()


def numbered(arrays):
    return {str(number): array for number, array in enumerate(arrays)}


@pytest.mark.parametrize(
    ("cell", "sizes"), [("lstm", (5, 4)), ("gru", (5,)), ("gru", (5, 4)), ("rnn", (3, 4, 2))]
)
def test_gradients_and_adam_steps(cell, sizes):
    """Five steps of Adam (Kingma & Ba 2015), written out: Keras' own keeps its constants in float32."""
    rng = np.random.default_rng(1)
    net = random_network(
        rng, cell=cell, input_size=2, hidden_size=sizes, dense=(3,), dtype="float64", output_size=2
    )
    x, y = rng.normal(size=(9, 6, 2)), 1 + rng.normal(size=(9, 2))
    with keras_precision("float64"):
        model = keras_twin(net, 6)
    adam = naive.Adam(numbered(model.get_weights()), learning_rate=0.01)
    for step in range(5):
        with tensorflow.GradientTape() as tape:
            outputs = model(x)
            loss = tensorflow.reduce_mean((outputs - y) ** 2)
        gradients = [np.asarray(gradient) for gradient in tape.gradient(loss, model.trainable_weights)]
        if step == 0:
            naive.assert_close(net.predict(x), outputs.numpy(), 1e-9, "outputs")
            ours = keras_arrays(net.config, net.loss_and_gradients(x, y)[1])
            for index, (one, other) in enumerate(zip(ours, gradients, strict=True)):
                naive.assert_close(one, other, 1e-9, f"gradient {index}")
        after = adam.step(numbered(model.get_weights()), numbered(gradients))
        model.set_weights(list(after.values()))
    net.fit(x, y, epochs=5, batch_size=9, learning_rate=0.01, shuffle=False)
    for one, other in zip(keras_arrays(net.config, net.state_dict()), model.get_weights(), strict=True):
        naive.assert_close(one, other, 1e-9)


def test_reference_model_counts_the_same_parameters():
    net = tl.Network()
    model = keras_twin(net, T=3)
    assert [layer.count_params() for layer in model.layers] == [16_896, 2_080, 1_056, 33]
    assert model.count_params() == net.num_params == 20_065


def test_initial_values_are_of_the_same_kind():
    """Same limits, same forget bias, same norm of the orthogonal weights; only the random numbers differ."""
    ours = tl.Network(input_size=5).state_dict()
    layer = keras.layers.LSTM(64)
    layer.build((None, 20, 5))
    kernel, recurrent, bias = (np.asarray(weight) for weight in layer.weights)
    np.testing.assert_array_equal(ours["recurrent.bias"], bias)
    assert np.max(np.abs(ours["recurrent.weight_ih"])) == pytest.approx(np.max(np.abs(kernel)), rel=0.02)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(64), atol=1e-5)
    np.testing.assert_allclose(
        ours["recurrent.weight_hh"].T @ ours["recurrent.weight_hh"], np.eye(64), atol=1e-5
    )
