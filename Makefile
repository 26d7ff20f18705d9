# On a fresh machine: `make demo` and `make test`. They need only Python 3.11 or newer and make.

PYTHON ?= python3
AIRFLOW ?= 3.3.2
# Run only the tests of this lane: pure, ledger or airflow.
LANE ?=
# The soak of 20,000 calls, once for each policy. The other two pairs of policy and database take as long again.
ONLY ?= not short and not (two_hundred and (sqlite-resend or postgresql-hold))

NEWEST := 3.3.2
VERSIONS := 3.3.2 3.2.2 3.1.8 3.0.6 2.11.2
# Airflow 3.0 and 3.2 do not bound these packages, and start no task with later versions. Airflow 3.1 and 3.3 bound them so.
BOUNDS_OF_3_0 := cadwyn<6 fastapi<0.118
BOUNDS_OF_3_2 := fastapi<0.137
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt
# Seconds for which `make fuzz` changes answers at random.
SECONDS ?= 600
# How many mutants are tested at once.
JOBS ?= 2
# The databases of `make databases`: MariaDB with its own defaults, and MariaDB with MySQL's defaults.
MARIADBS ?= mariadb mariadb_as_mysql
VENV := .venv$(if $(filter-out $(NEWEST),$(AIRFLOW)),-$(AIRFLOW))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS_INSTALLED := $(VENV)/.peers-installed
DOCS_INSTALLED := $(VENV)/.docs-installed
RELEASE_INSTALLED := $(VENV)/.release-installed
WEB_INSTALLED := node_modules/.installed
GROUP := dev
# The command that installs Debian's packages for a target. The targets below only print it.
DEBIAN := apt-get update && apt-get install -y --no-install-recommends

# As pip does: behind a proxy that decrypts TLS, only the system trusts the proxy's certificate.
export UV_SYSTEM_CERTS := true
# Otherwise each process compiles all of Airflow anew. To compile everything at installation takes a minute, and most
# of it is never imported.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo up test coverage coverage-gate test-matrix browser e2e chaos celery celery-proof databases \
  databases-tests databases-soak databases-soak-tests events events-tests soak fuzz mutants bench bench-quick lint \
  lint-python lint-prose lint-web types docs docs-vendors changelog ci nightly constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 picks the interpreter, AIRFLOW=2.11.2 another version of: $(VERSIONS)"

install: $(INSTALLED) $(DOCS_INSTALLED) $(WEB_INSTALLED) ## Install what most other targets need, at once

demo: $(INSTALLED) ## Deliver a small warehouse through a real Airflow to the sandbox, and compare the counts
	@$(BIN)/python -m demo.run

up: $(INSTALLED) ## Airflow's UI with the sample DAGs and the sandbox, until Ctrl-C
	@$(BIN)/python -m demo.up

test: $(INSTALLED) ## Run the tests, on all cores; LANE=pure, ledger or airflow runs one lane
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(LANE),-m "$(LANE)",$(COVER))

coverage: $(INSTALLED) ## Run the tests, and fail if they reach too few branches of the package
	@$(MAKE) --no-print-directory test COVER="--cov --cov-report="
	@$(MAKE) --no-print-directory coverage-gate

# Reads the coverage data of the last run with --cov.
coverage-gate: $(INSTALLED)
	$(BIN)/python -m coverage report --include='*/records/*,*/delivery/*' --fail-under=97
	$(BIN)/python -m coverage report --omit='*/records/*,*/delivery/*' --fail-under=90

test-matrix: ## Run the lanes of the tests with every supported Airflow and Python, and with the lowest versions
	@.ci/run matrix

e2e: $(INSTALLED) ## Kill, repeat and stop whole DAGs in a running Airflow; install the wheel (15 minutes)
	$(BIN)/python -m pytest -m "e2e or wheel"

chaos: $(INSTALLED) ## Kill deliveries, measure memory with big inputs, run short benchmarks (5 minutes)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "long and not (browser or databases or e2e or events or soak or wheel)"

browser: $(INSTALLED) ## Test the form, sample DAGs and both pages in a real browser; needs Debian's chromium (10 minutes)
	@command -v chromium > /dev/null || { echo "chromium is not installed. As root: $(DEBIAN) chromium"; exit 1; }
	$(BIN)/python -m pytest -m browser

celery: ## Kill a worker of an Airflow on Celery, Redis and PostgreSQL; needs Debian's redis-server (10 minutes)
	@$(MAKE) --no-print-directory celery-proof GROUP=celery VENV=.venv-celery CONSTRAINTS=constraints/celery.txt

celery-proof: $(INSTALLED)
	$(BIN)/python -m benchmarks.celery_proof

databases: ## Run all tests of ledgers on MariaDB, and test drivers of other databases; needs Debian's mariadb-server, pgbouncer, libmariadb-dev, faketime (20 minutes)
	@$(MAKE) --no-print-directory databases-tests GROUP=databases VENV=.venv-databases CONSTRAINTS=constraints/databases.txt

databases-tests: $(INSTALLED)
	$(BIN)/python -m pytest -m databases
	LEDGER_DATABASES="$(MARIADBS)" $(BIN)/python -m pytest -n auto --dist worksteal -k mariadb \
	  -m "not (browser or databases or e2e or soak or wheel)"

databases-soak: ## Deliver 20,000 calls with 200 kills and the ledger in MariaDB, and compare the counts (15 minutes)
	@$(MAKE) --no-print-directory databases-soak-tests GROUP=databases VENV=.venv-databases CONSTRAINTS=constraints/databases.txt

databases-soak-tests: $(INSTALLED)
	LEDGER_DATABASES=mariadb $(BIN)/python -m pytest tests/chaos -m soak -s -k "two_hundred and mariadb-hold"

events: ## Test lineage as OpenLineage's provider writes it, and messages in Redis; needs Debian's redis-server (10 minutes)
	@command -v redis-server > /dev/null || { echo "redis-server is not installed. As root: $(DEBIAN) redis-server"; exit 1; }
	@$(MAKE) --no-print-directory events-tests GROUP=events VENV=.venv-events CONSTRAINTS=constraints/events.txt

events-tests: $(INSTALLED)
	$(BIN)/python -m pytest -m events

soak: $(INSTALLED) ## Kill and stop deliveries hundreds of times, and compare the counts (20 minutes; ONLY= picks other tests)
	$(BIN)/python -m pytest tests/chaos -m soak -s -k "$(ONLY)"

fuzz: $(INSTALLED) ## Read answers that are changed at random (10 minutes; SECONDS= sets the time)
	$(BIN)/python -m tests.delivery.wire.bytewise --seconds $(SECONDS)

# The default of ONLY above is for the soak.
mutants: ONLY =
mutants: $(INSTALLED) ## Change the rules one by one, and count the changes that the tests notice (30 minutes; ONLY= picks subjects)
	$(BIN)/python -m tests.mutants.run --jobs $(JOBS) --only "$(ONLY)"

bench: $(PEERS_INSTALLED) ## Run the benchmarks, compared with other tools; needs Debian's nginx-light (2 hours)
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

bench-quick: $(PEERS_INSTALLED) ## Measure the main lines of the hot path's table, less exactly; writes nothing (5 minutes)
	$(BIN)/python -m benchmarks.targets --quick

lint: lint-python lint-prose lint-web ## Check style and format of Python, prose, JavaScript and CSS

lint-python: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# .ci/prose.json says how often each rule may be broken.
lint-prose: $(INSTALLED)
	$(BIN)/python .ci/prose.py
	$(BIN)/codespell

lint-web: $(WEB_INSTALLED)
	@PATH="$(WEB_PATH)" node_modules/.bin/biome check --error-on-warnings

types: $(INSTALLED) ## Check types
	$(BIN)/mypy

docs: $(DOCS_INSTALLED) ## Build the documentation into site/; readable without a network
	$(BIN)/python -m mkdocs build --strict
	@echo "site/index.html"

changelog: $(RELEASE_INSTALLED) ## Show the entries in changes/; RELEASE=0.1.0 writes them into CHANGELOG.md as that version's
	@$(BIN)/python -m towncrier build $(if $(RELEASE),--yes --version $(RELEASE),--draft --version next)

docs-vendors: $(INSTALLED) ## Write the vendor presets' pages anew
	@set -e; for page in docs/vendors/[a-z]*.md; do \
	  $(BIN)/python -m airflow_provider_impactcall.records.vendors $$(basename $$page .md) > $$page.new; \
	  mv $$page.new $$page; \
	  echo $$page; \
	done

ci: ## Run everything that a change has to pass (45 minutes)
	.ci/run

nightly: ## Run everything, without a time limit: the whole soak, Celery, databases, events, all lanes on all versions, all examples, mutants
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
	@echo "Installing the tools that the benchmarks compare with"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group bench
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@echo "Installing the tools that build the documentation"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group docs
	@touch $@

$(RELEASE_INSTALLED): $(INSTALLED)
	@echo "Installing the tool that joins the entries of the changelog"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --group release
	@touch $@

# npm and node of the machine, else those of a wheel on PyPI.
WEB_PATH := $(PATH)$(if $(shell command -v npm),,:$(CURDIR)/$(BIN))

$(WEB_INSTALLED): package.json | $(if $(shell command -v npm),,$(BIN)/npm)
	@echo "Installing the linter of JavaScript and CSS"
	@PATH="$(WEB_PATH)" npm install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

$(BIN)/npm: | $(INSTALLED)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group web

# With uv if it is already installed, because venv and pip take ten times as long.
$(BIN)/uv:
	@if [ -x .venv/bin/uv ]; then \
	  .venv/bin/uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
	  .venv/bin/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) uv; \
	else \
	  $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv; \
	fi
