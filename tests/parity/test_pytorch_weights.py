"""Weights from PyTorch and back: the same bits, the same predictions, the same next step of Adam."""

import naive
import numpy as np
import pytest
import torch
from pytorch_twins import OwnCell, Twin
from random_networks import random_network
from torch import nn

import trendlstm as tl
from trendlstm.errors import DataError, OptionError

SHAPES = [(1, 1, 1, (), 1), (5, 2, 4, (6, 3), 2), (20, 1, 16, (8,), 1)]  # T, F, H, dense, m
STACKS = [(5, 2, (4, 4), (6,), 2), (4, 2, (4, 3, 3), (), 1)]
CASES = [
    *((cell, *shape) for cell in ("lstm", "gru", "rnn", "ann") for shape in SHAPES),
    *((cell, *shape) for cell in ("lstm", "gru", "rnn") for shape in STACKS),
]
STEPS = 5  # of Adam; the first one is little more than the gradient's sign


def same_weights(one, other):
    return list(one) == list(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


class Last(nn.Module):
    """What a recurrent layer returns, reduced to its last step."""

    def __init__(self, batch_first=True):
        super().__init__()
        self.batch_first = batch_first

    def forward(self, returned):
        return returned[0][:, -1] if self.batch_first else returned[0][-1]


class Tutorial(nn.Module):
    """As tutorials write it: out, _ = self.lstm(x), the last step through linear layers."""

    def __init__(self, kind=nn.LSTM, features=2, hidden=4, sizes=(3, 1), relu=True, **options):
        super().__init__()
        self.recurrent = kind(features, hidden, **options)
        self.dropout = nn.Dropout(0.0)
        inputs = (hidden, *sizes[:-1])
        self.dense = nn.ModuleList([nn.Linear(n_in, n_out) for n_in, n_out in zip(inputs, sizes)])
        self.relu = relu

    def forward(self, x):
        out, _ = self.recurrent(x)
        y = self.dropout(out[:, -1] if self.recurrent.batch_first else out[-1])
        for number, layer in enumerate(self.dense):
            y = layer(torch.relu(y) if number and self.relu else y)
        return y


class Changed(Tutorial):
    """A tutorial's module that returns something else."""

    def __init__(self, change, **options):
        super().__init__(batch_first=True, **options)
        self.change = change

    def forward(self, x):
        return self.change(self, super().forward(x), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("cell", "T", "F", "H", "dense", "m"), CASES)
def test_there_and_back_is_the_same_network(cell, T, F, H, dense, m, bias, dtype):
    rng = np.random.default_rng(T)
    lag = T if cell == "ann" else None
    options = dict(cell=cell, input_size=F, hidden_size=H, dense=dense, output_size=m, bias=bias, lag=lag)
    net = random_network(rng, dtype=dtype, **options)
    values = net.state_dict()
    for name in values:
        if "bias" in name:
            values[name][0] = -0.0  # a bit that + 0 would change
    net.load_state_dict(values)
    given = None if cell in ("lstm", "gru") else cell
    assert same_weights(tl.from_pytorch(tl.to_pytorch_state_dict(net), given, lag).state_dict(), values)

    twin = Twin(net).requires_grad_(False)
    for parameter in twin.parameters():
        parameter.fill_(0.5)
    state = tl.to_pytorch_state_dict(net, twin)
    assert list(state) == list(twin.state_dict())
    twin.load_state_dict(state)
    again = tl.from_pytorch(twin.state_dict(), given, lag)
    assert again.config == net.config and same_weights(again.state_dict(), values)
    x = rng.normal(size=(40, T, F)).astype(dtype)
    expected = twin(torch.from_numpy(x)).numpy()
    naive.assert_close(again.predict(x), expected, 1e-12 if dtype == "float64" else 1e-5, "outputs")


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_module_is_the_network_that_it_computes(kind, layers, batch_first):
    torch.manual_seed(0)
    module = Tutorial(kind, batch_first=batch_first, num_layers=layers).double()
    module.dropout.eval()
    net = tl.from_pytorch(module)
    cell = kind.__name__.lower()
    assert net.config == tl.NetworkConfig(2, 4, (3,), 1, cell=cell, dtype="float64", layers=layers)
    assert [child.training for child in module.modules()] == [
        child is not module.dropout for child in module.modules()
    ]
    x = torch.randn(9, 6, 2, dtype=torch.float64)
    expected = module(x if batch_first else x.transpose(0, 1)).detach().numpy()
    naive.assert_close(net.predict(x.numpy()), expected, 1e-12, "outputs")
    assert same_weights(tl.from_pytorch(module.state_dict(), cell).state_dict(), net.state_dict())


def test_other_ways_to_write_the_same_module():
    stack = nn.Sequential(
        nn.LSTM(2, 4, batch_first=True), Last(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)
    )
    assert tl.from_pytorch(stack).config == tl.NetworkConfig(2, 4, (3,), 1)
    flat = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)
    )
    assert tl.from_pytorch(flat, lag=3).config == tl.NetworkConfig(2, 4, (3,), 2, cell="ann", lag=3)
    for change in (lambda _, y, x: y[:, 0], lambda _, y, x: (y, x)):
        assert tl.from_pytorch(Changed(change)).config == tl.NetworkConfig(2, 4, (3,), 1)


def test_a_softmax_is_the_loss_cross_entropy():
    """Of one target; and a network of several takes the weights of a module that gives what comes before it."""
    torch.manual_seed(0)
    stack = nn.Sequential(
        nn.LSTM(2, 4, batch_first=True), Last(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 6)
    )
    stack.double()
    classes = nn.Sequential(stack, nn.Softmax(dim=-1))
    net = tl.from_pytorch(classes)
    assert net.config == tl.NetworkConfig(
        2, 4, (3,), 1, dtype="float64", loss="cross-entropy", classes=6
    )  # fmt: skip
    x = torch.randn(9, 6, 2, dtype=torch.float64)
    naive.assert_close(net.predict(x.numpy())[:, 0], classes(x).detach().numpy(), 1e-12, "probabilities")
    state = tl.to_pytorch_state_dict(net, classes)
    assert all(torch.equal(state[name], tensor) for name, tensor in classes.state_dict().items()
               if "bias_" not in name)  # fmt: skip

    two = tl.Network(2, 4, (3,), 2, dtype="float64", loss="cross-entropy", classes=3)
    two.load_state_dict(tl.from_pytorch(stack).state_dict())
    expected = torch.softmax(stack(x).reshape(9, 2, 3), dim=-1).detach().numpy()
    naive.assert_close(two.predict(x.numpy()), expected, 1e-12, "probabilities")


class Stack(nn.Module):
    """Several recurrent layers with one Dropout layer after all of them, or after those that `drops` says."""

    def __init__(self, kind=nn.GRU, sizes=(4, 3), p=0.5, drops=(True, True), layers=1, **options):
        super().__init__()
        self.first = kind(2, sizes[0], num_layers=layers, batch_first=True, **options)
        self.second = kind(sizes[0], sizes[1], batch_first=True)
        self.drop, self.last, self.drops = nn.Dropout(p), nn.Linear(sizes[1], 1), drops

    def forward(self, x):
        for layer, drops in zip((self.first, self.second), self.drops, strict=True):
            x, _ = layer(x)
            x = self.drop(x) if drops else x
        return self.last(x[:, -1])


def test_dropout_is_found_where_it_is():
    """By the class between its layers, by where the code calls Dropout elsewhere; and the module is as it was."""
    for module, expected in (
        (Stack(), tl.NetworkConfig(2, (4, 3), (), 1, cell="gru", dropout=0.5)),
        (Stack(dropout=0.5, layers=2), tl.NetworkConfig(2, (4, 4, 3), (), 1, cell="gru", dropout=0.5)),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 1)),
            tl.NetworkConfig(2, 4, (), 1, cell="ann", lag=3, dropout=0.2),
        ),
        (
            nn.Sequential(nn.LSTM(2, 4, 2, dropout=0.3), Last(False), nn.Dropout(0.3), nn.Linear(4, 1)),
            tl.NetworkConfig(2, 4, (), 1, layers=2, dropout=0.3),
        ),
    ):
        net = tl.from_pytorch(module, lag=3 if expected.cell == "ann" else None)
        assert net.config == expected
        assert not any(child._forward_hooks for child in module.modules())
        assert all(child.training for child in module.modules())
        assert tl.from_pytorch(module.state_dict(), net.config.cell, lag=3).config.dropout == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_goes_on_from_the_weights_as_it_would_in_pytorch(dtype):
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 6, 2)).astype(dtype), 1 + rng.normal(size=(40, 1)).astype(dtype)
    module = Tutorial(batch_first=True).to(getattr(torch, dtype))
    net = tl.from_pytorch(module)
    module.load_state_dict(tl.to_pytorch_state_dict(net, module))  # the sum in one bias
    module.recurrent.bias_hh_l0.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    before = net.loss_and_gradients(x, y)[0]
    net.fit(x, y, epochs=STEPS, batch_size=40, learning_rate=0.01, shuffle=False)
    for name, tensor in tl.to_pytorch_state_dict(net, module).items():
        expected = module.state_dict()[name]
        assert tensor.dtype == expected.dtype and tensor.device == expected.device
        naive.assert_close(tensor.numpy(), expected.numpy(), 1e-9 if dtype == "float64" else 1e-4, name)
    net.fit(x, y, epochs=20, learning_rate=0.01)
    assert net.loss_and_gradients(x, y)[0] < before


def test_tensors_are_of_the_modules_dtype_and_on_its_device():
    net = tl.Network(2, 4, (3,), 1, dtype="float64")
    for module in (Tutorial(), Tutorial(device="meta")):
        for name, tensor in tl.to_pytorch_state_dict(net, module).items():
            like = module.state_dict()[name]
            assert (tensor.dtype, tensor.device, tensor.shape) == (like.dtype, like.device, like.shape)


class WithOwnCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.last = OwnCell("lstm1997", 2, 3, True, True, torch.float32), nn.Linear(3, 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Tutorial(num_layers=2, dropout=0.2, batch_first=True),
            r"Tutorial drops units elsewhere than a Network, .*: it has recurrent \(LSTM\) between its layers\. Give",
        ),
        (lambda: Stack(drops=(True, False)), r"Stack drops units elsewhere .*: it has drop \(Dropout\)\. Give its"),
        (lambda: Stack(drops=(False, True)), "Stack drops units elsewhere"),
        (
            lambda: Stack(layers=2),
            r"one rate below 1 for all layers: first \(GRU\) between its layers has 0, drop \(Dropout\) has 0\.5",
        ),
        (lambda: Stack(p=1.0), r"one rate below 1 for all layers: drop \(Dropout\) has 1\."),
        (
            lambda: nn.Sequential(
                nn.LSTM(2, 3, batch_first=True), Last(), nn.Linear(3, 2), nn.ReLU(), nn.Dropout(0.2), nn.Linear(2, 1)
            ),
            r"drops units elsewhere .*: it has 4 \(Dropout\)",
        ),
        (
            lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.GRU(3, 3), nn.Linear(3, 1)),
            r"2 \(GRU\) comes after another kind, LSTM, where a Network has one cell",
        ),
        (lambda: Tutorial(bidirectional=True), "is bidirectional"),
        (lambda: Tutorial(proj_size=2), "projects its hidden state"),
        (lambda: Tutorial(nn.RNN, nonlinearity="relu"), "has nonlinearity='relu', not 'tanh'"),
        (
            lambda: nn.Sequential(
                nn.LSTM(2, 3), Last(), nn.Dropout1d(0.2), nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 1)
            ),
            r"2 \(Dropout1d\) drops units together \(p=0\.2\), where a Network drops each alone; "
            r"4 \(GELU\) is a layer that a Network does not have",
        ),
        (lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.LSTM(3, 3), nn.Linear(3, 1)), "cannot be called with"),
        (lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)), r"3 \(Tanh\)"),
        (lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.LayerNorm(3), nn.Linear(3, 1)), r"2 \(LayerNorm\) has"),
        (lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.Linear(3, 1, bias=False)), r"2\.weight has no bias"),
        (lambda: nn.Sequential(nn.LSTM(2, 3)), "no linear layer comes after"),
        (
            lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.Linear(3, 2), nn.LogSoftmax(dim=-1)),
            r"3 \(LogSoftmax\) is a layer that a Network does not have",
        ),
        (
            lambda: nn.Sequential(nn.LSTM(2, 3), Last(False), nn.Linear(3, 2), nn.Softmax(dim=0)),
            "something else than the last hidden state of one lstm, then a linear layer and softmax: its outputs",
        ),
        (
            lambda: nn.Sequential(nn.LSTM(2, 3), Last(False), nn.Softmax(dim=1), nn.Linear(3, 2)),
            "something else than the last hidden state of one lstm, then a linear layer and softmax: its outputs",
        ),
        (WithOwnCell, r"cell \(OwnCell\) has weights that a Network does not"),
        (lambda: Tutorial(batch_first=True, relu=False), "has no ReLU between its linear layers"),
        (lambda: Changed(lambda _, y, x: torch.relu(y + 1)), "something else than the last hidden state of one lstm, "
         "then linear layers with ReLU between them: its outputs differ by .*; if you know"),
        (lambda: Changed(lambda module, y, x: module.recurrent(x)[0].sum(-1, True)), "of every step.*every_step=True"),
        (lambda: Changed(lambda _, y, x: y[:, None]), r"shape \(16, 1, 1\) for inputs of shape \(16, 7, 2\)"),
        (lambda: Changed(lambda _, y, x: y.no_such_thing), "cannot be called with .*'Tensor' object has no attribute"),
        (lambda: nn.Sequential(nn.LSTM(2, 3), Last(), nn.LazyLinear(1)), "has no shape yet: call the module once"),
        (lambda: Tutorial().half(), "is of float16, but a Network's weights"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)), "give lag="),
    ],
)  # fmt: skip
def test_what_a_network_is_not_is_refused_by_name(make, said):
    torch.manual_seed(0)
    with pytest.raises(OptionError, match=said):
        tl.from_pytorch(make())


def test_a_feed_forward_module_with_another_activation_is_refused():
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    with pytest.raises(OptionError, match="something else than a linear layer and tanh, then a linear layer"):
        tl.from_pytorch(module, lag=3)
    with pytest.raises(OptionError, match="lag is 4, but the first layer's 6 inputs are no multiple of it"):
        tl.from_pytorch(module, lag=4)
    with pytest.raises(OptionError, match="cell is 'lstm', but the module is of the cell 'ann'"):
        tl.from_pytorch(module, "lstm", lag=3)


def test_weights_that_are_not_finite_are_named():
    module = Tutorial(batch_first=True)
    with torch.no_grad():
        module.dense[0].bias[1] = torch.nan
    with pytest.raises(DataError, match=r"dense\.0\.bias\[1\] is nan"):
        tl.from_pytorch(module)


def test_a_module_of_another_shape_does_not_get_the_weights():
    net = tl.Network(2, 4, (3,), 1)
    for module in (
        Tutorial(nn.RNN),
        Tutorial(nn.GRU),
        Tutorial(num_layers=2),
        Tutorial(hidden=5),
        Tutorial(bias=False),
        Tutorial(sizes=(1,)),
    ):
        with pytest.raises(
            OptionError, match=r"module is not of the network's shape: it is .*, but the network lstm"
        ):
            tl.to_pytorch_state_dict(net, module)
    with pytest.raises(OptionError, match=r"module must be a torch\.nn\.Module, but is a dict"):
        tl.to_pytorch_state_dict(net, {})
