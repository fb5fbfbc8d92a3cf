# Every target makes its own virtual environment if there is none; nothing else has to be installed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help train test test-avx2 test-parity test-cuda test-gpu test-dask test-ecosystem test-forecasters lint bench bench-grid bench-self bench-gpu dist clean

help: ## Show this list.
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

train: $(VENV)/core ## Train on four years of MSFT and forecast: the main job.
	$(BIN)/trendlstm train MSFT --years 4

# A process for each core, each with whole files, whose tests share what they set up.
test: $(VENV)/test ## Run the tests: 2 to 5 minutes.
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# The kernels once more, compiled for processors without AVX-512. Both variables: the name alone leaves AVX-512 on.
test-avx2: export NUMBA_CPU_NAME = haswell
test-avx2: export NUMBA_CPU_FEATURES = +64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave
test-avx2: $(VENV)/test ## Test the kernels compiled for processors without AVX-512.
	$(BIN)/python -m pytest tests/kernels/test_activations.py tests/nn/test_network.py tests/nn/test_training.py tests/nn/test_gradient_flow.py

# Against PyTorch, Keras and empyrical, which must be there.
test-parity: $(VENV)/test $(VENV)/peers ## Compare with PyTorch, Keras and empyrical, which it installs.
	$(BIN)/python -m pytest tests/parity --override-ini addopts=--import-mode=importlib

# Without a GPU: its kernels' logic in numba-cuda's simulator, then what NVIDIA's compiler makes of them.
test-cuda: $(VENV)/test $(VENV)/cuda ## Test the GPU's kernels without one: simulator and compiler.
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest tests/cuda --numprocesses auto --override-ini addopts=--import-mode=importlib
	$(BIN)/python -m pytest tests/ptx --override-ini addopts=--import-mode=importlib

# The simulator's tests on a GPU, which must be there.
test-gpu: $(VENV)/test $(VENV)/cuda ## Test on a GPU, which must be there.
	NUMBA_ENABLE_CUDASIM=0 $(BIN)/python -m pytest tests/cuda --override-ini addopts=--import-mode=importlib

# Processes that are killed, a scheduler and workers that come and go, on the loopback.
test-dask: $(VENV)/test $(VENV)/dask ## Test backtests that are killed, and on a Dask cluster of this machine.
	$(BIN)/python -m pytest tests/processes --override-ini addopts=--import-mode=importlib

# A browser for the report page, executed notebooks, a model hub on the loopback, the wheel in a new environment.
test-ecosystem: $(VENV)/test $(VENV)/ecosystem ## Test in a browser (chromium, which must be there), notebooks, a hub, as a wheel.
	$(BIN)/python -m pytest tests/ecosystem --override-ini addopts=--import-mode=importlib

# skforecast and sktime need pandas 2, hence an environment of their own.
test-forecasters: ## Test as the regressor of skforecast and sktime, which it installs.
	$(MAKE) VENV=$(VENV)-forecasters $(VENV)-forecasters/forecasters
	$(VENV)-forecasters/bin/python -m pytest tests/forecasters --override-ini addopts=--import-mode=importlib

lint: $(VENV)/lint ## Check style, types and the order of the layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check trendlstm scripts tests
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent tests/typing/user_script.py
	$(BIN)/lint-imports --no-logo --no-cache

# Times trendlstm beside PyTorch, JAX, Keras and ONNX Runtime on this machine, and puts the tables into the README.
bench: $(VENV)/peers ## Time it beside PyTorch, JAX, Keras and ONNX Runtime.
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/bench_grid.py --subset
	$(BIN)/python scripts/update_readme.py

# Goes on where it was interrupted.
bench-grid: $(VENV)/peers ## Time it beside PyTorch and JAX over a whole grid of sizes: hours.
	$(BIN)/python scripts/bench_grid.py --resume
	$(BIN)/python scripts/update_readme.py

bench-self: $(VENV)/core ## Time it alone.
	$(BIN)/python scripts/bench.py --self

# Fits on a GPU, which must be there, beside this machine's processor and PyTorch with cuDNN.
bench-gpu: $(VENV)/peers $(VENV)/cuda ## Time a GPU, which must be there, beside the processor and PyTorch.
	$(BIN)/python scripts/bench_gpu.py

dist: $(VENV)/ecosystem ## Build the wheel and the sdist into dist/, and check them.
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

$(BIN)/python:
	@echo "Making the virtual environment $(VENV)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/core: pyproject.toml | $(BIN)/python
	@echo "Installing trendlstm and what it needs into $(VENV) (0.5 GB): half a minute to two minutes, once."
	@$(PIP) --editable .
	@touch $@

$(VENV)/test $(VENV)/lint $(VENV)/peers $(VENV)/cuda $(VENV)/dask $(VENV)/ecosystem $(VENV)/forecasters: $(VENV)/%: pyproject.toml | $(BIN)/python
	@echo "Installing trendlstm and its extra '$*' into $(VENV): half a minute to some minutes, once."
	@$(PIP) --editable ".[$*]"
	@touch $@

clean: ## Remove the virtual environment.
	rm -rf $(VENV) $(VENV)-forecasters
