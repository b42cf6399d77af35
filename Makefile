# `make demo` trains a network on real images; `make test` runs the linter, the types and the tests of
# up to a second each, `make test-slow` the longer ones, both with the newest versions of all
# dependencies; `make test-lowest` runs all of them with the lowest; `make fuzz` reads a million spoiled
# files.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOWEST ?= .venv-lowest
PEERS := bench/.peers
# A file's tests stay together, as they share what is made once. One process more than there are cores
# (tests/conftest.py). One that dies ends the run at once: what was to follow it would be waited for
# without end. The last lines name the slowest. Tests of clusters have processes of their own: Ray
# leaves threads and handlers of signals in those that it was in.
CORES := --numprocesses auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile \
	--no-loadscope-reorder --durations 20
# $(call tests,an environment's programs,which tests)
tests = $(1)/python -m pytest -q -m "$(2)" $(CORES) --ignore tests/cluster \
	&& $(1)/python -m pytest -q -m "$(2)" $(CORES) tests/cluster

# Tests start hundreds of processes, and each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-lowest test-exhaustive fuzz portability bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.for-demo: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[report]'
	touch $@

$(VENV)/.for-tests: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $@

$(LOWEST)/.installed: pyproject.toml scripts/lowest_versions.py
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python scripts/lowest_versions.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(LOWEST)/lowest.txt --editable '.[dev]'
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
	$(BIN)/mypy --num-workers 2
	$(call tests,$(BIN),not slow and not exhaustive)

test-slow: $(VENV)/.for-tests
	$(call tests,$(BIN),slow and not exhaustive)

test-lowest: $(LOWEST)/.installed
	$(call tests,$(LOWEST)/bin,not exhaustive)

test-exhaustive: $(VENV)/.for-tests
	$(BIN)/python -m pytest -q -m exhaustive
	$(BIN)/python -m pytest -q -m "hypothesis and not exhaustive" --hypothesis-profile long

fuzz: $(VENV)/.for-tests
	$(BIN)/python -m tests.fuzz --count 1000000 --keep runs/fuzz

portability: $(VENV)/.for-tests
	ISOCONV_PYTHON=$(abspath $(BIN))/python scripts/portability_arm64.sh setup
	$(BIN)/python -m pytest -q tests/portability

bench: $(VENV)/.for-tests $(PEERS)/.installed
	$(BIN)/python -m bench all
	$(BIN)/python -m bench table

clean:
	rm -rf $(VENV) $(LOWEST) $(PEERS) bench/.small build dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
