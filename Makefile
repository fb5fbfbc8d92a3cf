# Every target makes its own virtual environment if there is none; nothing else has to be installed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: train test test-parity lint bench bench-self clean

train: $(VENV)/core
	$(BIN)/trendlstm train MSFT --years 4

test: $(VENV)/test
	$(BIN)/python -m pytest

# Against PyTorch and Keras, which must be there.
test-parity: $(VENV)/test $(VENV)/peers
	$(BIN)/python -m pytest tests/parity --override-ini addopts=--import-mode=importlib

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/mypy

# Times trendlstm beside PyTorch, JAX, Keras and ONNX Runtime on this machine, and puts the tables into the README.
bench: $(VENV)/peers
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/update_readme.py

bench-self: $(VENV)/core
	$(BIN)/python scripts/bench.py --self

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/test $(VENV)/lint $(VENV)/peers: $(VENV)/%: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV)
