"""Times fits on a GPU beside this machine's processor and PyTorch with cuDNN, and writes bench/gpu.json.

Needs an NVIDIA GPU, and PyTorch with CUDA: it fails without them. Nothing is timed before the losses agree.
"""

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import BATCH_SIZE, ROOT, SAMPLES, STEPS, flops_per_epoch, require_equal, write_case
from peers import LEARNING_RATE, load_case, torch_model

import trendlstm as tl
from trendlstm.cuda.compile import SIMULATED, cuda
from trendlstm.errors import OptionError
from trendlstm.nn.device import device_name

FITS = (1, 16, 132, 1000)
EPOCHS, REPEATS = 10, 3
FP32_LANES = {(7, 0): 64, (7, 5): 64, (8, 0): 64}  # of a multiprocessor; 128 since then


def peak_flops() -> float:
    """Multiplications and additions a second of the device in float32, at its highest clock."""
    device = cuda.get_current_device()
    lanes = FP32_LANES.get(tuple(device.compute_capability), 128)
    return 2.0 * lanes * device.MULTIPROCESSOR_COUNT * device.CLOCK_RATE * 1e3


def fit_ours(case: Any, fits: int, device: str, epochs: int) -> tuple[float, list[float]]:
    """Seconds of `fits` fits at once, and the first one's losses."""
    networks = [tl.Network(seed=seed) for seed in range(fits)]
    x, y = case["x"], case["y"]
    start = time.perf_counter()
    histories = tl.fit_many(networks, x, y, epochs=epochs, device=device)
    return time.perf_counter() - start, histories[0].loss.tolist()


def cudnn(case: Any, graph: bool) -> tuple[Callable[[int], None], list[float]]:
    """PyTorch's `train(epochs)` on the GPU, and the losses of three steps; with `graph` replayed as a CUDA graph."""
    import torch

    if not torch.cuda.is_available():
        raise click.ClickException("PyTorch finds no GPU: it must be installed with CUDA.")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32, as ours
    x, y = (torch.tensor(case[name], device="cuda") for name in ("x", "y"))

    def start():
        model = torch_model(case).cuda()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return model, torch.optim.Adam(trained, lr=LEARNING_RATE, fused=True, capturable=graph)

    def step(model, optimizer, inputs, targets):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    model, optimizer = start()
    losses = [float(step(model, optimizer, x[:BATCH_SIZE], y[:BATCH_SIZE])) for _ in range(3)]
    model, optimizer = start()
    if graph:  # SAMPLES is a multiple of BATCH_SIZE: one graph serves every minibatch
        inputs, targets = x[:BATCH_SIZE].clone(), y[:BATCH_SIZE].clone()
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step(model, optimizer, inputs, targets)
        torch.cuda.current_stream().wait_stream(side)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            step(model, optimizer, inputs, targets)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for rows in torch.randperm(SAMPLES, device="cuda").split(BATCH_SIZE):
                if graph:
                    inputs.copy_(x[rows])
                    targets.copy_(y[rows])
                    captured.replay()
                else:
                    step(model, optimizer, x[rows], y[rows])
        torch.cuda.synchronize()

    return train, losses


def timed(call: Callable[[], Any]) -> float:
    """Median seconds of a few calls after one that is not counted."""
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def check(case: Any) -> None:
    """Refuse to time what computes something else: three Adam steps on the first minibatch, ours and cuDNN's."""
    x, y = case["x"][:BATCH_SIZE], case["y"][:BATCH_SIZE]

    def losses(device: str) -> list[float]:
        network = tl.Network()
        network.load_state_dict({name: case[name] for name in network.state_dict()})
        return network.fit(x, y, epochs=3, shuffle=False, device=device).loss.tolist()

    require_equal("the GPU", losses("cuda"), losses("cpu"))
    for graph in (False, True):
        require_equal("PyTorch", cudnn(case, graph)[1], losses("cpu"))
    # and a whole fit, shuffled
    require_equal("the GPU", fit_ours(case, 1, "cuda", 2)[1], fit_ours(case, 1, "cpu", 2)[1])


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=ROOT / "bench" / "gpu.json", show_default=True
)
def main(out: Path) -> None:
    """Time the fits and write OUT."""
    try:
        name = device_name()
    except OptionError as error:
        raise click.ClickException(str(error)) from error
    if SIMULATED:
        raise click.ClickException("a GPU is timed, not the simulator: unset NUMBA_ENABLE_CUDASIM.")
    peak, rows = peak_flops(), []
    with tempfile.TemporaryDirectory() as folder:
        for steps in STEPS:
            case = load_case(write_case(Path(folder), steps, EPOCHS))
            check(case)
            eager, graph = (timed(partial(cudnn(case, graph)[0], EPOCHS)) for graph in (False, True))
            for fits in FITS:
                counted = min(fits, 64)  # on the processor, where more take as long each
                seconds = timed(partial(fit_ours, case, fits, "cuda", EPOCHS))
                flops = fits * EPOCHS * flops_per_epoch(steps)
                row = {
                    "T": steps,
                    "fits": fits,
                    "epochs": EPOCHS,
                    "gpu_seconds": seconds,
                    "cpu_seconds": timed(partial(fit_ours, case, counted, "cpu", EPOCHS)) * fits / counted,
                    "cudnn_seconds": eager * fits,  # one after another
                    "cudnn_graph_seconds": graph * fits,
                    "percent_of_peak": 100 * flops / seconds / peak,
                }
                rows.append(row)
                click.echo(json.dumps(row))
    document = {"device": name, "peak_gflops": peak / 1e9, "fits": rows}
    out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
