# The two commands of the README, and the checks; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS ?= 2

.PHONY: help demo test lint format clean
help:
	@echo "make demo   make pictures, regenerate their annotations, train on them: a report in demo/"
	@echo "make test   run the tests"
	@echo "make lint   ruff, ruff format --check, mypy"
	@echo "make format let ruff rewrite the code"
	@echo "make clean  remove .venv and what the targets made"

demo: $(VENV)/installed-demo
	$(BIN)/python -m mlimages.demo --out demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mlimages needs Python 3.11 or newer, and $(PYTHON) is older: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# one stamp an extra, renewed when the metadata change
$(VENV)/installed-%: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing mlimages[$*] into $(VENV) ..."
	$(INSTALL) --editable ".[$*]"
	@touch $@
