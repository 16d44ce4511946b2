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

.PHONY: help demo test test-fast faults test-qgis notebooks notebooks-write lint wheel plugin plugin-commands qgis-pictures errors-page options clean

help:
	@echo "make demo             run the main job on the rasters of the package, into ./demo"
	@echo "make test             run the whole test suite; ARGS='tests/raster/test_grids.py -x' runs a part of it"
	@echo "make test-fast        run the quick tests, 2 minutes"
	@echo "make faults           kill a cluster's processes while a job runs, and measure what a tile costs; minutes"
	@echo "make notebooks        run the notebooks, minutes; leaves them as they are"
	@echo "make notebooks-write  run them and keep in them what they show; ARGS names one"
	@echo "make lint             ruff, its formatter, mypy (also as on Windows) and the import contracts; changes nothing"
	@echo "make wheel            build the wheel, into ./dist"
	@echo "make plugin           build the QGIS plugin's zip, into qgis_plugin/dist"
	@echo "make plugin-commands  write down for the plugin what the command offers; after each change of its options"
	@echo "make options          write mmsr_geo/keywords.py from mmsr_geo/options.py; after each change of its fields"
	@echo "make errors-page      write docs/errors.md from the tests' cases"
	@echo "make qgis-pictures    make the pictures of docs/qgis.md anew"
	@echo "make test-qgis        install QGIS once (Debian 12, as root, 1.3 GB) and test the plugin in it; ARGS as in test"
	@echo "make clean            remove what these made, except .venv"
	@echo "PYTHON=python3.12 before the first of them chooses the Python of .venv ($(PYTHON) now; 3.11 or later)"

demo: .venv/installed
	@$(BIN)/mmsr-geo demo -o demo

# Two workers share two cores: one thread each unless a test asks for more, and threads that wait do not spin, which
# takes six times the processor time where there are more threads than cores.
test: .venv/installed-dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n $(WORKERS) $(ARGS)

test-fast: .venv/installed-dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n $(WORKERS) -m 'not faults and not slow' $(ARGS)

# These tests start processes of clusters: one test at a time. -s shows what they report of the kills.
faults: .venv/installed-dev
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -s -m faults $(ARGS)

# A notebook takes minutes, so it is not in `make test`. Its fits use all cores; those of the tests use one.
notebooks: .venv/installed-dev
	@OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q --nbmake --nbmake-timeout=900 --timeout=1800 $(or $(ARGS),notebooks)

notebooks-write: .venv/installed-dev
	@OMP_WAIT_POLICY=passive $(BIN)/python notebooks/write.py $(ARGS)

# The second mypy sees the standard library as Windows has it: it refuses os.pread, signal.SIGKILL and their like.
lint: .venv/installed-dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 mmsr_geo
	@$(BIN)/lint-imports --no-logo

wheel: .venv/installed
	@rm -rf dist
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

plugin:
	@$(PYTHON) qgis_plugin/build.py

plugin-commands: .venv/installed
	@$(BIN)/python qgis_plugin/commands.py
	@$(BIN)/python qgis_plugin/translations.py

options: .venv/installed-dev
	@$(BIN)/python tools/keywords.py

errors-page: .venv/installed-dev
	@$(BIN)/python tools/errors_page.py

# The tests run in QGIS's own Python; what they start runs the library in .venv, or installs the wheel.
test-qgis: .venv/installed .venv-qgis/installed wheel
	@cd qgis_plugin && QT_QPA_PLATFORM=offscreen ../.venv-qgis/bin/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

# The same test as in test-qgis, with a longer fit; its pictures go into docs.
qgis-pictures: .venv/installed .venv-qgis/installed
	@cd qgis_plugin && MMSR_QGIS_PICTURES=../docs/images QT_QPA_PLATFORM=offscreen \
	  ../.venv-qgis/bin/python -m pytest -q tests/test_desktop.py

clean:
	@rm -rf build demo dist qgis_plugin/dist .mypy_cache .pytest_cache .ruff_cache
	@find mmsr_geo tests benchmarks qgis_plugin -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: $(INSTALLED_FROM) | $(BIN)/pip
	@echo "Installing mmsr_geo and what it needs into .venv (minutes the first time)"
	@$(PIP) install --only-binary torch --editable .
	@touch $@

.venv/installed-dev: $(INSTALLED_FROM) | $(BIN)/pip
	@echo "Installing mmsr_geo and what its tests need into .venv (minutes the first time)"
	@$(PIP) install --only-binary torch --editable '.[dev]'
	@touch .venv/installed $@

# QGIS's modules are those of Debian's Python, so this environment is made of that one.
.venv-qgis/installed: qgis_plugin/requirements-test.txt
	@qgis_plugin/install-qgis
	@/usr/bin/python3 -m venv --system-site-packages .venv-qgis
	@.venv-qgis/bin/pip --quiet --quiet --disable-pip-version-check install --requirement qgis_plugin/requirements-test.txt
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>&1) || found=missing; \
	  echo "mmsr_geo needs Python 3.11 or later, $(PYTHON) is $$found: name one, as in make demo PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv .venv
