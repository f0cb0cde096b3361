# Everything is set up in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done

.PHONY: help setup run test lint type imports bench docs lock model clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## install the locked dependencies into .venv

$(STAMP): pyproject.toml requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: setup ## start the server on http://localhost:9621
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

lock: ## resolve dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --group dev --output-file requirements/dev.lock pyproject.toml

model: setup ## rebuild the bundled embedder from the published weights
	$(BIN)/python scripts/make_minilm.py

clean: ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
