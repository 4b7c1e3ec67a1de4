# `make` alone says what there is. Everything works from a fresh clone on Debian or Ubuntu with
# git, make and python3: what is missing is installed into .venv, or named.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON_IN_VENV := .venv/bin/python
CONFIG ?= config.yaml
# Tests wait for processes more than they work.
WORKERS ?= 3

.PHONY: help
help: ## say what there is
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

.PHONY: demo
demo: .venv/.ready-run ## run with a simulated provider and live traffic: no account, file or network
	$(PYTHON_IN_VENV) -m exporter demo $(ARGS)

.PHONY: stack
stack: .venv/.ready-run ## demo, Prometheus with the rules and Alertmanager, without containers
	scripts/stack $(ARGS)

.PHONY: run
run: .venv/.ready-run ## run from the checkout: make run CONFIG=config.yaml
	$(PYTHON_IN_VENV) -m exporter run --config.file=$(CONFIG) $(ARGS)

.PHONY: test
test: .venv/.ready-dev ## run all tests; make test ARGS='-k drop' runs some
	$(PYTHON_IN_VENV) -m pytest --numprocesses=$(WORKERS) --dist=loadfile $(ARGS)

.PHONY: mutants
mutants: .venv/.ready-dev ## seed defects one by one, and see that a test catches each (minutes)
	$(PYTHON_IN_VENV) -m tests.torture.mutants $(ARGS)

.PHONY: scenarios
scenarios: .venv/.ready-dev ## play every scenario of the demo, and see which alerts fire (half an hour)
	$(PYTHON_IN_VENV) -m tests.dashboards.scenarios $(ARGS)

.PHONY: check
check: .venv/.ready-dev ## lint, formatting, types
	$(PYTHON_IN_VENV) -m ruff check
	$(PYTHON_IN_VENV) -m ruff format --check
	$(PYTHON_IN_VENV) -m mypy
	.venv/bin/lint-imports --no-cache

.PHONY: docs
docs: .venv/.ready-dev ## write anew what of the docs, dashboards and rules is made by program
	$(PYTHON_IN_VENV) -m tests.docs.regenerate

.PHONY: bench
bench: .venv/.ready-dev ## measure: time of a scrape, throughput, memory
	$(PYTHON_IN_VENV) -m bench $(ARGS)

KILLS ?= 10000
IMAGES ?= 100000
FAULTS ?= 5000
FILLS ?= 100
PROMETHEUS_KILLS ?= 100
SEQUENCES ?= 100000
INPUTS ?= 10000000
CANARIES ?= 10000
HOURS ?= 72
SECONDS ?= 3600

.PHONY: torture
torture: .venv/.ready-dev ## kill it, cut its power, fail its disk, at length: make torture KILLS=1000 IMAGES=10000
	nice $(PYTHON_IN_VENV) -m tests.torture kill --count $(KILLS) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture power-loss --count $(IMAGES) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture faults --count $(FAULTS) $(ARGS)
	nice unshare --mount --map-root-user $(PYTHON_IN_VENV) -m tests.torture fill --count $(FILLS) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture prometheus-consistency --count $(PROMETHEUS_KILLS) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture fs-races --count $(SEQUENCES) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture fuzz --count $(INPUTS) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture secret-leaks --count $(CANARIES) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture soak --virtual-hours $(HOURS) $(ARGS)
	nice $(PYTHON_IN_VENV) -m tests.torture soak-realtime --seconds $(SECONDS) $(ARGS)

.PHONY: audit
audit: ## ask the advisory database about every pinned package
	scripts/audit

.PHONY: image-test
image-test: .venv/.ready-dev ## build the container image for real and check it (root, buildah, debootstrap; minutes)
	scripts/image-test

.PHONY: systemd-test
systemd-test: .venv/.ready-dev ## start a real systemd and check the unit with it (root, debootstrap; minutes)
	scripts/systemd-test

.PHONY: clean
clean: ## remove what make and the tools made
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/.ready-run: requirements/run.txt scripts/setup
	scripts/setup run

.venv/.ready-dev: requirements/run.txt requirements/dev.txt scripts/setup
	scripts/setup dev
