# Set-up and checks. Each target makes its own virtual environment; it is made again only when the dependency
# files change. PYTHON chooses the interpreter (3.10 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
FILES := setup.cfg pyproject.toml

.PHONY: help demo test test-slow test-oldest lint docs dist clean

help:
	@echo "make demo        prune and train small networks on handwritten digits; draws the picture (5 minutes)"
	@echo "make test        linters, types, tests, examples"
	@echo "make test-slow   the tests that take minutes each"
	@echo "make test-oldest the core's tests on the oldest torch supported (OLDEST_PYTHON, 3.10 to 3.12)"
	@echo "make docs        the documentation, into docs/_build/html"
	@echo "make dist        wheel and source distribution, into dist/"

$(VENV)/%.installed: $(FILES)
	@echo "Setting up $(VENV) for $* (a few minutes the first time: torch is large) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --progress-bar on -e ".[$*]"
	@touch $@

demo: $(VENV)/demo.installed
	@echo "Pruning and training on handwritten digits ..."
	@$(BIN)/python -m benchmarks.demo
