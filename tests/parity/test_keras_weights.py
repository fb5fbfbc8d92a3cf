"""Weights from Keras and back: the same bits, the same predictions, the same next step of Adam."""

import keras
import naive
import numpy as np
import pytest
from keras_twins import keras_precision, keras_twin
from random_networks import random_network

import trendlstm as tl
from trendlstm.errors import OptionError

layers = keras.layers
SHAPES = [(1, 1, 1, (), 1), (5, 2, 4, (6, 3), 2), (20, 1, 16, (8,), 1)]  # T, F, H, dense, m
STACK = (4, 2, (4, 3, 3), (6,), 2)
CASES = [
    *((cell, *shape) for cell in ("lstm", "gru", "rnn", "rnn-sigmoid", "ann") for shape in SHAPES),
    *((cell, *STACK) for cell in ("lstm", "gru", "rnn", "rnn-sigmoid")),
]
STEPS = 5  # of Adam; the first one is little more than the gradient's sign


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    """Of some random weights the outputs nearly cancel, which no relative tolerance allows for."""
    keras.utils.set_random_seed(0)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Of Keras' layers and of ours."""
    with keras_precision(request.param):
        yield request.param


def same_weights(one, other):
    return list(one) == list(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("cell", "T", "F", "H", "dense", "m"), CASES)
def test_there_and_back_is_the_same_network(cell, T, F, H, dense, m, bias, dtype):
    rng = np.random.default_rng(T)
    options = dict(cell=cell, input_size=F, hidden_size=H, dense=dense, output_size=m, bias=bias, lag=T)
    options["dropout"] = 0.25 if m > 1 else 0
    net = random_network(rng, dtype=dtype, **options)
    model = keras_twin(net, T)
    model.set_weights([np.zeros_like(array) for array in model.get_weights()])
    model.set_weights(tl.to_keras_weights(net))
    again = tl.from_keras(model)
    assert again.config == net.config
    assert same_weights(again.state_dict(), net.state_dict())
    x = rng.normal(size=(40, T, F)).astype(dtype)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    naive.assert_close(again.predict(x), model.predict_on_batch(x), rtol, "outputs")


@pytest.mark.parametrize("cell", ["lstm", "gru", "ann"])
def test_a_softmax_is_the_loss_cross_entropy(cell, dtype):
    """Of one target; as many losses and steps of it as Keras' own make the same."""
    rng = np.random.default_rng(3)
    loss = dict(loss="cross-entropy", classes=4)
    net = random_network(
        rng, cell=cell, input_size=2, hidden_size=5, dense=(3,), dtype=dtype, lag=6, **loss
    )  # fmt: skip
    model = keras_twin(net, 6)
    again = tl.from_keras(model)
    assert again.config == net.config and same_weights(again.state_dict(), net.state_dict())
    for ours, theirs in zip(tl.to_keras_weights(net), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x, y = rng.normal(size=(40, 6, 2)).astype(dtype), rng.integers(4, size=40)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    naive.assert_close(again.predict(x)[:, 0], model.predict_on_batch(x), rtol, "probabilities")
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    expected = float(model.train_on_batch(x, y))
    assert net.loss_and_gradients(x, y)[0] == pytest.approx(expected, rel=1e-5)
    net.fit(x, y, epochs=1, batch_size=40, learning_rate=0.1, optimizer="sgd", momentum=0.0)
    for ours, theirs in zip(tl.to_keras_weights(net), model.get_weights(), strict=True):
        naive.assert_close(ours, theirs, 1e-5)


def test_training_goes_on_from_the_weights_as_it_would_in_keras(dtype):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 6, 2)).astype(dtype), 1 + rng.normal(size=(40, 1)).astype(dtype)
    model = keras.Sequential([keras.Input((6, 2)), layers.LSTM(5), layers.Dense(4, "relu"), layers.Dense(1)])
    # Keras adds epsilon before it corrects the bias of v: 1 / sqrt(1 - 0.999**t) times as much. Its betas are float32.
    model.compile(keras.optimizers.Adam(0.01, epsilon=1e-8 * np.sqrt(0.001)), "mse")
    net = tl.from_keras(model)
    before = net.loss_and_gradients(x, y)[0]
    net.fit(x, y, epochs=STEPS, batch_size=40, learning_rate=0.01, shuffle=False)
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    for ours, theirs in zip(tl.to_keras_weights(net), model.get_weights(), strict=True):
        naive.assert_close(ours, theirs, 1e-3)
    net.fit(x, y, epochs=20, learning_rate=0.01)
    assert net.loss_and_gradients(x, y)[0] < before


def test_layers_that_mean_the_same_are_the_same():
    inputs = keras.Input((None, 2))
    hidden = layers.Activation("relu")(layers.Dense(3)(layers.Dropout(0.0)(layers.LSTM(4)(inputs))))
    outputs = layers.Activation("linear")(layers.Dense(1)(layers.ReLU()(layers.Dense(2)(hidden))))
    net = tl.from_keras(keras.Model(inputs, outputs))
    assert net.config == tl.NetworkConfig(2, 4, (3, 2), 1)
    classes = sequential(layers.LSTM(4), layers.Dense(3), layers.Activation("softmax"))
    expected = tl.NetworkConfig(2, 4, (), 1, lag=5, loss="cross-entropy", classes=3)
    assert tl.from_keras(classes).config == expected
    flat = keras.Sequential(
        [keras.Input((3, 2)), layers.Flatten(), layers.Dense(4), layers.Activation("tanh"), layers.Dense(1)]
    )
    assert tl.from_keras(flat).config == tl.NetworkConfig(2, 4, (), 1, cell="ann", lag=3)


def test_the_stack_of_the_tutorials_with_its_dropout():
    model = sequential(
        layers.LSTM(5, return_sequences=True),
        layers.Dropout(0.2),
        layers.LSTM(5),
        layers.Dropout(0.2),
        layers.Dense(1),
    )
    net = tl.from_keras(model)
    assert net.config == tl.NetworkConfig(2, 5, (), 1, lag=5, layers=2, dropout=0.2)
    x = np.random.default_rng(0).normal(size=(9, 5, 2)).astype("float32")
    net.fit(x, np.ones((9, 1), "float32"), epochs=2)
    model.set_weights(tl.to_keras_weights(net))
    naive.assert_close(net.predict(x), model.predict_on_batch(x), 1e-5)


def test_the_recurrent_dropout_of_a_simple_rnn_comes_along():
    model = sequential(*stack(layers.SimpleRNN, [{"recurrent_dropout": 0.1}] * 2), layers.Dense(1))
    assert tl.from_keras(model).config == tl.NetworkConfig(
        2, 3, (), 1, cell="rnn", lag=5, layers=2, recurrent_dropout=0.1
    )
    flat = sequential(layers.Flatten(), layers.Dense(4, "tanh"), layers.Dropout(0.2), layers.Dense(1))
    assert tl.from_keras(flat).config.dropout == 0.2


def sequential(*stack, shape=(5, 2)):
    return keras.Sequential([keras.Input(shape), *stack])


def stack(kind, options):
    """Recurrent layers that read each other's sequences."""
    top = len(options) - 1
    return [kind(3, return_sequences=number < top, **one) for number, one in enumerate(options)]


def branches():
    inputs = keras.Input((5, 2))
    hidden = layers.LSTM(3, name="one")(inputs)
    return keras.Model(inputs, layers.Dense(1)(layers.Add(name="both")([hidden, hidden])))


def shared():
    inputs, dense = keras.Input((5, 2)), layers.Dense(3, "relu")
    return keras.Model(inputs, layers.Dense(1)(dense(dense(layers.LSTM(3)(inputs)))))


def two_outputs():
    inputs = keras.Input((5, 2))
    hidden = layers.LSTM(3)(inputs)
    return keras.Model(inputs, [layers.Dense(1)(hidden), layers.Dense(1)(hidden)])


def named_output():
    inputs = keras.Input((5, 2))
    return keras.Model(inputs, {"close": layers.Dense(1)(layers.LSTM(3)(inputs))})


class OwnModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.LSTM(3), layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: sequential(layers.LSTM(3, activation="relu"), layers.Dense(1)), r"\(LSTM\) has activation='relu'"),
        (
            lambda: sequential(layers.LSTM(3, recurrent_activation="hard_sigmoid"), layers.Dense(1)),
            "recurrent_activation='hard_sigmoid'",
        ),
        (
            lambda: sequential(
                layers.LSTM(3, return_sequences=True, name="a"),
                layers.Dropout(0.2, name="b"),
                layers.LSTM(3, name="c"),
                layers.Reshape((3,), name="d"),
                layers.Dense(1, "sigmoid", name="e"),
            ),
            r"d \(Reshape\) is a layer that .*; c \(LSTM\) has no Dropout layer after it, but another has, .*; "
            r"e \(Dense\) has activation='sigmoid', but as the last it needs 'linear'",
        ),
        (
            lambda: sequential(layers.LSTM(3, recurrent_dropout=0.1, name="a"), layers.Dense(1)),
            r"a \(LSTM\) drops other units of the state for each gate \(recurrent_dropout=0\.1\), where",
        ),
        (
            lambda: sequential(layers.GRU(3, dropout=0.1, name="a"), layers.Dense(1)),
            r"a \(GRU\) drops inputs, the same in every step \(dropout=0\.1\), which a Network does not",
        ),
        (
            lambda: sequential(*stack(layers.SimpleRNN, [{"recurrent_dropout": 0.1}, {"name": "b"}]), layers.Dense(1)),
            r"b \(SimpleRNN\) has recurrent_dropout=0\.0, but .* has 0\.1, where a Network has one for all",
        ),
        (
            lambda: sequential(*stack(layers.GRU, [{}, {"use_bias": False, "name": "b"}]), layers.Dense(1)),
            r"b \(GRU\) has use_bias=False, but .* has True",
        ),
        (
            lambda: sequential(
                layers.LSTM(3, return_sequences=True, name="a"), layers.GRU(3, name="b"), layers.Dense(1)
            ),
            r"b \(GRU\) is of another kind than a \(LSTM\), where a Network has one cell",
        ),
        (
            lambda: sequential(layers.GRU(3, reset_after=False, name="a"), layers.Dense(1)),
            r"a \(GRU\) resets the state before its product with the weights \(reset_after=False\), not after",
        ),
        (
            lambda: sequential(layers.LSTM(3, return_sequences=True, name="a"), layers.Flatten(), layers.Dense(1)),
            r"a \(LSTM\) returns the outputs of every step \(return_sequences=True\)",
        ),
        (
            lambda: sequential(
                layers.LSTM(3), layers.Dropout(0.2, name="a"), layers.Dropout(0.2, name="b"), layers.Dense(1)
            ),
            r"b \(Dropout\) drops units where a Network does not: it does once after each recurrent layer",
        ),
        (
            lambda: sequential(layers.Dropout(0.2, name="a"), layers.LSTM(3), layers.Dense(1)),
            r"be: a \(Dropout\) drops units where a Network does not",
        ),
        (
            lambda: sequential(
                layers.LSTM(3), layers.Dense(2, "relu"), layers.Dropout(0.2, name="a"), layers.Dense(1)
            ),
            r"be: a \(Dropout\) drops units where a Network does not",
        ),
        (
            lambda: sequential(
                layers.Flatten(),
                layers.Dense(2),
                layers.Dropout(0.2, name="a"),
                layers.Activation("tanh"),
                layers.Dense(1),
            ),
            r"be: a \(Dropout\) drops units where a Network does not",
        ),
        (
            lambda: sequential(
                layers.LSTM(3, return_sequences=True),
                layers.Dropout(0.2, name="a"),
                layers.LSTM(3),
                layers.Dropout(0.3, name="b"),
                layers.Dense(1),
            ),
            r"b \(Dropout\) has rate=0\.3, but a has 0\.2, where a Network has one for all",
        ),
        (
            lambda: sequential(layers.LSTM(3), layers.Dropout(0.2, noise_shape=(1, 3), name="a"), layers.Dense(1)),
            r"a \(Dropout\) drops units together \(noise_shape=\(1, 3\)\), where",
        ),
        (lambda: sequential(layers.LSTM(3, go_backwards=True), layers.Dense(1)), "runs backwards"),
        (lambda: sequential(layers.Bidirectional(layers.LSTM(3)), layers.Dense(1)), r"\(Bidirectional\) is a layer"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(2), layers.Dense(1)), "as one between it needs 'relu'"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(1, "softmax")), "'softmax', but as the last it .* 'linear'"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(2, "softmax"), layers.Dense(1)), "between it needs 'relu'"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(2, "sigmoid")), "the last it needs 'linear' or 'softmax'"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(1, use_bias=False)), "has no bias"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(1, kernel_regularizer="l2")), "has a kernel_regularizer"),
        (lambda: sequential(layers.LSTM(3), layers.ReLU(), layers.Dense(1)), r"\(ReLU\) applies relu"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(2), layers.ReLU(6.0), layers.Dense(1)), r"max\(0, x\)"),
        (lambda: sequential(layers.LSTM(3), layers.Dense(1, lambda x: x)), "a function of its own"),
        (lambda: sequential(layers.LSTM(3)), "does not end with a Dense layer"),
        (lambda: sequential(layers.Dense(3, "tanh"), layers.Flatten(), layers.Dense(1)), "comes after other layers"),
        (lambda: sequential(layers.Dense(3, "tanh"), layers.Dense(1), shape=(4,)), "its first layer with weights"),
        (branches, r"both \(Add\) is a layer"),
        (shared, "something else than its layers one after the other"),
        (named_output, "returns dict for windows of shape"),
        (two_outputs, "several inputs or outputs"),
        (
            lambda: sequential(keras.Sequential([keras.Input((5, 2)), layers.LSTM(3)], name="inner"), layers.Dense(1)),
            r"one that a Network can be: inner \(Sequential\) is a layer that a Network does not have\. Leave",
        ),
        (OwnModel, "OwnModel computes its outputs in code of its own"),
        (lambda: keras.Sequential([layers.LSTM(3), layers.Dense(1)]), "has no weights yet"),
        (lambda: keras.Input((3, 2)), "takes a Keras model, but was given a KerasTensor"),
    ],
)  # fmt: skip
def test_what_a_network_is_not_is_refused_by_name(make, said):
    with pytest.raises(OptionError, match=said):
        tl.from_keras(make())


def test_mixed_precision_is_refused():
    model = sequential(layers.LSTM(3, dtype="mixed_bfloat16", name="low"), layers.Dense(1))
    with pytest.raises(OptionError, match="layer low computes in bfloat16 with weights of float32"):
        tl.from_keras(model)
