# Everything a person runs. `make forecast` and `make test` are all the set-up a fresh machine needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
BENCH ?= all

.DEFAULT_GOAL := help
.PHONY: help env forecast test test-notebooks lint bench video docs reproduce-smoke clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.forecast: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.forecast
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

env: $(VENV)/.forecast ## the environment that a forecast needs, in .venv

forecast: env ## the first forecast: bundled model and data, offline
	$(BIN)/weathersvq forecast --init 2017-01-01 --var t2m

test: $(VENV)/.dev ## the tests, two at a time, each on a core of its own; then reproduce-smoke
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2
	$(MAKE) reproduce-smoke

test-notebooks: $(VENV)/.dev ## the notebooks, executed two at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbmake --numprocesses 2 notebooks

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

bench: $(VENV)/.bench ## speed and memory, into docs/benchmarks.md; BENCH=svq runs benchmarks/svq.py alone
	$(BIN)/python benchmarks/$(if $(filter all,$(BENCH)),report,$(BENCH)).py

video: $(VENV)/.dev ## small models on bouncing digits: train, score, draw (half an hour)
	$(BIN)/python pipelines/train_video.py

$(VENV)/.docs: $(VENV)/.forecast
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## the documentation as a site, build/docs/index.html; warnings are errors
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs build/docs
	@echo "wrote build/docs/index.html"

reproduce-smoke: $(VENV)/.dev ## one tiny run of each table and figure of the paper, end to end
	$(BIN)/python pipelines/make_digits.py runs/smoke/digits.zarr --share 0.05
	$(BIN)/weathersvq reproduce all --scale smoke --limit 1 --out runs/smoke

clean: ## remove the environment and caches; runs/ and forecasts/ stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
