# Everything a developer or a fresh machine needs. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLAVOUR ?= mysql
STAMP := $(VENV)/.installed
export PYTHONPATH := scripts
# Compiled once and beside the tree, also where the environment says otherwise: the tests start a thousand processes.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache

.DEFAULT_GOAL := help
.PHONY: help install demo run test test-unit lint types bench bench-apply bench-codec bench-proxy bench-pause bench-lag faults alternate lab clean cases campaign-ddl campaign-kill large

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Make .venv with Segue and all that its development needs

# A venv that was copied or half made is made anew. ensurepip is a Debian package of its own.
$(STAMP): pyproject.toml $(wildcard daemon/segue/*/_*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; give it with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/install-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

demo: install ## A switchover under load on real servers, there and back (FLAVOUR=mysql or mariadb)
	@$(BIN)/python scripts/demo.py --flavour $(FLAVOUR)

run: install ## Run the daemon with CONFIG=file
	@$(BIN)/segue run -c $(or $(CONFIG),config/segue.toml)

test: install ## All tests, on real servers (fetched at first use), two files at a time (ARGS=-n0: one)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-long
test-long: install ## The slow tests with all their repetitions: 20 switchovers in a row, 10 kills, ...
	@SEGUE_LONG=1 SEGUE_KILLS=20 $(BIN)/python -m pytest -q -m slow --timeout 1800 $(ARGS)

test-unit: install ## Tests that need no server
	@$(BIN)/python -m pytest -q tests/unit $(ARGS)

.PHONY: fuzz
fuzz: install ## 10 million packets through the proxy's sessions and through the compiled path (PACKETS=, SEED=), then a minute of the other targets
	@PYTHONPATH=scripts:. $(BIN)/python -m tests.fuzz.protocol $(or $(PACKETS),10000000) $(SEED)
	@PYTHONPATH=scripts:. $(BIN)/python -m tests.fuzz.compiled $(or $(PACKETS),10000000) $(SEED)
	@PYTHONPATH=scripts:. $(BIN)/python -m tests.fuzz.targets 60

.PHONY: drivers
drivers: install ## Java's and Go's drivers through switchovers (fetches 160 MB)
	@$(BIN)/python -m pytest -q -m drivers tests/drivers $(ARGS)

matrix: install ## Every type by every pairing and path into docs/type-matrix.md, then random schemas (ROUNDS=20) for each pairing
	@folder=$$(mktemp -d) && SEGUE_LONG=1 SEGUE_MATRIX=$$folder $(BIN)/python -m pytest -q tests/integration/test_type_matrix.py \
	  && PYTHONPATH=scripts:. $(BIN)/python -m type_table $$folder; code=$$?; rm -rf $$folder; exit $$code
	@for pair in mysql-mysql mariadb-mariadb mariadb-mysql mysql-mariadb; do SEGUE_RANDOM_PAIRING=$$pair \
	  SEGUE_RANDOM_ROUNDS=$(or $(ROUNDS),20) $(BIN)/python -m pytest -q --timeout 3600 tests/integration/test_random_schemas.py || exit 1; done

lint: install ## ruff, and systemd's own check of the unit where it is installed
	@$(BIN)/ruff check .
	@scripts/check-unit

types: install ## mypy, strict
	@$(BIN)/mypy

bench: bench-apply bench-codec bench-proxy bench-lag ## All benchmarks, each against its named rival

bench-apply: install ## Segue against the servers' own multi-threaded replication
	@$(BIN)/python benchmarks/apply.py $(ARGS)

bench-codec: install ## Cost of reading rows, against mysql-replication's decoder
	@$(BIN)/python benchmarks/codec.py $(ARGS)

.PHONY: bench-verify bench-percona soak-verify
bench-verify: install ## Comparing against copying and pt-table-sync; what a proof adds to the pause
	@$(BIN)/python benchmarks/verify.py $(ARGS)
	@$(BIN)/python benchmarks/pause.py

bench-percona: install ## Planted differences: segue verify, pt-table-checksum and pt-table-sync side by side
	@$(BIN)/python benchmarks/percona.py $(ARGS)

soak-verify: install ## Comparisons one after another under misleading load: no false alarm (an hour)
	@$(BIN)/python benchmarks/soak.py $(ARGS)

bench-proxy: install ## Segue's proxy against direct, HAProxy and MySQL Router; memory of idle clients
	@$(BIN)/python benchmarks/proxy.py $(ARGS)
	@$(BIN)/python benchmarks/idle.py

bench-pause: install ## How long clients are held, by number of clients; each checks its session
	@$(BIN)/python benchmarks/sessions.py $(ARGS)

.PHONY: bench-transcode matrix
bench-transcode: install ## Rows passed on, re-written, by statements, and decoded one by one
	@$(BIN)/python benchmarks/transcode.py $(ARGS)

bench-lag: install ## Lag of a caught-up replicator at half of the source's peak
	@$(BIN)/python benchmarks/lag.py $(ARGS)

faults: install ## The fault campaign: RUNS=20 SEED=n FLAVOUR=both|mysql|mariadb ONLY=text
	@nice -n 15 $(BIN)/python -m faults --runs $(or $(RUNS),20) $(if $(SEED),--seed $(SEED)) --flavour $(if $(filter command line,$(origin FLAVOUR)),$(FLAVOUR),both) $(if $(ONLY),--only '$(ONLY)')

cases: install ## Every case of tests/cases: the table of groups x pairing x path (ARGS="name ..." for some)
	@$(BIN)/python -m casebook $(ARGS)

campaign-ddl: install ## A DDL every 5 seconds under load, with on_ddl = apply and with stop (FLAVOUR=, SECONDS_EACH=60)
	@for mode in apply stop; do $(BIN)/python -m ddl_campaign --flavour $(FLAVOUR) --mode $$mode \
	  --seconds $(or $(SECONDS_EACH),60) || exit 1; done

campaign-kill: install ## The replicator killed twenty times with re-written, statement and keyless tables, and with XA
	@SEGUE_LONG=1 SEGUE_KILLS=20 $(BIN)/python -m pytest -q tests/faults/test_kill_paths.py tests/faults/test_kill_xa.py $(ARGS)

large: install ## One transaction of a million rows, one value of 64 MB: memory, and what is said (FLAVOUR=, ARGS=)
	@$(BIN)/python -m large --flavour $(FLAVOUR) $(ARGS)

bench-seed: install ## Filling an empty server against mydumper+myloader and the server's own dump (ARGS="--flavour mariadb --megabytes 300")
	@$(BIN)/python -m benchmarks.seed $(ARGS)

seed-kills: install ## The copy killed at 20 moments on each flavour: it goes on, and both sides are equal
	@SEED_KILLS=20 SEED_ROWS=130000 $(BIN)/python -m pytest -q -s tests/integration/test_seed.py -k killed $(ARGS)

.PHONY: shapes
shapes: install ## Sample databases, or DUMP=file.sql, seeded from FLAVOUR= to TARGET= and verified
	@$(BIN)/python -m shapes --source $(FLAVOUR) --target $(or $(TARGET),$(FLAVOUR)) $(if $(DUMP),--dump $(DUMP)) $(ARGS)

alternate: install ## 100 switchovers and rollbacks without a pause, under load (TIMES=100)
	@$(BIN)/python -m faults.alternate --times $(or $(TIMES),100)

lab: install ## A pair of real servers to try things on (BLUE=mysql GREEN=mariadb), until Ctrl-C
	@$(BIN)/python -m lab up $(or $(BLUE),mysql) $(or $(GREEN),mysql)

clean: ## Remove what was made here (the lab's servers in ~/.cache/segue-lab stay; CACHE=1 removes them too)
	@rm -rf $(VENV) .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis build daemon/*.egg-info benchmarks/results
	@find daemon scripts tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	@if [ -n "$(CACHE)" ]; then rm -rf "$${SEGUE_LAB_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/segue-lab}"; fi
