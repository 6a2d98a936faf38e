# Two commands: `make quickstart` and `make test`. Both do all of their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The half of the tests that is about cost models, predictors and designs.
MODELS := tests/evaluators tests/predictors tests/design tests/exact tests/test_conformance.py

.PHONY: quickstart test test-models test-rest lint setup clean

quickstart: $(VENV)/.ready
	$(BIN)/hwnas run studies/quickstart.yaml

# Two halves side by side, each one process: most tests keep one core busy.
test: $(VENV)/.ready lint
	$(MAKE) --jobs 2 --keep-going --output-sync=target test-models test-rest

test-models: $(VENV)/.ready
	$(BIN)/pytest $(MODELS)

test-rest: $(VENV)/.ready
	$(BIN)/pytest $(addprefix --ignore=,$(MODELS))

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/.ready

# xgboost-cpu is the small build of xgboost, with the same import.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[torch,dashboard,test]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) build dist
