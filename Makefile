# On a fresh machine: `make demo` and `make test`. Needs Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
AIRFLOW ?= 3.3.2
# Of the tests, those of a lane: pure, ledger or airflow.
LANE ?=
# The soak of 20,000 calls for each policy once; the other two pairs of policy and database take as long again.
ONLY ?= not short and not (two_hundred and (sqlite-resend or postgresql-hold))

NEWEST := 3.3.2
VERSIONS := 3.3.2 3.2.2 3.1.8 3.0.6 2.11.2
# Airflow 3.0 and 3.2 do not bound these, and start no task with later ones; Airflow 3.1 and 3.3 have these bounds.
BOUNDS_OF_3_0 := cadwyn<6 fastapi<0.118
BOUNDS_OF_3_2 := fastapi<0.137
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt
# How long answers are changed at random.
SECONDS ?= 600
# Mutants that are tested at once.
JOBS ?= 2
# Of which kind the databases of make databases are: MariaDB with its own defaults, and with MySQL's.
MARIADBS ?= mariadb mariadb_as_mysql
VENV := .venv$(if $(filter-out $(NEWEST),$(AIRFLOW)),-$(AIRFLOW))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS_INSTALLED := $(VENV)/.peers-installed
DOCS_INSTALLED := $(VENV)/.docs-installed
RELEASE_INSTALLED := $(VENV)/.release-installed
WEB_INSTALLED := node_modules/.installed
GROUP := dev
# Debian's packages that a target needs, as a command; only `make debian` runs it.
DEBIAN := apt-get update && apt-get install -y --no-install-recommends

# As pip does: behind a proxy that looks into TLS, only the system knows its certificate.
export UV_SYSTEM_CERTS := true
# Else each process compiles all of Airflow anew. To compile everything when it is installed takes a minute, and most
# of that is never imported.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo up test coverage coverage-gate test-matrix browser e2e chaos celery celery-proof databases \
  databases-tests databases-soak databases-soak-tests events events-tests soak fuzz mutants bench bench-quick lint \
  lint-python lint-prose lint-web types docs docs-vendors changelog ci nightly constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 picks the interpreter, AIRFLOW=2.11.2 another version of: $(VERSIONS)"

install: $(INSTALLED) $(DOCS_INSTALLED) $(WEB_INSTALLED) ## Everything that the other targets install, at once

demo: $(INSTALLED) ## Deliver a small warehouse through a real Airflow to the sandbox, and compare the counts
	@$(BIN)/python -m demo.run

up: $(INSTALLED) ## Airflow's UI with the sample DAGs and the sandbox, until Ctrl-C
	@$(BIN)/python -m demo.up

test: $(INSTALLED) ## Run the tests, on all cores; LANE=pure, ledger or airflow runs one lane
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(LANE),-m "$(LANE)",$(COVER))

coverage: $(INSTALLED) ## The tests, and the branches of the package that they reach, compared with the gate
	@$(MAKE) --no-print-directory test COVER="--cov --cov-report="
	@$(MAKE) --no-print-directory coverage-gate

# Of the last run of the tests with --cov.
coverage-gate: $(INSTALLED)
	$(BIN)/python -m coverage report --include='*/records/*,*/delivery/*' --fail-under=97
	$(BIN)/python -m coverage report --omit='*/records/*,*/delivery/*' --fail-under=90

test-matrix: ## The lanes of the tests with every Airflow and Python that people run, and the lowest versions
	@.ci/run matrix

e2e: $(INSTALLED) ## Whole DAGs killed, repeated and stopped in a running Airflow; the wheel installed (15 minutes)
	$(BIN)/python -m pytest -m "e2e or wheel"

chaos: $(INSTALLED) ## Deliveries that are killed, memory with big inputs, the benchmarks in small (5 minutes)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "long and not (browser or databases or e2e or events or soak or wheel)"

browser: $(INSTALLED) ## The form, sample DAGs and both pages in a real browser; needs Debian's chromium (10 minutes)
	@command -v chromium > /dev/null || { echo "There is no chromium. As root: $(DEBIAN) chromium"; exit 1; }
	$(BIN)/python -m pytest -m browser

celery: ## Airflow on Celery, Redis and PostgreSQL, a worker killed; needs Debian's redis-server (10 minutes)
	@$(MAKE) --no-print-directory celery-proof GROUP=celery VENV=.venv-celery CONSTRAINTS=constraints/celery.txt

celery-proof: $(INSTALLED)
	$(BIN)/python -m benchmarks.celery_proof

databases: ## Ledgers in MariaDB by all tests of ledgers; drivers of other databases; needs Debian's mariadb-server, pgbouncer, libmariadb-dev, faketime (20 minutes)
	@$(MAKE) --no-print-directory databases-tests GROUP=databases VENV=.venv-databases CONSTRAINTS=constraints/databases.txt

databases-tests: $(INSTALLED)
	$(BIN)/python -m pytest -m databases
	LEDGER_DATABASES="$(MARIADBS)" $(BIN)/python -m pytest -n auto --dist worksteal -k mariadb \
	  -m "not (browser or databases or e2e or soak or wheel)"

# Its 20,000 calls, and 200 kills, with the ledger in MariaDB.
databases-soak: ## Kill deliveries whose ledger is in MariaDB, and count (15 minutes)
	@$(MAKE) --no-print-directory databases-soak-tests GROUP=databases VENV=.venv-databases CONSTRAINTS=constraints/databases.txt

databases-soak-tests: $(INSTALLED)
	LEDGER_DATABASES=mariadb $(BIN)/python -m pytest tests/chaos -m soak -s -k "two_hundred and mariadb-hold"

events: ## Lineage as OpenLineage's provider writes it, messages in Redis; needs Debian's redis-server (10 minutes)
	@command -v redis-server > /dev/null || { echo "redis-server is not installed. As root: $(DEBIAN) redis-server"; exit 1; }
	@$(MAKE) --no-print-directory events-tests GROUP=events VENV=.venv-events CONSTRAINTS=constraints/events.txt

events-tests: $(INSTALLED)
	$(BIN)/python -m pytest -m events

soak: $(INSTALLED) ## Kill and stop deliveries hundreds of times, and count (20 minutes; ONLY= picks others)
	$(BIN)/python -m pytest tests/chaos -m soak -s -k "$(ONLY)"

fuzz: $(INSTALLED) ## Read answers that are changed at random (10 minutes; SECONDS= for longer)
	$(BIN)/python -m tests.delivery.wire.bytewise --seconds $(SECONDS)

# What ONLY is without a word from whoever calls, is the soak's.
mutants: ONLY =
mutants: $(INSTALLED) ## Change the rules one by one, and count what the tests notice (30 minutes; ONLY= picks subjects)
	$(BIN)/python -m tests.mutants.run --jobs $(JOBS) --only "$(ONLY)"

bench: $(PEERS_INSTALLED) ## What is measured, side by side with peers; needs Debian's nginx-light (2 hours)
	$(BIN)/python -m benchmarks.targets
	$(BIN)/python -m benchmarks.profile
	$(BIN)/python -m benchmarks.throughput --rows plain
	$(BIN)/python -m benchmarks.profile --rows plain
	$(BIN)/python -m benchmarks.skipping --rows plain
	$(BIN)/python -m benchmarks.mapping --rows plain
	$(BIN)/python -m benchmarks.million --rows plain
	$(BIN)/python -m benchmarks.ledgers
	$(BIN)/python -m benchmarks.distances
	$(BIN)/python -m benchmarks.importing

bench-quick: $(PEERS_INSTALLED) ## The main lines of the hot path's table, roughly; writes nothing (5 minutes)
	$(BIN)/python -m benchmarks.targets --quick

lint: lint-python lint-prose lint-web ## Check style and format, of Python, prose, JavaScript and CSS

lint-python: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# prose.json has how often each rule may be broken.
lint-prose: $(INSTALLED)
	$(BIN)/python .ci/prose.py

lint-web: $(WEB_INSTALLED)
	@PATH="$(WEB_PATH)" node_modules/.bin/biome check --error-on-warnings

types: $(INSTALLED) ## Check types
	$(BIN)/mypy

docs: $(DOCS_INSTALLED) ## Build the documentation into site/; it needs no network to be read
	$(BIN)/python -m mkdocs build --strict
	@echo "site/index.html"

changelog: $(RELEASE_INSTALLED) ## Show what changes/ says; RELEASE=0.1.0 writes it into CHANGELOG.md as that version's
	@$(BIN)/python -m towncrier build $(if $(RELEASE),--yes --version $(RELEASE),--draft --version next)

docs-vendors: $(INSTALLED) ## Write the vendor presets' pages anew
	@set -e; for page in docs/vendors/[a-z]*.md; do \
	  $(BIN)/python -m airflow_provider_impactcall.records.vendors $$(basename $$page .md) > $$page.new; \
	  mv $$page.new $$page; \
	  echo $$page; \
	done

ci: ## Everything that has to pass before a change lands (45 minutes)
	.ci/run

nightly: ## Everything, however long it takes: the whole soak, Celery, databases, events, all lanes on all versions, all examples, mutants
	.ci/run nightly

constraints: $(BIN)/uv ## Write constraints/ anew, from the newest releases
	@set -e; for version in $(VERSIONS); do \
	  file=constraints/airflow-$$version.txt; \
	  echo "# What make installs with Airflow $$version, resolved for Python 3.11. Written by: make constraints" > $$file.new; \
	  case $$version in 3.0.6) bounds='$(BOUNDS_OF_3_0)' ;; 3.2.2) bounds='$(BOUNDS_OF_3_2)' ;; *) bounds= ;; esac; \
	  printf '%s\n' "apache-airflow==$$version" $$bounds \
	    | $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 \
	    --group dev --group bench --group docs --group release pyproject.toml - >> $$file.new; \
	  mv $$file.new $$file; \
	  echo $$file; \
	done; \
	file=constraints/celery.txt; \
	echo "# What make celery installs, with Airflow $(NEWEST). Written by: make constraints" > $$file.new; \
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --group celery pyproject.toml \
	  --constraint constraints/airflow-$(NEWEST).txt >> $$file.new; \
	mv $$file.new $$file; \
	echo $$file; \
	file=constraints/databases.txt; \
	cp constraints/airflow-$(NEWEST).txt $$file.new; \
	echo "apache-airflow==$(NEWEST)" \
	  | $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --group databases pyproject.toml - \
	  --output-file $$file.new > /dev/null; \
	{ echo "# What make databases installs, with Airflow $(NEWEST). Written by: make constraints"; cat $$file.new; } > $$file; \
	rm $$file.new; \
	echo $$file; \
	file=constraints/events.txt; \
	echo "# What make events installs, with Airflow $(NEWEST). Written by: make constraints" > $$file.new; \
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --group events pyproject.toml \
	  --constraint constraints/airflow-$(NEWEST).txt >> $$file.new; \
	mv $$file.new $$file; \
	echo $$file; \
	file=constraints/airflow-lowest.txt; \
	echo "# The lowest versions that pyproject.toml allows, and what make installs with them. Written by: make constraints" \
	  > $$file.new; \
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --resolution lowest-direct pyproject.toml \
	  | { cat; echo "universal-pathlib<0.3 # Airflow 2.11.0 does not bound it, and cannot open file:// with a later one"; } \
	  | $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --group dev pyproject.toml - \
	  >> $$file.new; \
	mv $$file.new $$file; \
	echo $$file

clean: ## Remove everything that make made
	rm -rf .venv .venv-* .demo build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis node_modules

$(INSTALLED): pyproject.toml $(CONSTRAINTS) | $(BIN)/uv
	@echo "Installing this package with Airflow $(AIRFLOW) into $(VENV)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --exact --constraint $(CONSTRAINTS) --group $(GROUP) --editable .
	@touch $@

$(PEERS_INSTALLED): $(INSTALLED)
	@echo "Installing what the benchmarks compare with"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group bench
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@echo "Installing what the documentation is built with"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group docs
	@touch $@

$(RELEASE_INSTALLED): $(INSTALLED)
	@echo "Installing what joins the fragments of the changelog"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group release
	@touch $@

# npm and node: the machine's, else those that PyPI has as a wheel.
WEB_PATH := $(PATH)$(if $(shell command -v npm),,:$(CURDIR)/$(BIN))

$(WEB_INSTALLED): package.json | $(if $(shell command -v npm),,$(BIN)/npm)
	@echo "Installing what lints JavaScript and CSS"
	@PATH="$(WEB_PATH)" npm install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

$(BIN)/npm: | $(INSTALLED)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group web

# With uv where there is one already, as venv and pip take ten times as long.
$(BIN)/uv:
	@if [ -x .venv/bin/uv ]; then \
	  .venv/bin/uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
	  .venv/bin/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) uv; \
	else \
	  $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv; \
	fi
