# make run: environment, then the gateway on the quickstart. make test: every check and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config/quickstart.yaml

.PHONY: run test check lock deps clean bench
.DEFAULT_GOAL := run

$(VENV)/.run: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(VENV)/.run
	@$(BIN)/prompt-canary serve --config $(CONFIG)

deps: $(VENV)/.dev
	@sh scripts/test-servers
	@sh scripts/test-clients

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --verbose 2>&1 | tail -n 8 | sed '/^$$/d'; $(BIN)/lint-imports --no-cache >/dev/null
	$(BIN)/python -m pytest tests/test_architecture.py -q -p no:cacheprovider

test: deps check
	$(BIN)/python -m pytest -n 4 --dist worksteal

bench: deps
	$(BIN)/python -m benchmarks.overhead

LOCK := $(BIN)/uv pip compile --universal --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml
lock: $(VENV)/.dev
	$(LOCK) --group build -o requirements.txt
	$(LOCK) --group dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) data .pytest_cache .mypy_cache .ruff_cache .hypothesis
