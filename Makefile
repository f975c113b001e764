# make run: environment, then the gateway on the quickstart. make test: every check and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config/quickstart.yaml

.PHONY: run demo test check lock deps pure clean bench micro load-locust load-k6
.DEFAULT_GOAL := run

$(VENV)/.packages: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

# Compiles the data path where there is a C compiler (docs/adr/0004-compiled-data-path.md).
COMPILED := gateway/prices.py gateway/evals/detect.py gateway/evals/flags.py $(foreach part,analysis domain proxy simulation stats storage telemetry wire,$(wildcard gateway/$(part)/*.py))
UNCOMPILE := find gateway -name '*.so' -delete; rm -f gateway__mypyc*.so
$(VENV)/.run: $(VENV)/.packages pyproject.toml setup.py $(COMPILED)
	@rm -rf build; $(UNCOMPILE) # what is left of other sources would make the library crash
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch -c gateway__mypyc*.so; touch $@
	@ls gateway__mypyc*.so >/dev/null 2>&1 || echo "the data path is not compiled, so it is slower; $(BIN)/python setup.py build_ext says why"

$(VENV)/.dev: requirements-dev.txt $(VENV)/.packages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(VENV)/.run
	@$(BIN)/prompt-canary serve --config $(CONFIG)

# Two minutes without a network: one version is promoted, one is rolled back.
demo: $(VENV)/.run
	@$(BIN)/prompt-canary demo

deps: $(VENV)/.dev $(VENV)/.run
	@ls gateway__mypyc*.so >/dev/null 2>&1 || ! command -v cc >/dev/null || { \
		echo "there is a C compiler, but nothing was compiled: $(BIN)/python setup.py build_ext says why"; exit 1; }
	@sh scripts/test-servers
	@sh scripts/test-clients
	@sh scripts/test-peers locust

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --verbose 2>&1 | tail -n 8 | sed '/^$$/d'; $(BIN)/lint-imports --no-cache >/dev/null
	$(BIN)/python -m pytest tests/test_architecture.py -q -p no:cacheprovider --noconftest

test: deps check
	$(BIN)/python -m pytest -n 4 --dist worksteal

# All figures of README (ten minutes); BENCH="--only cost" one section, BENCH=--help says what else.
bench: deps
	@sh scripts/test-peers
	$(BIN)/python -m benchmarks.overhead $(BENCH)

# Single functions, as ratios to a stored baseline; MICRO=--update stores a new one.
micro: deps
	$(BIN)/python -m benchmarks.micro $(MICRO)

# Load on the quickstart: people in conversations, or a constant rate of arrivals. LOAD=--help says what else.
load-locust load-k6: load-%: deps
	$(BIN)/python -m load $* $(LOAD)

LOCK := $(BIN)/uv pip compile --universal --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml
lock: $(VENV)/.dev
	$(LOCK) --group build -o requirements.txt
	$(LOCK) --group dev -c requirements.txt -o requirements-dev.txt

pure:
	$(UNCOMPILE); rm -f $(VENV)/.run

clean: pure
	rm -rf build $(VENV) data .pytest_cache .mypy_cache .ruff_cache .hypothesis
