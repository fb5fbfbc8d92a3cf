"""Where networks are computed: processor or NVIDIA GPU, whose compiler is imported only when it is asked for."""

from importlib.metadata import version
from importlib.util import find_spec

from trendlstm.config import DEVICES, Device, FitConfig, NetworkConfig
from trendlstm.errors import OptionError
from trendlstm.version import install_command

GPU_CELLS = ("lstm", "lstm1997", "rnn")
MAX_HIDDEN, MAX_STEPS, MAX_FEATURES = 256, 1200, 16  # steps: 1,000, and the adding problem's tenth more


def choose_device(device: str) -> Device:
    """Where networks are computed: "cpu" or "cuda".

    Raises
    ------
    OptionError
        `device` is not one of `config.DEVICES`, or is a GPU that cannot be used.
    """
    if device not in DEVICES:
        raise OptionError(f"device must be one of {', '.join(DEVICES)}, but is {device!r}.")
    # "auto" takes the GPU where it was measured to be faster, and none has been measured yet
    if device != "cuda":
        return "cpu"
    device_name()
    return "cuda"


def check_limits(network: NetworkConfig, steps: int, steps_seen: int = 1) -> None:
    """Raise an OptionError that names what the kernels cannot do of a network on windows of `steps`.

    `steps_seen` is that of `kernels.buffers.Plan`.
    """
    if network.cell not in GPU_CELLS:
        raise OptionError(
            f"device 'cuda' trains the cells {', '.join(GPU_CELLS)} only: use device 'cpu' for cell {network.cell!r}."
        )
    for name, value, off in (
        ("layers", network.layers, 1),
        ("dropout", network.dropout, 0),
        ("recurrent_dropout", network.recurrent_dropout, 0),
    ):
        if value != off:
            raise OptionError(
                f"device 'cuda' cannot do {name} {value:g}: use device 'cpu', or leave {name} out."
            )
    if network.loss != "mse":
        raise OptionError(
            f"device 'cuda' trains on the loss 'mse' only: use device 'cpu' for the loss {network.loss!r}."
        )
    if steps_seen > 1:
        raise OptionError(
            "device 'cuda' computes the last step's outputs only: use device 'cpu' for every step."
        )
    for what, value, largest in (
        ("hidden units", network.hidden_sizes[0], MAX_HIDDEN),
        ("time steps", steps, MAX_STEPS),
        ("features", network.input_size, MAX_FEATURES),
    ):
        if value > largest:
            raise OptionError(f"device 'cuda' takes at most {largest} {what}: use device 'cpu' beyond that.")


def check_fit(config: FitConfig) -> None:
    """Raise an OptionError that names what the kernels cannot do of a fit."""
    for what, asked, known in (
        ("optimizer", config.optimizer, "adam"),
        ("schedule", config.schedule, "constant"),
        ("warmup", config.warmup, 0),
    ):
        if asked != known:
            raise OptionError(
                f"device 'cuda' trains with {what} {known!r} only: use device 'cpu' for {what} {asked!r}."
            )


def describe_device(device: str) -> str:
    """The device for a result's record: a GPU with its name and its compiler's version."""
    if device == "cpu":
        return device
    return f"cuda: {device_name()}, numba-cuda {version('numba-cuda')}"


def device_name() -> str:
    """The name of the GPU that is used; the simulator counts as one where the user has asked for it.

    Raises
    ------
    OptionError
        The extra is missing, or no GPU can be used.
    """
    if find_spec("numba_cuda") is None:
        raise OptionError(f"device 'cuda' needs the GPU's compiler: {install_command('cuda')}.")
    from trendlstm.cuda.compile import SIMULATED, cuda

    if SIMULATED:
        return "numba-cuda's simulator"
    try:
        name = cuda.get_current_device().name
    except Exception as error:  # the driver's own errors, of many kinds
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".: ")
        raise OptionError(
            f"device 'cuda' needs an NVIDIA GPU, but none can be used ({reason}): use device 'cpu'."
        ) from error
    return name.decode() if isinstance(name, bytes) else name
