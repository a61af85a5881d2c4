# `make demo` and `make test` do all the set-up by themselves, in .venv. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo test test-slow test-gpu lint format bench clean

help:
	@echo "make demo       train two agents, evaluate them, leave videos (a minute or two)"
	@echo "make test       the tests"
	@echo "make test-slow  the learning tests, which take longer"
	@echo "make test-gpu   what needs an NVIDIA GPU, with PYTHON's own torch, numba and numba-cuda"
	@echo "make lint       ruff and pyright"
	@echo "make format     ruff's formatter"
	@echo "make bench      speed beside Gymnasium and CleanRL's loop"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Quintet needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: setup
	$(BIN)/quintet demo

test: setup
	$(PYTEST) -n 2

test-slow: setup
	$(PYTEST) -n 2 -m slow

test-gpu:
	$(PYTHON) -m pytest -m gpu tests/envs/test_cuda.py tests/agents/test_graphs_gpu.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/quintet bench

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
