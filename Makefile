# These commands write into .venv and build. Answers of runs go into runs, which no command here deletes.
# Paths are relative: make cannot handle a folder with a space in its name.

PYTHON ?= python3
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
# Twice as many processes as CI has processors: most tests wait. A process without tests takes over half of what another
# has left: otherwise one of them works alone at the end, for 100 s of 590.
PYTEST := $(RUN) -m pytest -n 4 --dist worksteal
# The tests that also run on the wheel: every command, the report's page, and each process that batchrun starts. Most tests
# of publishing have an SDK of their own in the path of modules, in the place of the wheel.
PUBLISH := a_run_ends_normally_if_publishing_fails a_failed_publication_is_reported_even_with_quiet
WHEEL := test_packaging.py test_jobs.py $(patsubst %,end_to_end/test_%.py,first_run commands report) \
  $(PUBLISH:%=end_to_end/test_publish.py::test_%) engine/test_row_counter.py storage/test_apart.py

.PHONY: help demo test test-real test-model test-ray bench soak crash power format clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*  ## /make \1	/p' Makefile

demo: .venv/.installed  ## install, label 60 reviews with the embedded simulator, show the answers as a table
	@$(RUN) -m batchrun run jobs/label_reviews.toml --simulate -o runs/demo
	@echo
	@$(RUN) -m batchrun show runs/demo id label confidence reason
	@echo
	@echo "Cost: none, the simulator made these answers up. All rows and columns: runs/demo/results.parquet"

# Tests start hundreds of processes. Without compiled modules each takes twice as long to start.
test test-real test-model test-ray: export PYTHONDONTWRITEBYTECODE :=

test: .venv/.installed-dev  ## install, then check format, lint, types, import contracts, tests and the wheel
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	.venv/bin/lint-imports --no-logo
	@mkdir -p build
# The first time, mypy takes 20 s on one processor: the tests run meanwhile. They are compiled first: otherwise each of the
# four processes would compile them all.
	$(RUN) -m mypy >build/types.txt 2>&1 & types=$$!; \
	  [ -d tests/__pycache__ ] || $(RUN) -m pytest --collect-only -qq >/dev/null; \
	  $(PYTEST); code=$$?; wait $$types || code=$$?; cat build/types.txt; exit $$code
	@echo "Testing the wheel, as users install it."
	@rm -rf build
	$(RUN) -m build --wheel --no-isolation --outdir build/dist >/dev/null
	@$(PIP) --no-deps --no-index --target build/wheel build/dist/*.whl
# The wheel is the sources byte for byte, which test_packaging checks: left to show is that it finds its files and starts
# its processes where it is installed.
# Safe path: otherwise `python -m` imports the sources in this folder. Absolute: some tests change the directory.
	BATCHRUN_FROM_WHEEL=1 PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/build/wheel" \
	  $(PYTEST) $(WHEEL:%=tests/%)

test-real: .venv/.installed-dev  ## install other projects' servers into .venv-real and run batchrun against them (5 min)
	@$(RUN) tests/real/environments.py
	$(PYTEST) -rs --dist loadfile tests/real --ignore=tests/real/test_models.py

test-model: .venv/.installed-dev  ## the same with servers of real models, tiny ones made here (10 min the first time)
	@$(RUN) tests/real/environments.py transformers llama-cpp
	$(RUN) -m pytest tests/real/test_models.py

test-ray: .venv/.installed-dev  ## kill workers, nodes and drivers of Ray clusters, cut their network, and run there what end-to-end tests run (1 h; needs root)
	@$(RUN) tests/real/environments.py ray
	$(RUN) -m pytest -s -rs tests/on_ray
	BATCHRUN_ENGINE=ray $(RUN) -m pytest -rs tests/end_to_end

bench: .venv/.installed-dev  ## measure costs per row (10 min), the limit (6 min), a Ray cluster (20 min); QUICK=1: 2 min
	$(RUN) tests/benchmarks $(if $(QUICK),--quick)
	$(if $(QUICK),,$(RUN) tests/benchmarks/limits.py)
	$(if $(QUICK),,$(RUN) tests/benchmarks/sockets.py)
	$(if $(QUICK),,$(RUN) tests/benchmarks/several.py)
	$(if $(QUICK),,$(RUN) tests/benchmarks/workers.py)
	$(if $(QUICK),,$(RUN) tests/benchmarks/cluster.py)

soak: .venv/.installed-dev  ## eight hours of virtual time, then one real hour, with faults of every kind: memory must stay flat
	$(RUN) tests/benchmarks/soak.py
	$(RUN) tests/benchmarks/soak.py --real-s 3600

crash: .venv/.installed-dev  ## kill runs 500 times and count at the endpoint what was lost or bought again (10 min)
	$(RUN) tests/crash.py --kills 500
	$(RUN) tests/batch_crash.py --kills 100

power: .venv/.installed-dev  ## cut the power of runs, batches and commands 300 times, as a disk may then be, and count what was lost (15 min)
	$(RUN) tests/power.py --cuts 300

format: .venv/.installed-dev  ## format the code, fix what the linter can fix, write the tables of the documentation
	$(RUN) -m ruff check --fix --exit-zero .
	$(RUN) -m ruff format .
	$(RUN) tests/harness/reference.py

clean:  ## remove everything that these commands made, except runs
	rm -rf .venv .venv-real build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find batchrun tests jobs -name __pycache__ -prune -exec rm -rf {} +

.venv/.made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
	  "$(PYTHON) is missing or older than 3.11; install Python 3.11 or name another one: make demo PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { echo >&2 \
	  "$(PYTHON) cannot create virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@echo "Creating a virtual environment in .venv ..."
	@"$(PYTHON)" -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml
	@echo "Installing batchrun ..."
	@$(PIP) --editable .
	@touch $@

.venv/.installed-dev: .venv/.made pyproject.toml
	@echo "Installing batchrun and its development tools ..."
	@$(PIP) --editable '.[dev]'
	@touch .venv/.installed $@
