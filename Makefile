# Set-up and checks. Each target makes what it needs in a virtual environment of the project, and makes it again
# only when the dependency files have changed. PYTHON chooses the interpreter.
PYTHON ?= python3
OLDEST_PYTHON ?= python3.10
NIGHTLY ?= https://download.pytorch.org/whl/nightly/cpu
VENV := .venv
BIN := $(VENV)/bin
FILES := setup.cfg pyproject.toml
INSTALL := -m pip install --disable-pip-version-check

.PHONY: help demo test test-slow test-oldest test-nightly test-browser docs dist clean

help:
	@echo "make demo         prune and train small networks on handwritten digits and draw the picture (2 to 7 minutes)"
	@echo "make test         linters, types, tests and examples"
	@echo "make test-slow    the tests that take minutes each"
	@echo "make test-oldest  the tests on the oldest torch that is supported (needs a Python 3.10: OLDEST_PYTHON)"
	@echo "make test-nightly the tests on last night's torch, fetched anew each time"
	@echo "make test-browser search, sizes and notebooks of the documentation (needs Chromium)"
	@echo "make docs         the documentation, into docs/_build/html; runs the gallery (two minutes)"
	@echo "make dist         wheel and source distribution, into dist/"
	@echo "make clean        remove everything that these make"

$(VENV)/%.installed: $(FILES)
	@echo "== Setting up $(VENV) for '$*': some minutes the first time, as torch is large"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(INSTALL) -e ".[$*]"
	@touch $@

demo: $(VENV)/demo.installed
	@echo "== Pruning and training on handwritten digits: 2 to 7 minutes on 2 cores"
	@$(BIN)/python -m benchmarks.demo

test: $(VENV)/test.installed
	@echo "== Style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== Types"
	@$(BIN)/mypy
	@echo "== Tests and examples: some minutes"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/test.installed
	@echo "== Slow tests: about half an hour on 2 cores"
	@$(BIN)/python -m pytest -m slow -s -v

.venv-oldest/installed: $(FILES)
	@echo "== Setting up .venv-oldest with the oldest torch"
	@$(OLDEST_PYTHON) -m venv .venv-oldest
	@.venv-oldest/bin/python $(INSTALL) -e . "torch==2.6.0" numpy hypothesis pytest tqdm
	@touch $@

test-oldest: .venv-oldest/installed
	@.venv-oldest/bin/python -m pytest -p no:cacheprovider

.venv-nightly/installed: $(FILES)
	@echo "== Setting up .venv-nightly with last night's torch"
	@$(PYTHON) -m venv .venv-nightly
	@.venv-nightly/bin/python $(INSTALL) --pre torch --index-url $(NIGHTLY)
	@.venv-nightly/bin/python $(INSTALL) -e . numpy hypothesis pytest tqdm
	@touch $@

test-nightly: .venv-nightly/installed
	@.venv-nightly/bin/python $(INSTALL) --pre --upgrade torch --index-url $(NIGHTLY)
	@.venv-nightly/bin/python -m pytest -p no:cacheprovider

docs: $(VENV)/docs.installed
	@echo "== Building the documentation, and running its gallery: about two minutes"
	@$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

test-browser: $(VENV)/browser.installed docs
	@$(BIN)/python -m pytest -m browser -s

dist: $(VENV)/test.installed
	@rm -rf dist
	@$(BIN)/python -m build
	@$(BIN)/python -m twine check --strict dist/*

clean:
	@rm -rf .venv .venv-oldest .venv-nightly build dist *.egg-info docs/_build docs/gallery docs/tutorials
