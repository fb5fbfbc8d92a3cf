"""Where training runs: what `device` accepts, and that a GPU that cannot be used is said, never passed over."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import trendlstm as tl
from trendlstm import cli
from trendlstm.config import FitConfig
from trendlstm.errors import OptionError
from trendlstm.nn import device as cuda
from trendlstm.output import wording as report
from trendlstm.version import install_command

X, Y = np.ones((9, 3, 1)), np.zeros((9, 1))


def network():
    return tl.Network(hidden_size=2, dense=())


def without_extra(monkeypatch):
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)


def without_gpu(monkeypatch):
    def fail():
        raise RuntimeError("no driver\nwas found.")

    compiler = SimpleNamespace(SIMULATED=False, cuda=SimpleNamespace(get_current_device=fail))
    monkeypatch.setattr(cuda, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "trendlstm.cuda.compile", compiler)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (without_extra, f"needs the GPU's compiler: {install_command('cuda')}."),
        (without_gpu, "needs an NVIDIA GPU, but none can be used (no driver was found): use device 'cpu'."),
    ],
)
def test_a_gpu_that_cannot_be_used_is_an_error(missing, told, monkeypatch):
    missing(monkeypatch)
    net = network()
    for use in (
        lambda: net.fit(X, Y, device="cuda"),
        lambda: tl.fit_many([net], X, Y, device="cuda"),
        lambda: net.predict(X, device="cuda"),
    ):
        with pytest.raises(OptionError) as raised:
            use()
        assert str(raised.value) == f"device 'cuda' {told}"
    for line in ("train MSFT --source sample", "compare MSFT --source sample", "reproduce adding"):
        result = CliRunner().invoke(cli.main, [*line.split(), "--device", "cuda"])
        assert result.exit_code == 2
        assert told in " ".join(result.output.split())


def test_an_unknown_device_is_refused():
    for use in (network().fit, network().predict):
        with pytest.raises(OptionError, match="auto, cpu, cuda"):
            use(*((X, Y) if use.__name__ == "fit" else (X,)), device="gpu")
    with pytest.raises(OptionError, match="auto, cpu, cuda"):
        tl.fit_many([network()], X, Y, device="gpu")


def test_auto_is_the_cpu_until_a_gpu_was_measured_and_says_so():
    by_choice, by_name = network(), network()
    by_choice.fit(X, Y, epochs=2, device="auto")
    by_name.fit(X, Y, epochs=2, device="cpu")
    np.testing.assert_array_equal(by_choice.predict(X, device="auto"), by_name.predict(X))
    assert (
        report.device_sentence("auto", "cpu")
        == "Device: cpu, because no GPU has been measured to be faster yet."
    )
    assert report.device_sentence("cpu", "cpu") == "Device: cpu."


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("train MSFT --source sample --cell ann", "trains the cells lstm, lstm1997, rnn only"),
        ("train MSFT --source sample --hidden 300", "at most 256 hidden units"),
        ("train MSFT --source sample --lag 1300", "at most 1200 time steps"),
        ("compare MSFT --source sample --baseline ann", "trains the cells lstm, lstm1997, rnn only"),
        ("compare MSFT --source sample --hidden 200 --match params", "at most 256 hidden units"),
        ("reproduce long-lag --length 50", "at most 16 features"),
    ],
)
def test_what_a_gpu_cannot_do_is_said_before_anything_is_done(line, told, monkeypatch, tmp_path):
    monkeypatch.setattr(cuda, "device_name", lambda: "a GPU")
    result = CliRunner().invoke(cli.main, [*line.split(), "--device", "cuda", "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in " ".join(result.stderr.split())


def test_results_record_the_device(monkeypatch):
    assert cuda.describe_device("cpu") == "cpu"
    monkeypatch.setattr(cuda, "device_name", lambda: "a GPU")
    monkeypatch.setattr(cuda, "version", lambda name: f"of {name}")
    assert cuda.describe_device("cuda") == "cuda: a GPU, numba-cuda of numba-cuda"


def test_the_cpu_does_not_import_the_gpus_compiler():
    code = """
import sys, numpy as np, trendlstm as tl
net = tl.Network(hidden_size=2, dense=())
net.fit(np.ones((9, 3, 1)), np.zeros((9, 1)), epochs=1, device="auto")
net.predict(np.ones((9, 3, 1)))
assert "trendlstm.cuda.compile" not in sys.modules and "numba_cuda" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("options", [{"optimizer": "sgd"}, {"schedule": "cosine"}, {"warmup": 1}])
def test_other_ways_to_train_than_adam_at_a_constant_rate_are_refused_by_name(options):
    ((name, value),) = options.items()
    with pytest.raises(OptionError, match=rf"^device 'cuda' trains .* use device 'cpu' for {name} {value!r}"):
        cuda.check_fit(FitConfig(**options))
    cuda.check_fit(FitConfig(patience=3, clip_norm=1.0, weight_decay=0.1, seed=4))
