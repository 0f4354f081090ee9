# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CODE   := fedcausal privacy clients server simulations
# uv does not read pip's configuration: hand it the folder of local wheels that pip knows.
FIND_LINKS ?= $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)

.PHONY: demo test test-slow setup fmt lint types imports build check bench clean

demo: setup
	$(BIN)/fedcausal demo

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m "slow and not network and not gpu" --timeout 1800

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedcausal needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.12,<0.13'
	UV_FIND_LINKS="$$(echo $(FIND_LINKS) | tr ' ' ',')" $(BIN)/uv pip install --quiet \
	  --python $(BIN)/python --constraint constraints.txt --editable '.[test,check]'
	touch $(READY)

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

# Installs the wheel in a clean environment outside the checkout and imports every module from it.
build: setup
	$(BIN)/python tests/wheel.py

check: lint types imports build

bench: setup
	$(BIN)/python benchmarks/gram.py
	$(BIN)/python benchmarks/secure_sum.py --quick

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
