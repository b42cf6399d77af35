# `make demo` trains a network on real images; `make test` runs every test, the linter and the types.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PEERS := bench/.peers

.PHONY: demo test test-exhaustive portability bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.for-demo: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[report]'
	touch $@

$(VENV)/.for-tests: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $@

$(PEERS)/.installed: bench/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers.txt
	touch $@

demo: $(VENV)/.for-demo
	$(BIN)/isoconv demo --out runs/demo

test: $(VENV)/.for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not exhaustive"

test-exhaustive: $(VENV)/.for-tests
	$(BIN)/python -m pytest -q -m exhaustive

portability: $(VENV)/.for-tests
	ISOCONV_PYTHON=$(abspath $(BIN))/python scripts/portability_arm64.sh setup
	$(BIN)/python -m pytest -q tests/portability

bench: $(VENV)/.for-tests $(PEERS)/.installed
	$(BIN)/python -m bench all
	$(BIN)/python -m bench table

clean:
	rm -rf $(VENV) $(PEERS) build dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
