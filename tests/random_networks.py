"""Networks whose parameters are all random, biases too."""

import naive

import trendlstm as tl


def random_network(rng, **options):
    """A network whose parameters are all random, biases too."""
    net = tl.Network(**options)
    config = net.config
    sizes = config.input_size, config.hidden_sizes, config.dense, config.last_layer_size
    net.load_state_dict(naive.random_params(rng, config.cell, config.lag, *sizes, config.bias))
    return net
