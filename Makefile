# Install Python 3.11 or newer and Java 17 or 21; `make demo` and `make test` do the rest.
.DEFAULT_GOAL := help
# Targets run one after the other, even with -j, since each starts Spark with all cores.
.NOTPARALLEL:
.PHONY: help environment demo test test_slow test_every_kill benchmark docs check format clean distclean

PYTHON_IN_VENV := .venv/bin/python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z_]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

environment: ## Make .venv with the pinned dependencies and fetch Delta's jars, unless that is done
	@sh deploy/environment.sh

demo: environment ## Run the demo on a year of New York flights: jobs, training set, report under output/
	$(PYTHON_IN_VENV) jobs/demo.py

test: environment ## Run the tests, except the slow ones
	$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile -m "not slow"

test_slow: environment ## Run the slow tests: spark-submit, a cluster, the benchmark's engines, most pages of the docs
	$(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile -m slow

test_every_kill: environment ## Kill every job after each of its steps; test_slow kills after some of them
	EVERY_KILL=1 $(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile -m slow -k killed

benchmark: environment ## Compare the as-of join with its peers on a million rows (other sizes: benchmarks/README.md)
	$(PYTHON_IN_VENV) benchmarks/point_in_time.py

docs: environment ## Build the documentation, output/docs/index.html; fails on broken links and missing pages
	NO_MKDOCS_2_WARNING=1 $(PYTHON_IN_VENV) -m mkdocs build --strict --quiet

check: environment ## Run ruff and mypy
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m mypy

format: environment ## Let ruff fix and format the code
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .

clean: ## Remove output/ (the demo's tables and reports) and caches
	rm -rf output build dist spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Also remove .venv, .ivy and the editable install
	rm -rf .venv .ivy *.egg-info
