# Two commands: `make quickstart` and `make test`. Both do all of their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test lint setup clean

quickstart: $(VENV)/.ready
	$(BIN)/hwnas run studies/quickstart.yaml

test: $(VENV)/.ready lint
	$(BIN)/pytest

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
