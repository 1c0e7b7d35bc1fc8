# The platform's front door. `make help` lists what there is.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
MODEL ?= qwen2.5-coder-0.5b
BUDGET ?= --tokens 1200 --seconds 120
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev solve up test test-cluster check format proto clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv and install the platform (done by the other targets)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: none found" >&2; exit 1; }
	@$(PYTHON) scripts/setup.py

setup-dev: ## The same, with the tools of the checks and tests
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: none found" >&2; exit 1; }
	@$(PYTHON) scripts/setup.py --dev

solve: setup ## Start the whole stack, solve examples/problems.jsonl, stop it (MODEL=..., ARGS=...)
	@$(BIN)/rstar models pull $(MODEL)
	@$(BIN)/rstar solve --up --model $(MODEL) --file examples/problems.jsonl $(BUDGET) $(ARGS)

up: setup ## Start the whole stack and keep it running until Ctrl-C (MODEL=..., ARGS=...)
	@$(BIN)/rstar models pull $(MODEL)
	@$(BIN)/rstar up --model $(MODEL) $(ARGS)

test: setup-dev ## Run all tests (ARGS="-k name", ARGS=tests/unit)
	$(BIN)/python scripts/run_tests.py $(ARGS)

test-cluster: setup-dev ## Install the chart on a real control plane and try it (Debian 12, root; builds Kubernetes once)
	$(BIN)/python scripts/kube_control_plane.py
	$(if $(filter 0,$(shell id -u)),,sudo) unshare --net --mount --pid --fork --kill-child --mount-proc \
		env HOME=$(HOME) $(BIN)/python -m pytest tests/cluster $(ARGS)

check: setup-dev ## Lint, format, types, import rules, contracts, what is deployed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/python scripts/check_breaking.py
	$(BIN)/python scripts/generate_protos.py --check
	$(BIN)/python -m scripts.check_deploy

format: setup-dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

proto: setup-dev ## Generate services/common/pb from proto/
	$(BIN)/python scripts/generate_protos.py

clean: ## Remove .venv and caches (models in ~/.cache/rstar stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
