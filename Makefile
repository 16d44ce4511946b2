# Everything runs in .venv, which the first target that needs it makes; `make help` lists the targets.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/pip --quiet --quiet --disable-pip-version-check
INSTALLED_FROM := pyproject.toml constraints.txt mmsr_geo/_version.py

# The second name is what pip 25.3 and later take for the isolated build of a wheel, the first what earlier ones take.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: help demo test faults notebooks notebooks-write lint wheel clean

help:
	@echo "make demo             run the main job on the rasters of the package, into ./demo"
	@echo "make test             run the whole test suite; ARGS='tests/test_grids.py -x' runs a part of it"
	@echo "make faults           kill a cluster's processes while a job runs, minutes"
	@echo "make notebooks        run the notebooks, minutes; leaves them as they are"
	@echo "make notebooks-write  run them and keep in them what they show; ARGS names one"
	@echo "make lint             ruff, its formatter and mypy; changes nothing"
	@echo "make wheel            build the wheel, into ./dist"
	@echo "make clean            remove what these made, except .venv"
	@echo "PYTHON=python3.12 before the first of them chooses the Python of .venv ($(PYTHON) now; 3.11 or later)"

demo: .venv/installed
	@$(BIN)/mmsr-geo demo -o demo

# Two workers share two cores: one thread each unless a test asks for more, and threads that wait do not spin, which
# takes six times the processor time where there are more threads than cores.
test: .venv/installed-dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n $(WORKERS) $(ARGS)

# A process each is one of a cluster's: a test at a time, and what it says of the kills on the terminal.
faults: .venv/installed-dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -s -m faults $(ARGS)

# Minutes each: outside the tests. A fit may take the cores there are, where the tests' has one.
notebooks: .venv/installed-dev
	@OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=900 --timeout=1800 $(or $(ARGS),notebooks)

notebooks-write: .venv/installed-dev
	@OMP_WAIT_POLICY=passive $(BIN)/python notebooks/write.py $(ARGS)

lint: .venv/installed-dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

wheel: .venv/installed
	@rm -rf dist
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:
	@rm -rf build demo dist .mypy_cache .pytest_cache .ruff_cache
	@find mmsr_geo tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: $(INSTALLED_FROM) | $(BIN)/pip
	@echo "Installing mmsr_geo and what it needs into .venv (minutes the first time)"
	@$(PIP) install --only-binary torch --editable .
	@touch $@

.venv/installed-dev: $(INSTALLED_FROM) | $(BIN)/pip
	@echo "Installing mmsr_geo and what its tests need into .venv (minutes the first time)"
	@$(PIP) install --only-binary torch --editable '.[dev]'
	@touch .venv/installed $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>&1) || found=missing; \
	  echo "mmsr_geo needs Python 3.11 or later, $(PYTHON) is $$found: name one, as in make demo PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv .venv
