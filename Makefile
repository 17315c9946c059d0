# The two commands of the README are `make up` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := $(VENV)/.installed-demo
PIP    := $(BIN)/pip install --disable-pip-version-check
JOBS   ?= 4
PYTEST := $(BIN)/pytest -q
# In the order of tests/conftest.py.
SHARED := -n $(JOBS) --dist loadgroup

# Tests start hundreds of processes, each of which would compile anew whatever it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install up test heavy lint unit bench chaos docs clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv and install mlpatterns with its development tools

up: $(DEMO)  ## install what that needs, train what is missing and serve every system on http://127.0.0.1:8000
	$(BIN)/mlpatterns up

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlpatterns needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	$(PIP) --quiet --editable '.[dev]'
	@touch $@ $(DEMO)

# A first start is mostly this: pip shows what it fetches.
$(DEMO): pyproject.toml | $(BIN)/python
	@echo 'make up, 1 of 2: Python packages into $(VENV) (about 60, half a gigabyte; a minute or two)'
	$(PIP) --editable '.[demo]'
	@echo 'make up, 2 of 2: train what is missing, then serve'
	@touch $@

lint: install  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

unit: install  ## the fast tests alone
	$(PYTEST) $(SHARED) tests/unit tests/contracts

test: lint  ## lint, types and every test but the heaviest
	$(PYTEST) $(SHARED) -m 'not heavy' tests

heavy: install  ## the heaviest tests: the README, wheels, images, new projects, quick benchmarks; CI runs them too
	$(PYTEST) $(SHARED) -m heavy tests

bench: install  ## measure; writes benchmarks/RESULTS.md (about half an hour; needs wrk)
	$(BIN)/python -m benchmarks

chaos: install  ## the same faults as the tests, ten times as many, and a hundred times the fuzzing
	MLPATTERNS_CHAOS=10 $(PYTEST) tests/contracts tests/fuzz tests/integration -m slow

docs: install  ## build the documents into site/, which works without a network
	$(BIN)/mkdocs build --strict
	@echo 'open site/index.html'

clean:  ## remove the environment, caches and trained models
	rm -rf $(VENV) site .mlflow .mlpatterns .mlpatterns-peers .pytest_cache .mypy_cache .ruff_cache dist
