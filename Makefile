# Everything a checkout can do. Python 3.11 or newer and make are enough: the first target that needs it makes .venv.
# The versions installed are those of requirements/*.txt, by uv where it is found and by pip elsewhere.

PYTHON ?= python3
BROKERS ?= 1
PORT ?= 9092
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip install --quiet --no-deps
else
# Without compilation: half of what is installed is never imported, and Python compiles the rest when it is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
endif
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command 'make lock' pyproject.toml

SERVERLESS_TESTS := --ignore=tests/integration --ignore=tests/browser --ignore=tests/kill

##@ Use

.PHONY: help
help: ## Show this page
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nPYTHON=python3.12 chooses the interpreter, ARGS="..." goes to the tests, the benchmark and the application.\n'

.PHONY: run
run: .venv/.runtime ## Run the fraud detection with simulated traffic; BROKER_URL=kafka://localhost:9092 for Kafka
	@exec $(BIN)/python -m app.run $(ARGS)

.PHONY: kafka
kafka: .venv/.kafka ## Run a real Kafka on 127.0.0.1:9092 until Ctrl-C; BROKERS=3 for three, PORT=... elsewhere
	@exec $(BIN)/python -m pelton.testing.broker run --brokers $(BROKERS) --port $(PORT)

##@ Develop

.PHONY: setup
setup: .venv/.dev ## Install the project and all tools into .venv

.PHONY: check
check: .venv/.dev ## Check style, types and layers: ruff, mypy, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

.PHONY: test
test: .venv/.dev ## Run the tests that need no server
	$(BIN)/python -m pytest $(SERVERLESS_TESTS) $(ARGS)

.PHONY: integration
integration: .venv/.dev ## Run the tests and the log contract against a real Kafka; KAFKA_BOOTSTRAP=host:port takes one that runs
	$(BIN)/python -m pytest tests/integration tests/contract/test_log*.py --kafka $(ARGS)

.PHONY: kill
kill: .venv/.dev ## Kill workers at random moments, on both logs, and compare with an oracle (minutes)
	$(BIN)/python -m pytest tests/kill --kafka $(ARGS)

.PHONY: bench
bench: .venv/.dev ## Measure pelton against stock Faust; results in bench/results
	$(BIN)/python -m bench $(ARGS)

.PHONY: lock
lock: ## Lock the newest versions that pyproject.toml allows (needs uv)
	$(COMPILE) --upgrade --group build --output-file requirements/runtime.txt
	$(COMPILE) --upgrade --group kafka --constraint requirements/runtime.txt --output-file requirements/kafka.txt
	$(COMPILE) --upgrade --group dev --constraint requirements/runtime.txt --constraint requirements/kafka.txt \
		--output-file requirements/dev.txt

.PHONY: clean
clean: ## Remove what these targets made, except the data of the application
	rm -rf .venv .venvs .kafka build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find app bench src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says what of the lock is installed; a later one stands on an earlier one.

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"pelton needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)"; \
		echo "hint: name another one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(if $(UV),$(UV) venv --quiet --clear --seed --python $(PYTHON) .venv,$(PYTHON) -m venv --clear .venv) || { \
		echo "hint: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@touch $@

.venv/.runtime: requirements/runtime.txt pyproject.toml | .venv/.created
	@echo "installing pelton"
	@$(INSTALL) --require-hashes -r requirements/runtime.txt
	@$(INSTALL) --no-build-isolation -e .
	@touch $@

.venv/.kafka: requirements/kafka.txt .venv/.runtime
	@echo "installing what fetches and runs Kafka"
	@$(INSTALL) --require-hashes -r requirements/kafka.txt
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.kafka
	@echo "installing the tools"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
