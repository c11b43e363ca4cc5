# The two commands of the README, and the checks; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS ?= 2

.PHONY: help demo test test-oldest docs lint format clean
help:
	@echo "make demo   make pictures, regenerate their annotations, train on them: a report in demo/"
	@echo "make test   run the tests"
	@echo "make docs   the documentation, into build/site"
	@echo "make test-oldest  the tests of hierarchies, annotations and their commands, on the oldest packages supported"
	@echo "make lint   ruff, ruff format --check, mypy, import-linter"
	@echo "make format let ruff rewrite the code"
	@echo "make clean  remove .venv and what the targets made"

demo: $(VENV)/installed-demo
	$(BIN)/python -m mlimages.demo --out demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(JOBS)

# a notebook that the tests have executed is not executed again; --quiet would hide the warnings that are errors here
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# its own environment, of the core alone: what needs an extra is left out, and what takes a minute to kill
OLDEST := $(VENV)-oldest
test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt \
		--editable ".[plot]" hypothesis pytest pytest-timeout pytest-xdist
	$(OLDEST)/bin/python -m pytest -n $(JOBS) tests/hierarchy tests/annotate tests/storage tests/job tests/cli tests/test_doctor.py tests/test_import.py \
		-k "not killed" $(addprefix --ignore=tests/,hierarchy/wordnet/test_build_wordnet.py hierarchy/drawing/test_explorer.py \
			annotate/parquet/test_writer.py annotate/parquet/test_readers.py cli/test_pixels.py job/test_faults.py) \
		--deselect tests/annotate/tables/test_exporting.py::test_mlcroissant_validates_the_metadata_and_loads_the_records \
		--deselect tests/annotate/tables/test_splitting.py::test_categories_are_dealt_in_proportion_better_than_by_the_package_and_by_chance

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-oldest demo build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mlimages needs Python 3.11 or newer, and $(PYTHON) is older: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# one stamp an extra, renewed when the metadata change
$(VENV)/installed-%: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing mlimages[$*] into $(VENV) ..."
	$(INSTALL) --editable ".[$*]"
	@touch $@
