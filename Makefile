# Every target sets up what it needs in .venv by itself; Python >= 3.11 with venv is all it takes.

PYTHON ?=
JOBS   ?= 2
PYTEST  = .venv/bin/python -m pytest
STAMP   = .venv/.callgate-ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check style types layers rules cover soak bench conformance docs format lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything the other targets need

# Hashes hold for every package, wheels only: nothing is built, so nothing unpinned is fetched.
$(STAMP): requirements/dev.txt pyproject.toml
	@set -e; \
	new_enough='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
	  if "$$python" -c "$$new_enough" 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "Callgate needs Python 3.11 or newer with venv; found: $$($(or $(PYTHON),python3) --version 2>&1)." >&2; \
	  echo "Install it (Debian: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up .venv with $$("$$found" --version) (once; a minute or two) ..."; \
	.venv/bin/python -m pip --version >/dev/null 2>&1 || "$$found" -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --only-binary :all: --require-hashes -r requirements/dev.txt
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Run the main job offline: simulated providers, the gate, real agents, their receipts
	@.venv/bin/callgate demo

test: $(STAMP) ## Run the tests
	@$(PYTEST) -n $(JOBS) -m "not soak"

quick: $(STAMP) ## Run the tests that take no second
	@$(PYTEST) -n $(JOBS) -m "not soak and not slow" -q

check: style types layers rules cover ## Check what a change must hold besides the tests (make -k check: all of it at once)

style: $(STAMP) ## ... its format and its style
	.venv/bin/ruff format --check
	.venv/bin/ruff check

types: $(STAMP) ## ... its types, by two checkers
	.venv/bin/mypy
	.venv/bin/basedpyright

layers: $(STAMP) ## ... its imports, against the layers of the house
	.venv/bin/lint-imports --no-logo

rules: $(STAMP) ## ... its sizes, names, lock file, docs and their examples
	$(PYTEST) -n 0 -q tests/architecture tests/docs

# The store on PostgreSQL runs only where there is one.
cover: export CALLGATE_UNCOVERED = $(if $(CALLGATE_POSTGRESQL),nothing,src/callgate/store/postgresql/*)
cover: $(STAMP) ## ... that unit and contract tests run every branch of the road and the store
	$(PYTEST) -n $(JOBS) -q -m "not soak" --cov --cov-report=term-missing tests/unit $(wildcard tests/contract/store)

soak: $(STAMP) ## Run the tests that take minutes: kill -9, load, long streams
	@$(PYTEST) -n 0 -m soak --timeout 1800

bench: $(STAMP) ## Measure the figures of docs/performance.md in one run (RIVALS=1: other gateways too; RUNAWAYS=1: docs/limits.md; FAILURES=1: docs/failures.md)
	@.venv/bin/python -m $(if $(RUNAWAYS),bench.runaways,$(if $(FAILURES),bench.failures,bench $(if $(RIVALS),--rivals)))

conformance: $(STAMP) ## Run what others test with: OpenAI's own tests against simulator and gate, and the official runner of MCP against /mcp
	@.venv/bin/python -m bench.conformance
	@.venv/bin/python -m bench.mcp_conformance

docs: $(STAMP) ## Write the generated pages of docs/ again and check every page's links and examples
	@.venv/bin/python docs/generate.py
	@$(PYTEST) -n 0 -q tests/docs

format: $(STAMP) ## Format the code and mend what ruff can mend
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

lock: ## Compile requirements/dev.txt from pyproject.toml (needs uv; UPGRADE=--upgrade takes newer versions)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --only-binary :all: \
	  --generate-hashes --no-annotate --no-header --quiet $(UPGRADE) --output-file requirements/dev.txt

clean: ## Remove .venv and every cache
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
