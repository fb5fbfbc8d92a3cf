"""trendlstm doctor: what it looks at, and that it never fails for what is missing."""

import json
import re
import threading

import pandas as pd
import pytest
from command_line import run

from trendlstm.data import yahoo
from trendlstm.output import doctor
from trendlstm.version import install_command


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prices"


def test_doctor(monkeypatch, cache):
    def answer(ticker, start, end):
        return pd.DataFrame(index=pd.DatetimeIndex(["2025-06-12", "2025-06-13"])), "NMS"

    monkeypatch.setattr(yahoo, "ask_once", answer)
    told = json.loads(run("doctor --json").stdout)
    assert told["Yahoo"] == "answers: 2 sessions of MSFT, the newest of 2025-06-13"
    assert {"trendlstm", "Python", "numba", "numpy", "vectors", "threads", "GPU"} <= set(told)
    bits, lanes, doubles = map(
        int, re.match(r"(\d+) bits: (\d+) lanes of float32, (\d+) of", told["vectors"]).groups()
    )
    assert bits == 32 * lanes == 64 * doubles >= 128
    assert str(cache) in told["price cache"] and "0 tickers" in told["price cache"]
    assert run("doctor").stdout.startswith("What ")


def test_doctor_says_honestly_that_yahoo_does_not_answer(monkeypatch, cache):
    def refuse(*_):
        raise yahoo.FaultError("DNSError: could not resolve host")

    monkeypatch.setattr(yahoo, "ask_once", refuse)
    assert doctor.examine()["Yahoo"] == "no prices: DNSError: could not resolve host"
    end = threading.Event()
    monkeypatch.setattr(yahoo, "ask_once", lambda *_: end.wait())
    monkeypatch.setattr(doctor, "YAHOO_SECONDS", 0.01)
    assert doctor.examine()["Yahoo"] == "no answer within 0.01 s"
    end.set()


def test_doctor_names_the_gpu_or_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("trendlstm.nn.device.find_spec", lambda name: None)
    assert doctor._gpu() == (
        f"none is used: device 'cuda' needs the GPU's compiler: {install_command('cuda')}."
    )
    monkeypatch.setattr("trendlstm.nn.device.device_name", lambda: "H100")
    monkeypatch.setattr(doctor, "version", lambda name: "1.0")
    assert doctor._gpu() == "H100, with numba-cuda 1.0; used where --device cuda asks for it"


def test_doctor_says_which_settings_are_no_good(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_yahoo", lambda: "")
    monkeypatch.setenv("TRENDLSTM_NUM_THREADS", "3")
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "cache"))
    found = doctor.examine()
    assert found["threads"].endswith("TRENDLSTM_NUM_THREADS asks for 3")
    assert not any("cannot be written" in found[name] for name in ("price cache", "kernel cache"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRENDLSTM_NUM_THREADS", "abc")
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    found = doctor.examine()
    assert "invalid: TRENDLSTM_NUM_THREADS" in found["threads"] and "asks for" not in found["threads"]
    assert found["price cache"].endswith("it cannot be written, so nothing is kept")
    assert found["kernel cache"].endswith("it cannot be written, so every process compiles anew")
