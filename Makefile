# Every target makes its own virtual environment if there is none; nothing else has to be installed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: train test test-avx2 test-parity test-cuda test-gpu lint bench bench-self bench-gpu clean

train: $(VENV)/core
	$(BIN)/trendlstm train MSFT --years 4

test: $(VENV)/test
	$(BIN)/python -m pytest

# The kernels once more, compiled for processors without AVX-512. Both variables: the name alone leaves AVX-512 on.
test-avx2: export NUMBA_CPU_NAME = haswell
test-avx2: export NUMBA_CPU_FEATURES = +64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave
test-avx2: $(VENV)/test
	$(BIN)/python -m pytest tests/test_activations.py tests/test_network.py tests/test_training.py tests/test_gradient_flow.py

# Against PyTorch and Keras, which must be there.
test-parity: $(VENV)/test $(VENV)/peers
	$(BIN)/python -m pytest tests/parity --override-ini addopts=--import-mode=importlib

# Without a GPU: its kernels' logic in numba-cuda's simulator, then what NVIDIA's compiler makes of them.
test-cuda: $(VENV)/test $(VENV)/cuda
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest tests/cuda --override-ini addopts=--import-mode=importlib
	$(BIN)/python -m pytest tests/ptx --override-ini addopts=--import-mode=importlib

# The simulator's tests on a GPU, which must be there.
test-gpu: $(VENV)/test $(VENV)/cuda
	NUMBA_ENABLE_CUDASIM=0 $(BIN)/python -m pytest tests/cuda --override-ini addopts=--import-mode=importlib

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check trendlstm scripts tests
	$(BIN)/mypy

# Times trendlstm beside PyTorch, JAX, Keras and ONNX Runtime on this machine, and puts the tables into the README.
bench: $(VENV)/peers
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/update_readme.py

bench-self: $(VENV)/core
	$(BIN)/python scripts/bench.py --self

# Fits on a GPU, which must be there, beside this machine's processor and PyTorch with cuDNN.
bench-gpu: $(VENV)/peers $(VENV)/cuda
	$(BIN)/python scripts/bench_gpu.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/test $(VENV)/lint $(VENV)/peers $(VENV)/cuda: $(VENV)/%: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV)
