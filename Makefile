# The words of this project: `make help` lists them.
#
# All work in .venv, which is made on first use and brought up to date when pyproject.toml or
# constraints.txt change. `make PYTHON=python3.12 …` chooses the interpreter.

VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/core.stamp
DEV := $(VENV)/dev.stamp
# Bytecode is written by the first process that imports a module, and must be kept: compiling
# TensorFlow's takes longer than many a test, and every process of the tests would do it again.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --constraint constraints.txt

ifeq ($(origin PYTHON), undefined)
CANDIDATES := python3 python3.13 python3.12 python3.11
else
CANDIDATES := $(PYTHON)
endif

BENCHMARKS := $(sort $(wildcard benchmarks/bench_*.py))
PACKAGES := prodgen_rec.events prodgen_rec.catalog prodgen_rec.preferences prodgen_rec.imagery prodgen_rec.nightly
PYTEST = $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
SOURCES := $(shell find prodgen_rec -name '*.py')
NOTEBOOKS := $(patsubst notebooks/%.py,build/notebooks/%.ipynb,$(sort $(wildcard notebooks/*.py)))

.PHONY: help demo test test-all lint format notebooks bench docs clean
.DELETE_ON_ERROR:

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo: $(CORE) ## make a synthetic shop, learn from it, and write a gallery to demo/
	@$(BIN)/prodgen-rec demo --out demo

test: $(DEV) ## run all tests but those that take minutes
	$(PYTEST) -m "not long"

test-all: $(DEV) ## run all tests, with faults injected at every step of the nightly job
	$(PYTEST)

lint: $(DEV) ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(DEV) ## format, and correct what can be corrected without thought
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebooks: $(NOTEBOOKS) ## execute the notebooks into build/notebooks/

build/notebooks/%.ipynb: notebooks/%.py $(SOURCES) $(DEV)
	$(BIN)/jupytext --quiet --to ipynb --output $@ $<
	$(BIN)/jupyter-execute --kernel_name=python3 --inplace $@

bench: $(DEV) ## run all benchmarks
	@set -e; for benchmark in $(BENCHMARKS); do echo "$$benchmark"; $(BIN)/python "$$benchmark"; done

docs: $(DEV) ## render the docstrings to site/
	$(BIN)/pdoc --docformat numpy --output-directory site prodgen_rec $(PACKAGES)

clean: ## remove what these words have made, .venv and demo/ included
	rm -rf $(VENV) build demo dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing prodgen_rec into $(VENV) (about a minute)"
	@$(INSTALL) --editable .
	@touch $@

# What developing needs includes what using needs, so that both stamps are set.
$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing prodgen_rec and the tools to develop it into $(VENV) (about two minutes)"
	@$(INSTALL) --editable '.[dev]'
	@touch $(CORE) $@

$(BIN)/python:
	@for python in $(CANDIDATES); do \
	  if $$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	    echo "creating $(VENV) with $$($$python --version)"; \
	    exec $$python -m venv $(VENV); \
	  fi; \
	done; \
	echo "prodgen_rec needs Python 3.11, 3.12 or 3.13 with its venv module; looked at: $(CANDIDATES)." \
	  "Install one, or name it: make PYTHON=/path/to/python3.12 …" >&2; \
	exit 1
