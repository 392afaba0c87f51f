# Everything that is made goes into .venv and build; a run's answers go into runs, which nothing here deletes.
# Paths are relative, since make cannot cope with a folder whose name has a space in it.

PYTHON ?= python3
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
# Twice as many tests at once as there are processors: most of them wait.
PYTEST := $(RUN) -m pytest -n 4

.PHONY: help demo test test-real test-model bench crash format clean

help:  ## list what there is to make
	@sed -n 's/^\([a-z-]*\):.*  ## /make \1	/p' Makefile

demo: .venv/.installed  ## install, label 60 reviews with the embedded simulator, show the answers as a table
	@$(RUN) -m batchrun run jobs/label_reviews.toml --simulate -o runs/demo
	@echo
	@$(RUN) jobs/show.py runs/demo/results.parquet id label confidence reason
	@echo
	@echo "Cost: none, the simulator made these answers up. All rows and columns: runs/demo/results.parquet"

test: .venv/.installed-dev  ## install, and check all: format, lint, types, import contracts, tests, the wheel
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	.venv/bin/lint-imports --no-logo
	$(PYTEST)
	@echo "Now what a user gets: the wheel."
	@rm -rf build
	$(RUN) -m build --wheel --no-isolation --outdir build/dist >/dev/null
	@$(PIP) --no-deps --no-index --target build/wheel build/dist/*.whl
# Safe path: or `python -m` would find the sources in this folder first. Absolute: some tests run batchrun from elsewhere.
	BATCHRUN_FROM_WHEEL=1 PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/build/wheel" \
	  $(PYTEST) tests/end_to_end tests/test_jobs.py tests/test_packaging.py

test-real: .venv/.installed-dev  ## install servers made by others into .venv-real, and run batchrun against them (5 min)
	@$(RUN) tests/real/environments.py
	$(PYTEST) -rs --dist loadfile tests/real --ignore=tests/real/test_models.py

test-model: .venv/.installed-dev  ## the same with servers of real models, tiny and made on the spot (10 min the first time)
	@$(RUN) tests/real/environments.py transformers llama-cpp
	$(RUN) -m pytest tests/real/test_models.py

bench: .venv/.installed-dev  ## measure what a row costs (10 min) and the limit (6 min), beside the last run; QUICK=1: 2 min
	$(RUN) tests/benchmarks $(if $(QUICK),--quick)
	$(if $(QUICK),,$(RUN) tests/benchmarks/limits.py)
	$(if $(QUICK),,$(RUN) tests/benchmarks/sockets.py)

crash: .venv/.installed-dev  ## kill runs 500 times, and count at the endpoint what was lost or bought again (5 min)
	$(RUN) tests/crash.py --kills 500

format: .venv/.installed-dev  ## format the code, fix what the linter can fix, write the tables of the documentation
	$(RUN) -m ruff check --fix --exit-zero .
	$(RUN) -m ruff format .
	$(RUN) tests/harness/reference.py

clean:  ## remove what was made here; keep runs
	rm -rf .venv .venv-real build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find batchrun tests jobs -name __pycache__ -prune -exec rm -rf {} +

.venv/.made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
	  "$(PYTHON) is missing or older than 3.11; install Python 3.11, or name another: make demo PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { echo >&2 \
	  "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@echo "Making a virtual environment in .venv ..."
	@"$(PYTHON)" -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml
	@echo "Installing batchrun ..."
	@$(PIP) --editable .
	@touch $@

.venv/.installed-dev: .venv/.made pyproject.toml
	@echo "Installing batchrun and the tools to check it ..."
	@$(PIP) --editable '.[dev]'
	@touch .venv/.installed $@
