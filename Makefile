# `make demo` and `make test` set up .venv on their first run and need nothing else.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
INSTALLED_DOCS := $(VENV)/.installed-docs

.PHONY: demo test lint docs clean

demo: $(INSTALLED)
	$(VENV)/bin/aae demo

test: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict
	$(VENV)/bin/lint-imports
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n logical --maxprocesses 4 --dist loadfile --cov --cov-report term

lint: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The user guide, with the examples run; their pictures are kept in docs/gallery until the scripts change.
docs: $(INSTALLED_DOCS)
	OMP_NUM_THREADS=1 $(VENV)/bin/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) runs docs/_build docs/gallery docs/api/generated
