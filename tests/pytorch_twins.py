"""A network once more in PyTorch, also with the cells that `torch.nn` does not have."""

import naive
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class OwnCell(torch.nn.Module):
    """The cells that torch.nn does not have, step by step: the LSTM of 1997, h_t = o c_t, and the sigmoid RNN."""

    def __init__(self, cell, features, hidden, squash_output, bias, dtype):
        super().__init__()
        gates = naive.GATES[cell]
        self.weight_ih = torch.nn.Parameter(torch.empty(gates * hidden, features, dtype=dtype))
        self.weight_hh = torch.nn.Parameter(torch.empty(gates * hidden, hidden, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.empty(gates * hidden, dtype=dtype)) if bias else None
        self.gates, self.squash_output = gates, squash_output

    def forward(self, x):
        """The hidden states of all steps (N, T, H); after a sample's end they mean nothing."""
        h = c = torch.zeros(len(x), self.weight_hh.shape[1], dtype=x.dtype)
        states = []
        for t in range(x.shape[1]):
            z = x[:, t] @ self.weight_ih.T + h @ self.weight_hh.T + (0 if self.bias is None else self.bias)
            if self.gates == 1:
                h = torch.sigmoid(z)
            else:
                i, *forget, g, o = z.chunk(self.gates, dim=1)
                kept = torch.sigmoid(forget[0]) * c if forget else c
                c = kept + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * (torch.tanh(c) if self.squash_output else c)
            states.append(h)
        return torch.stack(states, dim=1)


class Twin(torch.nn.Module):
    """The same network in PyTorch; `named` holds its parameters by our names."""

    def __init__(self, net):
        super().__init__()
        state = {name: torch.from_numpy(tensor) for name, tensor in net.state_dict().items()}
        config, dtype = net.config, next(iter(state.values())).dtype
        F, H, bias = config.input_size, config.hidden_sizes[-1], config.bias
        self.cell, self.named = config.cell, {}
        if config.cell == "ann":
            self.first = torch.nn.Linear(config.lag * F, H, bias=bias, dtype=dtype)
            self.take("hidden.weight", self.first.weight, state)
            self.take("hidden.bias", self.first.bias, state)
        else:
            self.recurrent = torch.nn.ModuleList()
            for number, size in enumerate(config.hidden_sizes):
                name = "recurrent" if config.layers == 1 else f"recurrent.{number}"
                self.recurrent.append(self.recurrent_layer(config, F, size, dtype, name, state))
                F = size
        sizes = [H, *config.dense, config.last_layer_size]
        self.dense = torch.nn.ModuleList()
        for k in range(len(sizes) - 1):
            self.dense.append(torch.nn.Linear(sizes[k], sizes[k + 1], dtype=dtype))
            self.take(f"dense.{k}.weight", self.dense[k].weight, state)
            self.take(f"dense.{k}.bias", self.dense[k].bias, state)
        assert list(self.named) == list(state)

    def recurrent_layer(self, config, n_in, hidden, dtype, name, state):
        """One layer, whose parameters are taken."""
        unusual = config.cell == "lstm" and not config.squash_output
        if config.cell not in ("lstm", "gru", "rnn") or unusual:
            layer = OwnCell(config.cell, n_in, hidden, config.squash_output, config.bias, dtype)
            tensors = {"weight_ih": layer.weight_ih, "weight_hh": layer.weight_hh, "bias": layer.bias}
        else:
            kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[config.cell]
            layer = kind(n_in, hidden, bias=config.bias, batch_first=True, dtype=dtype)
            tensors = {"weight_ih": layer.weight_ih_l0, "weight_hh": layer.weight_hh_l0}
            if config.bias and config.cell == "gru":
                tensors |= {"bias_ih": layer.bias_ih_l0, "bias_hh": layer.bias_hh_l0}
            elif config.bias:  # two that are only ever added: keep the second at 0
                layer.bias_hh_l0.requires_grad_(False).zero_()
                tensors["bias"] = layer.bias_ih_l0
        for kind, tensor in tensors.items():
            self.take(f"{name}.{kind}", tensor, state)
        return layer

    def take(self, name, parameter, state):
        if parameter is not None:
            with torch.no_grad():
                parameter.copy_(state[name])
            self.named[name] = parameter

    def forward(self, x, lengths=None, every_step=False):
        """The outputs (N, m), or those of every step (N, T, m), which mean nothing after a sample's end."""
        if self.cell == "ann":
            h = torch.tanh(self.first(x.flatten(1)))
        else:
            lengths = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
            h = x
            for layer in self.recurrent:
                if isinstance(layer, OwnCell):
                    h = layer(h)
                else:
                    packed = pack_padded_sequence(h, lengths, batch_first=True, enforce_sorted=False)
                    h, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=x.shape[1])
            if not every_step:
                h = h[torch.arange(len(x)), lengths - 1]
        for k, layer in enumerate(self.dense):
            h = layer(h)
            if k < len(self.dense) - 1:
                h = torch.relu(h)
        return h
