# The commands of this project; `make help` lists them. Without make: see "Without make" in README.md.
PYTHON ?= python3
VENV ?= .venv
DATA ?= data
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: help install demo test test-slow lint bench lock sample clean-cache

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY) ## make the virtual environment

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, found %d.%d: name one with `make PYTHON=python3.12 ...`" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

demo: $(READY) ## train on the bundled sample corpus and score the bundled dumps
	$(BIN)/python flows/train.py --corpus sample --data-dir $(DATA)
	$(BIN)/python flows/score.py data/sample --data-dir $(DATA) --max-quarantine 0.5 --rescore
	@$(BIN)/python tests/sample/show.py $(DATA)

test: lint ## lint, types and the quick tests
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(READY) ## pin all dependencies, with hashes, from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --upgrade --quiet --custom-compile-command "make lock" --output-file requirements.lock

sample: $(READY) ## make data/sample again
	$(BIN)/python -m tests.sample.generate
