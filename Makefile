# The only door: people and CI come in here. `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# On CI the committed lock file is the truth; at a desk it may be about to change.
LOCKED := $(if $(CI),--locked)
LOCAL := python3 deploy/local/local.py
SERVICES_CONFIG ?= deploy/relay.production.yaml

# Workers load ONNX Runtime from here; its version and hash are pinned in deploy/local/pins.toml.
export RELAY_ONNXRUNTIME ?= $(CURDIR)/.relay/tools/onnxruntime/libonnxruntime.so

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo "  Extra arguments: make up ARGS='--port 9000'"

.PHONY: up
up: ## Relay in one process; fetches and builds what it needs (ARGS go to `relay up`)
	@$(LOCAL) check --door up --quiet
	@$(LOCAL) install onnxruntime
	@cargo build --release -p relay
	@exec target/release/relay up $(ARGS)

.PHONY: test
test: ## Every test, against real Kafka, NATS, Redis and Postgres
	@exec python3 deploy/local/test.py

.PHONY: simulate
simulate: ## The services in virtual time, by their cores and as they ship, and the embedded log on a disk that fails
	@exec cargo run --release -p relay-simulation --bin simulate -- $(ARGS)

.PHONY: prove
prove: tools ## The promises, with kill -9 at every step, against real servers, within an hour
	@cargo build --release -p relay-tests --bins
	@exec $(LOCAL) run --dir .relay/prove --fresh -- target/release/prove $(ARGS)

.PHONY: bench-hop
bench-hop: tools ## What one hop costs, on the embedded bus and on Kafka
	@exec $(LOCAL) run --dir .relay/bench --only kafka --fresh -- cargo run --release -p relay-bench --bin bench-hop -- $(ARGS)

.PHONY: bench-sink
bench-sink: tools ## What keeping a trace costs, in SQLite and in Postgres
	@exec $(LOCAL) run --dir .relay/bench --only postgres --fresh -- cargo run --release -p relay-bench --bin bench-sink -- $(ARGS)

.PHONY: bench-pipeline
bench-pipeline: tools ## What the whole pipeline adds to a request
	@cargo build --release -p relay
	@cargo build --release -p relay-tests --bin mock-backend -p relay-bench --bin bench-pipeline
	@exec $(LOCAL) run --dir .relay/bench --fresh -- target/release/bench-pipeline $(ARGS)

.PHONY: bench-allocations
bench-allocations: ## How often and how much Relay allocates for a request
	@cargo build --release -p relay-tests --bin mock-backend -p relay-bench --bin counted-relay --bin bench-allocations
	@exec target/release/bench-allocations $(ARGS)

.PHONY: bench-light
bench-light: ## How long light tenants wait beside a hostile one on the small ONNX model
	@$(LOCAL) install onnxruntime
	@cargo build --release -p relay
	@exec python3 bench/light.py $(ARGS)

.PHONY: servers
servers: ## Kafka, NATS, Redis and Postgres until Ctrl-C (data kept in .relay/servers)
	@$(LOCAL) check --door servers --quiet
	@exec $(LOCAL) up --hold

.PHONY: up-production
up-production: ## The six services as six processes, against a running `make servers`
	@$(LOCAL) check --door up --quiet
	@$(LOCAL) install onnxruntime
	@cargo build --release -p relay
	@exec python3 deploy/local/production.py --config $(SERVICES_CONFIG)

.PHONY: dist
dist: ## A release archive under .relay/dist, which runs from any folder
	@$(LOCAL) check --door up --quiet
	@$(LOCAL) install onnxruntime
	@cargo build --release $(LOCKED) -p relay
	@exec python3 deploy/local/dist.py archive

.PHONY: lint-image
lint-image: ## The Dockerfile, by hadolint
	@$(LOCAL) install hadolint
	@.relay/tools/hadolint/hadolint Dockerfile

.PHONY: try-image
try-image: ## What a container does with the image, without a container engine (as root)
	@$(LOCAL) check --door up --quiet
	@$(LOCAL) install onnxruntime
	@cargo build --release $(LOCKED) -p relay
	@rm -rf .relay/image
	@python3 deploy/local/dist.py image .relay/image
	@exec python3 deploy/local/try_image.py .relay/image

.PHONY: models
models: ## Builds the project's own models
	@exec python3 models/build.py $(ARGS)

.PHONY: docs
docs: ## The documentation site, into .relay/site; links and names are checked on the way
	@exec python3 deploy/local/docs.py --build

.PHONY: fmt
fmt: ## Formats the Rust code
	@cargo fmt --all

.PHONY: lint
lint: ## Formatting, clippy, documentation, licences and sources of all crates; the Dockerfile once `make lint-image` has run
	@cargo fmt --all --check
	@python3 deploy/local/circles.py
	@python3 deploy/local/log_writes.py
	@python3 deploy/local/selects.py
	@python3 deploy/local/chances.py
	@python3 deploy/local/docs.py
	@cargo clippy --workspace --all-targets $(LOCKED) -- -D warnings
	@cargo clippy --workspace --exclude relay-bench --exclude relay-tests --lib --bins $(LOCKED) -- -D warnings -D clippy::disallowed_methods
	@if [ -x .relay/tools/hadolint/hadolint ]; then .relay/tools/hadolint/hadolint Dockerfile; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny $(LOCKED) check bans licenses sources; else python3 deploy/local/deny.py; fi

.PHONY: tools
tools:
	@$(LOCAL) check --quiet
	@$(LOCAL) install

.PHONY: clean
clean: ## Removes builds and all local data under .relay; installed tools stay
	@$(LOCAL) down
	@cargo clean
	@find .relay -mindepth 1 -maxdepth 1 ! -name tools ! -name models-venv -exec rm -rf {} +
