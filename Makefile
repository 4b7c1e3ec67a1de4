# `make` alone says what there is. Everything works from a fresh clone on Debian or Ubuntu with
# git, make and python3: what is missing is installed into .venv, or named.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON_IN_VENV := .venv/bin/python
CONFIG ?= config.yaml

.PHONY: help
help: ## say what there is
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

.PHONY: demo
demo: .venv/.ready-run ## run with a simulated provider and live traffic: no account, file or network
	$(PYTHON_IN_VENV) -m exporter demo $(ARGS)

.PHONY: run
run: .venv/.ready-run ## run from the checkout: make run CONFIG=config.yaml
	$(PYTHON_IN_VENV) -m exporter run --config.file=$(CONFIG) $(ARGS)

.PHONY: test
test: .venv/.ready-dev ## run all tests; make test ARGS='-k drop' runs some
	$(PYTHON_IN_VENV) -m pytest $(ARGS)

.PHONY: check
check: .venv/.ready-dev ## lint, formatting, types
	$(PYTHON_IN_VENV) -m ruff check
	$(PYTHON_IN_VENV) -m ruff format --check
	$(PYTHON_IN_VENV) -m mypy

.PHONY: bench
bench: .venv/.ready-dev ## measure: time of a scrape, throughput, memory
	$(PYTHON_IN_VENV) -m bench $(ARGS)

.PHONY: image-test
image-test: ## build the container image for real and check it (root, buildah, debootstrap; minutes)
	scripts/image-test

.PHONY: clean
clean: ## remove what make and the tools made
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/.ready-run: requirements/run.txt scripts/setup
	scripts/setup run

.venv/.ready-dev: requirements/run.txt requirements/dev.txt scripts/setup
	scripts/setup dev
