# On a bare machine with Python >= 3.11: `make run` and `make test` install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export VOLASSETS_HOME ?= $(CURDIR)/data

.PHONY: install run test test-all ui bench lint format site stress clean

# All models but the Transformer and the combination that needs it, which would double the time of a first look.
MODELS ?= naive,rolling_20,ewma,garch,gjr,egarch,har,log_har,log_har_leverage,elastic_net,lstm

install: $(VENV)/.installed-dev

run: $(VENV)/.installed
	$(BIN)/volassets run --ticker '^GSPC' --ticker '^IXIC' --from 2016-01 --to 2018-12 --models $(MODELS)

# The longest files first, as conftest.py orders them; one thread in each worker, because threads of several workers wait
# for each other on the same cores. Compiled files are kept, else each of the many processes compiles everything again.
PYTEST = env -u VOLASSETS_HOME -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
WORKERS ?= auto

# Without those marked slow: whole runs, servers, networks. CI runs `make test-all`.
test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow" $(ARGS)

# One worker more than cores, because tests of servers wait.
test-all: WORKERS = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
test-all: $(VENV)/.installed-dev
	$(PYTEST) $(ARGS)

stress: $(VENV)/.installed-dev
	env -u VOLASSETS_HOME STRESS=full $(BIN)/python -m pytest -m stress $(ARGS)

ui: $(VENV)/.installed
	$(BIN)/volassets ui

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy volassets

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation as pages in build/site; a link that leads nowhere, or a page that none reaches, fails.
site: $(VENV)/.installed-dev
	@$(PIP) -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet -f docs/mkdocs.yml

clean:
	rm -rf $(VENV) build *.egg-info

# Twice quiet leaves pip's errors alone: what setuptools says about editable packages is not for users.
PIP := $(BIN)/python -m pip install --quiet --quiet

# The pip of an old Python does not know newer wheel names, so it comes first.
$(VENV)/bin/python:
	@echo "making a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

# torch alone first: with it there, no resolver has a reason to fetch another build.
$(VENV)/.torch: $(VENV)/bin/python constraints.txt
	@echo "installing PyTorch, about half a minute"
	@$(PIP) -c constraints.txt torch
	@touch $@

$(VENV)/.installed: $(VENV)/.torch setup.cfg pyproject.toml
	@echo "installing volassets and what it needs, about half a minute"
	@$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch setup.cfg pyproject.toml
	@echo "installing volassets and what its tests need, about a minute"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed
