# Every target makes its own environment; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.installed-core
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check lint types imports soak engines bench docs clerk lock wheel clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(CORE)  ## set up, then show the whole loop on embedded defaults (a few minutes, ends by itself)
	$(BIN)/inhouse demo --exit

test: check  ## set up, run every check and every default test
	$(BIN)/python -m pytest --cov --cov-report=
	$(BIN)/python -m coverage report --include='src/inhouse/domain/*,src/inhouse/planning/*,src/inhouse/routing/*' --fail-under=100
	$(BIN)/python -m coverage report --format=total | xargs -I{} echo 'branch coverage of the whole: {} %'

check: lint types imports  ## formatting, lint, types, import contracts

lint: $(DEV)
	$(BIN)/ruff format --check src tests bench models scripts
	$(BIN)/ruff check src tests bench models scripts

types: $(DEV)
	$(BIN)/pyright --level error

imports: $(DEV)
	$(BIN)/lint-imports

soak: $(DEV)  ## slow endurance tests
	$(BIN)/python -m pytest -m soak --no-cov -p no:cacheprovider

bench: $(DEV)  ## performance goals beside their peers, on this machine
	$(BIN)/python bench/gateway.py --check

docs: $(DEV)  ## write the generated reference pages again
	$(BIN)/python scripts/write_reference.py

engines: $(DEV)  ## check the engines that can run here (the embedded one; others come with their adapters)
	$(BIN)/python -m pytest -m engine --no-cov

clerk:  ## train the demonstration model again from its seeds (up to an hour of one core)
	$(PYTHON) -m venv .venv-clerk
	.venv-clerk/bin/python -m pip --disable-pip-version-check install --quiet torch==2.13.0
	.venv-clerk/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/finetune.txt
	PYTHONPATH=src .venv-clerk/bin/python models/clerk/train.py build/clerk
	PYTHONPATH=src .venv-clerk/bin/python models/clerk/package.py build/clerk

wheel: $(DEV)  ## build the wheel into dist/
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

lock: $(BIN)/python  ## resolve the pinned, hashed requirements again (needs uv)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	$(BIN)/python scripts/lock.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(CORE): requirements/core.txt requirements/build.txt pyproject.toml
	@if [ -f $(DEV) ] && [ $(DEV) -nt pyproject.toml ] && [ $(DEV) -nt requirements/dev.txt ]; then touch $(CORE); else \
	  echo "setting up $(VENV) (once; packages come from your pip index)" && $(PYTHON) -m venv $(VENV) && \
	  $(PIP) -r requirements/build.txt && $(PIP) -r requirements/core.txt && \
	  $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e . && touch $(CORE); fi

$(DEV): requirements/dev.txt requirements/build.txt pyproject.toml
	@echo "setting up $(VENV) with the development tools (once)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements/build.txt
	$(PIP) -r requirements/dev.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	touch $(DEV)

clean:  ## remove environments and caches (not your state folders)
	rm -rf $(VENV) .venv-clerk .bench dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
