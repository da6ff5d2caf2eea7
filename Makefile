# Every recipe is a line or two; `make help` lists them.
CARGO ?= cargo
CONFIG ?= config.json
TARGET ?= config_text
FUZZ_SECONDS ?= 60
PREFIX ?= /usr/local
BUILT = $(or $(CARGO_TARGET_DIR),target)/release
TO = $(DESTDIR)$(PREFIX)

.DEFAULT_GOAL := help
.PHONY: help build install run demo backends stop-backends test soak promises container two-machines acme fuzz lint bench check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

build: ## build the release binaries
	$(CARGO) build --release --locked

# Does not build: with sudo that would be root's doing, in a folder that is then root's.
install: ## put what `make build` has built under PREFIX (/usr/local): binary, man page and shell completions
	@[ -x $(BUILT)/loadbalancer ] || { echo "$(BUILT)/loadbalancer is not there: run 'make build' first, as yourself"; exit 1; }
	install -D -m 755 $(BUILT)/loadbalancer $(TO)/bin/loadbalancer
	install -D -m 644 packaging/loadbalancer.1 $(TO)/share/man/man1/loadbalancer.1
	install -D -m 644 packaging/completions/loadbalancer.bash $(TO)/share/bash-completion/completions/loadbalancer
	install -D -m 644 packaging/completions/_loadbalancer $(TO)/share/zsh/site-functions/_loadbalancer
	install -D -m 644 packaging/completions/loadbalancer.fish $(TO)/share/fish/vendor_completions.d/loadbalancer.fish

demo: ## three embedded backends and a balancer before them, with its dashboard
	$(CARGO) run --release --locked --bin loadbalancer -- demo

run: ## balance with config.json (CONFIG=file for another)
	$(CARGO) run --release --locked --bin loadbalancer -- --config $(CONFIG)

backends: build ## start three echo backends on ports 3001 to 3003
	@for n in 1 2 3; do $(BUILT)/backend_server --port 300$$n --name backend-$$n & echo $$! >> .pids; done

stop-backends: ## stop what `make backends` started
	@[ ! -f .pids ] || { xargs -r kill < .pids 2>/dev/null; rm -f .pids; }

# What depends on who accepts.
LISTENER_TESTS := answers:: client_address:: draining:: edge_limits:: framing:: headers:: limits:: long_bodies:: \
	queue:: regressions:: renewal:: stopping:: streaming:: upgrade::

# Most of what tests do is wait for time to pass, so there are two for each processor; eight at the most, as a
# container may have fewer processors than it sees.
test: export RUST_TEST_THREADS ?= $(shell n=$$(nproc); echo $$((n < 4 ? 2 * n : 8)))
test: ## run all tests; those that depend on the listener a second time with tiny_http
	$(CARGO) test --locked
	LB_TEST_FRONT=0 $(CARGO) test --locked --test e2e -- $(LISTENER_TESTS)

soak: ## a minute of good, slow, broken and hostile clients (SOAK_SECONDS=300 for longer)
	$(CARGO) test --release --locked --test soak

promises: ## the figures of docs/RELIABILITY.md, in full size, with the front and with tiny_http
	LB_TEST_FULL=1 $(CARGO) test --release --locked --test e2e promises -- --nocapture --test-threads=1
	LB_TEST_FULL=1 LB_TEST_FRONT=0 $(CARGO) test --release --locked --test e2e promises -- --nocapture --test-threads=1

container: ## the static binary in an empty root, and the image where buildah is here (root)
	tests/container/alone

two-machines: build ## keepalived and two balancers in network namespaces, and what happens to one of them (root)
	tests/ha/run

acme: ## certificates as docs/LETS_ENCRYPT.md has it, from Let's Encrypt's test server, under requests
	tests/acme/install
	tests/acme/run

fuzz: ## a minute of inputs that nobody thought of (TARGET=config_text, FUZZ_SECONDS=60)
	@mkdir -p fuzz/target/tried/$(TARGET)
	$(CARGO) +nightly fuzz run $(TARGET) fuzz/target/tried/$(TARGET) fuzz/corpus/$(TARGET) -- -max_total_time=$(FUZZ_SECONDS)

lint: ## formatting, lints and docs
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --test soak -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

check: lint test ## what continuous integration runs

bench: ## compare with other proxies on this machine (see bench/README.md)
	./bench/run

clean: ## remove what was built
	$(CARGO) clean
