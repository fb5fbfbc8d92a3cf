"""Compile every kernel of the GPU without one, and put what it takes into docs/gpu.md: registers, spills, and so on.

Needs the extra `cuda`, which brings NVIDIA's compiler. The table stands between the two `<!-- ptxas -->` marks;
tests/ptx compares it with what the compiler says.
"""

import multiprocessing
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import cuda
from numba.cuda import types
from numba.cuda.typing.typeof import typeof

from trendlstm.cuda import buffers
from trendlstm.cuda.buffers import Spec
from trendlstm.cuda.compile import launch_bounds
from trendlstm.cuda.fit import make_fit
from trendlstm.cuda.predict import Inputs, make_predict
from trendlstm.cuda.stream import make_stream
from trendlstm.kernels.buffers import LSTM, LSTM1997, RNN
from trendlstm.nn.threads import available_threads
from trendlstm.version import install_command

DOCUMENT = Path(__file__).parents[1] / "docs" / "gpu.md"
MARK = "<!-- ptxas -->"

ARCHITECTURES = ((7, 5), (8, 0), (9, 0))
CELLS = {"lstm": LSTM, "lstm1997": LSTM1997, "rnn": RNN}
SIZES = (
    (16, 1, 4),
    (64, 16, 4),
    (256, 16, 4),
    (64, 1, 8),
    (256, 16, 8),
)  # H, F, bytes of a number


Kernel = tuple[str, Spec, tuple[int, int]]  # a name of `KERNELS`, and the compute capability


class Usage(NamedTuple):
    """What one kernel takes of a multiprocessor; bytes, except the registers, which are a thread's."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


def find_ptxas() -> str:
    """NVIDIA's assembler: of the extra's packages, else in the path."""
    package = find_spec("nvidia")
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted(Path(folder).glob("*/bin/ptxas")):
            return str(path)
    found = shutil.which("ptxas")
    if found is None:
        raise SystemExit(f"There is no ptxas: {install_command('cuda')}.")
    return found


KERNELS = {"fit": make_fit, "stream": make_stream, "predict": make_predict}


def _arguments(name: str, spec: Spec) -> tuple:
    """What the kernel is launched with, in small."""

    def real(dimensions: int) -> np.ndarray:
        return np.zeros((1,) * dimensions, spec.real)

    whole = np.zeros(1, np.int64)
    if name == "predict":
        return real(1), whole, Inputs(real(1), whole, 1), real(2), real(2)
    numbers = np.zeros((1, 1))
    own: tuple
    if name == "fit":
        options, progress = buffers.FIT_OPTIONS, buffers.FIT_PROGRESS
        own = buffers.Fits(real(2), real(2), real(1), numbers, numbers)
    else:
        options, progress = buffers.STREAM_OPTIONS, buffers.STREAM_PROGRESS
        own = buffers.Streams(numbers, numbers)
    records = (np.zeros(1, dtype) for dtype in (buffers.JOB, options, progress))
    networks = buffers.Networks(whole, *records, real(2), real(2), real(2), real(2))
    samples = buffers.Samples(x=real(1), y=real(1), lengths=whole, order=whole)
    return networks, own, samples, buffers.Launch(whole, 1, whole, 1, real(2))


def measure_all(kernels: Iterable[Kernel]) -> dict[Kernel, Usage]:
    """`measure` of many kernels, on every core: each takes some 20 seconds."""
    different = list(dict.fromkeys(kernels))
    with multiprocessing.get_context("spawn").Pool(available_threads()) as pool:
        return dict(zip(different, pool.starmap(measure, different, chunksize=1), strict=True))


def measure(name: str, spec: Spec, architecture: tuple[int, int]) -> Usage:
    """Compile one of the kernels "fit", "stream" and "predict" for a compute capability."""
    ptx, _ = cuda.compile(
        KERNELS[name](spec).py_func,
        types.void(*map(typeof, _arguments(name, spec))),
        cc=architecture,
        device=False,
        abi="numba",
        launch_bounds=launch_bounds(spec.threads),
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        target = f"-arch=sm_{architecture[0]}{architecture[1]}"
        command = [find_ptxas(), "-v", target, "-o", f"{folder}/kernel.cubin", str(source)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    # of each function; what a kernel calls is listed beside it
    stack, stores, loads = (
        max(map(int, re.findall(rf"(\d+) bytes {what}", told)))
        for what in ("stack frame", "spill stores", "spill loads")
    )
    (registers,) = map(int, re.findall(r"Used (\d+) registers", told))
    (shared,) = map(int, re.findall(r"(\d+) bytes smem", told))
    return Usage(registers, stack, stores, loads, shared)


def compilers() -> str:
    """The versions that the table depends on, as it names them."""
    told = subprocess.run([find_ptxas(), "--version"], check=True, capture_output=True, text=True).stdout
    return f"numba-cuda {version('numba-cuda')}, ptxas {re.findall(r'V([0-9.]+)', told)[-1]}."


def lines(usages: dict[Kernel, Usage]) -> Iterator[str]:
    """The part of the document between the marks, given what `documented_kernels` take."""
    yield f"`python scripts/ptxas_table.py` with {compilers()}"
    yield ""
    yield "| kernel | cell | H | F | dtype | threads | sm | registers | stack | spills | shared memory |"
    yield "|---|---|--:|--:|---|--:|--:|--:|--:|--:|--:|"
    names = {code: name for name, code in CELLS.items()}
    for name, spec, architecture in documented_kernels():
        usage = usages[name, spec, architecture]
        yield (
            f"| {name} | {names[spec.cell]} | {spec.hidden_size} | {spec.features} | float{8 * spec.itemsize} "
            f"| {spec.threads} | {architecture[0]}{architecture[1]} | {usage.registers} | {usage.stack} "
            f"| {usage.spill_stores + usage.spill_loads} | {usage.shared:,} |"
        )


def documented() -> list[str]:
    """The same lines as they stand in the document."""
    return DOCUMENT.read_text(encoding="utf-8").split(MARK)[1].strip().splitlines()


def main() -> None:
    """Write the lines into the document and print them, after some minutes."""
    made = list(lines(measure_all(documented_kernels())))
    print(*made, sep="\n")
    before, _, after = DOCUMENT.read_text(encoding="utf-8").split(MARK)
    DOCUMENT.write_text("\n".join([before + MARK, *made, MARK + after]), encoding="utf-8")


def documented_kernels() -> Iterator[Kernel]:
    """The reference model's, its training for every architecture; of other sizes one."""
    newest = ARCHITECTURES[-1]
    for code in CELLS.values():
        reference = Spec(code, 1, 64, 1, 1, 4)
        for architecture in ARCHITECTURES:
            yield "fit", reference, architecture
        for name in ("stream", "predict"):
            yield name, reference, newest
    for hidden, features, itemsize in SIZES:
        yield "fit", Spec(LSTM, features, hidden, 1, 1, itemsize), newest


if __name__ == "__main__":
    main()
