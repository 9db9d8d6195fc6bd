# Every target does its own set-up: a machine needs Python 3.11 or later and make, nothing else.
# make demo | test | test-torch | test-triton | lint | soak | soak-short | venv | clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# PyTorch builds pin a Triton of their own, so the one that is tested lives apart
TRITON := .venv-triton
SOAK_SECONDS ?= 3600

.PHONY: venv demo test test-torch test-triton lint soak soak-short docs clean

venv: $(VENV)/.test

define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; try make PYTHON=python3.11")'
$(PYTHON) -m venv $(1)
endef

$(VENV)/.base: pyproject.toml
	$(call environment,$(VENV))
	$(BIN)/python -m pip install --quiet --editable '.[cuda]'
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --editable '.[cuda,test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[cuda,test,lint]'
	@touch $@

$(VENV)/.torch: $(VENV)/.test
	$(BIN)/python -m pip install --quiet 'torch==2.13.0'
	@touch $@

$(TRITON)/.test: pyproject.toml
	$(call environment,$(TRITON))
	$(TRITON)/bin/python -m pip install --quiet --editable '.[test,triton]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/python benchmarks/demo.py

test: $(VENV)/.test
	$(PYTEST) -m 'not soak and not torch and not triton'

test-torch: $(VENV)/.torch
	$(PYTEST) -m 'torch and not soak'

test-triton: $(TRITON)/.test
	$(TRITON)/bin/python -m pytest -m 'triton and not soak' tests/emulator

lint: $(VENV)/.lint
	$(BIN)/ruff check compiler dialect passes runtime tests benchmarks src/tilewright/__init__.py
	$(BIN)/mypy
	rm -rf build/types && mkdir -p build/types && cp -rL src/tilewright build/types/
	$(BIN)/basedpyright --pythonpath $(BIN)/python --project .ci/pyright.json
	$(BIN)/lint-imports

soak: $(VENV)/.test
	$(PYTEST) -m soak --soak-seconds $(SOAK_SECONDS)

# The soaks that last as long as they are given: what a change has to pass besides the suite.
soak-short: $(VENV)/.test
	$(PYTEST) -m soak --soak-seconds 60 tests/unit/test_cache.py tests/cpu/test_fuzz_native.py

docs: $(VENV)/.base
	$(BIN)/python -m tilewright.runtime.switches > docs/switches.md
	$(BIN)/python -m tilewright.compiler.language.catalogue.pages docs/errors

clean:
	rm -rf $(VENV) $(TRITON) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
