# Everything is set up in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.development
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: help setup run test lint type imports bench docs lock model clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## install what development needs into .venv

$(BIN)/uv: requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $@

$(RUNTIME): $(BIN)/uv pyproject.toml requirements/base.lock
	@echo "Installing into $(VENV) ..."
	@$(INSTALL) --require-hashes -r requirements/base.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(STAMP): $(RUNTIME) requirements/dev.lock
	@$(INSTALL) --require-hashes -r requirements/dev.lock
	@touch $@

run: $(RUNTIME) ## start the server on http://localhost:9621
	$(BIN)/lightrag-server

test: setup ## run the tests
	$(BIN)/python -m pytest

lint: setup ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup ## check types
	$(BIN)/mypy

imports: setup ## check that imports run one way
	$(BIN)/lint-imports

bench: setup ## run the benchmarks and print ratios (see benchmarks/README.md)
	$(BIN)/python benchmarks/run.py

docs: setup ## check that the documentation agrees with the code
	$(BIN)/python scripts/check_docs.py

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

lock: ## resolve dependencies anew (needs uv)
	$(LOCK) --group dev --output-file requirements/dev.lock pyproject.toml
	$(LOCK) --group build --constraint requirements/dev.lock --output-file requirements/base.lock pyproject.toml
	$(LOCK) --group build --extra llmservice --constraint requirements/dev.lock --output-file requirements/llmservice.lock pyproject.toml
	echo uv | $(LOCK) --output-file requirements/uv.lock -

model: setup ## rebuild the bundled embedder from the published weights
	$(BIN)/python scripts/make_minilm.py

clean: ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
