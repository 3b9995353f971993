# Needs Python 3.11 or later (with venv) and make; everything else is installed into .venv.
#
#   make demo [ARGS="--data flights --once"]    data, gate and a tour
#   make test                                   all tests but the long ones
#   make lint                                   style and types
#   make test-slow                              the long tests
#   make random                                 10,000 random statements against PostgreSQL
#   make bench                                  the figures

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Workers of pytest; each has a data server of its own.
JOBS ?= 2

.PHONY: demo test test-slow random lint bench check-python
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "noisegate needs Python 3.11 or later; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,flights]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/noisegate demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow' $(ARGS)

test-slow: $(STAMP)
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -n 0 -m slow $(ARGS)

random: $(STAMP)
	HYPOTHESIS_PROFILE=random RANDOM_STATEMENTS=10000 $(BIN)/python -m pytest -n 0 tests/equality/test_random.py $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(STAMP)
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
