# Two commands do everything: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make check` runs: the tests of this list take some 20 seconds on two cores.
CHECKED := tests/house tests/engine tests/apiserver tests/controllers tests/node tests/autoscaling tests/faults \
	tests/report tests/scheduling/test_scheduler.py tests/scheduling/test_snapshot.py tests/scheduling/test_scoring.py \
	tests/scheduling/test_queue.py tests/scheduling/test_preemption.py tests/experiment/test_scenario.py

# Tests start some hundred processes; compiling the packages anew in each one is a tenth of their time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo sim test test-slow check lint coverage bench clean

demo: $(VENV)/.demo
	$(BIN)/podyard run

# The same examples in every run; `pytest` alone draws new ones (tests/conftest.py).
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadgroup --hypothesis-profile ci

test-slow: $(VENV)/.dev
	PODYARD_EXAMPLES=full $(BIN)/python -m pytest -m "slow or hypothesis" -n auto

# The inner loop: lint, types, import contracts and the quick tests, in less than a minute.
check: lint
	$(BIN)/python -m pytest -n auto -q $(CHECKED)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Which lines of the three packages the tests did not run. Not the tests of deadlines: what they interrupt may be the
# tracer, which then keeps its lock for ever.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --ignore tests/scheduling/test_guard.py --ignore tests/testing --ignore tests/cli/test_check.py --ignore tests/cli/test_first_hour.py --cov --cov-report=term:skip-covered --cov-report=html:$(VENV)/coverage

sim: $(VENV)/.dev
	$(BIN)/podyard simulate --seeds 100

bench: $(VENV)/.dev
	PODYARD_BENCH=full $(BIN)/python -m pytest benchmarks -p no:xdist --benchmark-only

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements-dev.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) results/local .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage
