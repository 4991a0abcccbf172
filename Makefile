# Each target first makes the virtual environment that it needs, in VENV, if there is none.
#
#   make demo                        the example project, with a provider, a worker and beat of its own
#   make test ARGS=tests/cache       the whole suite, or what lies in a path; the database tests on PostgreSQL and MariaDB
#                                    too. It is six runs, each of which collects all tests unless there is a path
#   make plain ARGS=tests/cache      of that one run, of what needs no other program: while you change something
#   make chaos                       workers and servers killed at random moments, in full: forty minutes
#   make fuzz                        what users, workers and faults do, in any order, and made-up inputs by the
#                                    hundred thousand: half an hour
#   make bench ARGS=--quick          what reads and refreshes cost, beside the peers; without ARGS half an hour
#   make docs                        the documentation as a site, in site/; a link that leads nowhere fails it
#   make lint PYTHON=python3.13      style, types, floors, migrations

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
DOCS_VENV ?= .venv-docs
ARGS ?=
FUZZ ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := PYTHONDEVMODE=1 $(BIN)/python -m pytest
# Hypothesis makes up four times as many inputs as in the plain suite.
WHOLE := --hypothesis-profile=whole
BESIDE := $(BIN)/python -m tests.services
REAL := redis or postgres or mariadb or dovecot or browser or worker or fuzz
# What mostly waits for a worker to come round.
WAITING := worker and not chaos
# ARGS may select no test of a kind, for which pytest's exit code is 5.
NONE_IS_FINE = || test $$? -eq 5 -a -n '$(subst ','\'',$(ARGS))'

.PHONY: demo test plain on-sqlite on-postgres on-mariadb on-workers chaos fuzz coverage lint docs bench clean

demo: $(VENV)/.demo
	$(BIN)/python manage.py demo $(ARGS)

# First what shares a machine, three at a time: what waits for workers, the database tests, and what needs no other
# program. Then, alone, what runs beside real servers; FUZZ=tenth lets it try a tenth of the inputs that `make fuzz`
# makes up.
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target on-postgres plain on-workers on-mariadb on-sqlite
	@echo "== The tests beside real servers and browsers"
	@MAIL_OAUTH_FUZZ=$(FUZZ) $(PYTEST) $(WHOLE) -m '($(REAL)) and not ($(WAITING))' $(ARGS) $(NONE_IS_FINE)

plain: $(VENV)/.dev
	@echo "== The tests that need no other program"
	@$(PYTEST) $(WHOLE) -p no:cacheprovider -m 'not ($(REAL))' $(ARGS) $(NONE_IS_FINE)

on-postgres on-mariadb: $(VENV)/.dev
	@echo "== The database tests: $@"
	@$(BESIDE) $(@:on-%=%) -- env $(PYTEST) -p no:cacheprovider -m 'database and not (browser or dovecot)' $(ARGS) $(NONE_IS_FINE)

# In a file, where processes and threads meet.
on-sqlite: $(VENV)/.dev
	@echo "== What commits: $@"
	@$(BESIDE) sqlite -- env $(PYTEST) -p no:cacheprovider -m 'commits and not (browser or dovecot)' $(ARGS) $(NONE_IS_FINE)

on-workers: $(VENV)/.dev
	@echo "== What waits for workers"
	@$(PYTEST) -p no:cacheprovider -m '$(WAITING)' $(ARGS) $(NONE_IS_FINE)

# The plain suite runs a tenth of it. MAIL_OAUTH_CHAOS_SEED repeats a run's choices.
chaos: $(VENV)/.dev
	MAIL_OAUTH_CHAOS=full $(PYTEST) -m chaos $(ARGS)

# Any order of connecting, refreshing, failing, crashing …, and any input: the plain suite takes a few short
# walks, and few inputs. MAIL_OAUTH_FUZZ_EXAMPLES says how many walks, MAIL_OAUTH_FUZZ_CASES how many callbacks, replies,
# id_tokens, documents and URLs; ARGS=--hypothesis-seed=N repeats a run.
fuzz: $(VENV)/.dev
	MAIL_OAUTH_FUZZ=full $(PYTEST) -m 'hypothesis or fuzz' --hypothesis-profile=fuzz $(ARGS)

coverage: $(VENV)/.dev
	$(BIN)/coverage run -m pytest $(WHOLE) $(ARGS)
	$(BIN)/coverage report

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run

docs: $(DOCS_VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --clean

# On PostgreSQL and Redis, as in production, in an environment that has the peers too. It writes
# docs/benchmark.md and its pictures; ARGS="--output FILE" puts them elsewhere.
bench: $(BENCH_VENV)/.bench
	$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(DOCS_VENV) build dist site *.egg-info .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf tests/browser/audits/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg | $(BIN)/python
	$(PIP) --editable '.[demo,postgres]'
	touch $@

# MariaDB's driver is compiled; where that cannot be done, its tests are skipped.
$(VENV)/.dev: setup.cfg tests/browser/audits/package-lock.json | $(BIN)/python
	$(PIP) --editable '.[test,lint,postgres]'
	$(PIP) --editable '.[mariadb]' || echo "The MariaDB driver could not be built: its tests will not run."
	npm --prefix tests/browser/audits ci --ignore-scripts --no-audit --no-fund --silent || \
	    echo "npm could not install the audits of pages: their tests will not run."
	touch $@

$(DOCS_VENV)/.docs: setup.cfg
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

$(BENCH_VENV)/.bench: setup.cfg
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,postgres,bench]'
	touch $@
