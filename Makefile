# The commands of this project; `make help` lists them. Without make: see "Without make" in README.md.
PYTHON ?= python3
VENV ?= .venv
DATA ?= data
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: help install demo test test-quick test-slow lint bench quality year lock sample clean-cache serve deploy worker automations test-deploy screenshots

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY) ## make the virtual environment

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, found %d.%d: name one with `make PYTHON=python3.12 ...`" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

demo: $(READY) ## train on the bundled sample corpus and score the bundled dumps
	$(BIN)/python flows/train.py --corpus sample --data-dir $(DATA)
	$(BIN)/python flows/score.py data/sample --data-dir $(DATA) --max-quarantine 0.5 --rescore
	@$(BIN)/python tests/tools/sample/show.py $(DATA)

test: $(READY) ## lint, types and the quick tests
	@$(MAKE) --no-print-directory -j2 lint test-quick

PARALLEL := -n auto --maxprocesses 4
# Each file's tests on one process: they share what takes seconds to make.
test-quick: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Where SeaweedFS cannot be installed, the tests against it are skipped.
test-slow: $(READY) ## kill it at each call, fill its disk, run it four times at once, play a month; a quarter of an hour
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-stores.lock
	$(BIN)/python -m pytest $(PARALLEL) -m slow

bench: $(READY) ## time this pipeline beside plain scripts (IMDB_DIR names the real corpus)
	$(BIN)/python -m tests.tools.benchmarks

quality: $(READY) ## train every preset with three seeds (IMDB_DIR names the real corpus); takes hours
	$(BIN)/python -m tests.tools.quality

YEAR ?= $(DATA)/year
year: $(READY) ## play a year of use into data/year: dumps, labels, trainings, faults; an hour or more
	$(BIN)/python -m tests.tools.year --data $(YEAR)

lock: $(READY) ## pin all dependencies, with hashes, from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra dask --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --upgrade --quiet --custom-compile-command "make lock" --output-file requirements.lock
	$(BIN)/uv pip compile --group stores --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --upgrade --quiet --custom-compile-command "make lock" --output-file requirements-stores.lock

clean-cache: $(READY) ## free what no model and no table needs
	$(BIN)/python flows/prune.py --data-dir $(DATA)

sample: $(READY) ## make data/sample again
	$(BIN)/python -m tests.tools.sample.generate

# A Prefect server of the project's own, for itself: 127.0.0.1, its database under the data folder.
PORT ?= 4200
ON_SERVER = PATH="$(abspath $(BIN)):$$PATH" PREFECT_HOME="$${PREFECT_HOME:-$(abspath $(DATA))/.prefect}" \
  PREFECT_API_URL="$${PREFECT_API_URL:-http://127.0.0.1:$(PORT)/api}" DO_NOT_TRACK=1
# Leases in files outlive a restart of the server; those in memory would leave a slot taken for ever. A run that waits
# for a slot asks again after 3 s: with Prefect's 30 s a day's late runs would take an hour to end.
SERVER = PREFECT_SERVER_ANALYTICS_ENABLED=false \
  PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem \
  PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS=3

serve: $(READY) ## start the Prefect server and its UI
	$(ON_SERVER) $(SERVER) prefect server start --host 127.0.0.1 --port $(PORT)

deploy: $(READY) ## make the work pool and the deployments of prefect.yaml
	$(ON_SERVER) prefect --no-prompt work-pool inspect local >/dev/null 2>&1 || \
	  $(ON_SERVER) prefect --no-prompt work-pool create local --type process
	$(ON_SERVER) prefect --no-prompt deploy --all

# Three runs at once: a training, the scoring by the clock, a backfill. Without a limit it would ask for a slot for each late
# run again and again, until the database of the server is locked.
worker: $(READY) ## start a worker, which runs what is due
	$(ON_SERVER) PREFECT_WORKER_QUERY_SECONDS="$${PREFECT_WORKER_QUERY_SECONDS:-5}" prefect worker start --pool local --name local --limit 3

automations: $(READY) ## watch for dead runs; WEBHOOK=https://... also tells of failed ones and of drift
	$(ON_SERVER) python -m tasks.running.automations $(WEBHOOK)

test-deploy: $(READY) ## try server, worker, kills and restarts for real; ten minutes
	$(BIN)/python -m pytest -m deploy -s

screenshots: $(READY) ## take the pictures of the UI again; needs chromium
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group screenshots
	$(BIN)/python -m tests.tools.screenshots
