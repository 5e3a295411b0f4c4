# The front door, for people and for CI. Every target makes .venv first where it is missing or older
# than the files that say what belongs in it.

BIN := .venv/bin
INSTALLED := .venv/.installed
ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# The first of these that runs and is new enough; `make setup PYTHON=...` names another.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python $(ENOUGH) 2>/dev/null && echo $$python && break; done)

# ONNX Runtime reports its use to its makers, unless it is told not to before it is imported.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak lint proto bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv with all dependencies (several minutes the first time)

demo: $(INSTALLED) ## train, prove, serve, stream and score on real data (under 6 minutes)
	$(BIN)/python -m demo

test: $(INSTALLED) ## run all tests (about 20 minutes)
	$(BIN)/pytest

soak: $(INSTALLED) ## kill, cut, fill and fuzz at length (SOAK_SECONDS of load, 600; an hour in all)
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(BIN)/pytest tests/chaos

lint: $(INSTALLED) ## check style, types, import contracts, stubs, Dockerfiles and compose files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m protos.generate --check
	$(BIN)/hadolint deploy/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@if docker compose version >/dev/null 2>&1; then docker compose --profile '*' config --quiet; fi

proto: $(INSTALLED) ## generate the Python stubs from protos/
	$(BIN)/python -m protos.generate

bench: $(INSTALLED) ## run all benchmarks and record benchmarks/results/
	$(BIN)/python -m benchmarks all

clean: ## remove .venv and all caches; data/, runs/ and models/ stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is renewed first, since older ones show no progress while they install.
$(INSTALLED): pyproject.toml client/pyproject.toml
	@"$(PYTHON)" $(ENOUGH) 2>/dev/null || { \
		echo "error: PYTHON is '$(PYTHON)'; Statewise needs Python 3.11 or later:" \
			"make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Making .venv with $(PYTHON); PyTorch is large, so that this takes minutes."
	$(PYTHON) -m venv --upgrade-deps .venv
	$(BIN)/pip install --disable-pip-version-check -e '.[dev]' -e ./client
	@touch $@
