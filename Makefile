# `make run` and `make test` work as the first command on a clone: they make .venv from the locked versions themselves.
# make PYTHON=python3.13 … chooses the interpreter, make run PORT=5300 the port, make bench BENCH="--rounds 3" its options.

VENV := .venv
BIN := $(VENV)/bin
PORT := 1053
SOAK_SECONDS := 600
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check fmt bench bench-api soak lock clean system-packages FORCE

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */  make \1	/p' $(MAKEFILE_LIST) | expand -t 28

run: $(VENV)/.run-installed ## serve the demo cluster in zones/ on 127.0.0.1, port 1053
	$(BIN)/python -m clusterdns serve --conf zones/Corefile --port $(PORT)

test: $(VENV)/.dev-installed system-packages ## all tests; as root on Debian it installs the tools that are missing first
	$(BIN)/python -m pytest tests

check: $(VENV)/.dev-installed ## format, lint, types, layers, unit tests: in under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto tests/unit tests/architecture

fmt: $(VENV)/.dev-installed ## format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev-installed ## speed beside a bare socket echo, Unbound, and the CoreDNS that COREDNS names
	@sh tests/install-system-packages.sh benchmarks/system-packages.txt
	$(BIN)/python benchmarks/bench.py $(BENCH)

bench-api: $(VENV)/.dev-installed ## start, memory and changes with an API server, beside the CoreDNS that COREDNS names
	$(BIN)/python benchmarks/bench_api.py $(BENCH)

soak: $(VENV)/.dev-installed ## ten minutes of many clients, bad upstreams and reloads; SOAK_SECONDS=60 for less
	$(BIN)/python tests/soak/soak.py --seconds $(SOAK_SECONDS)

lock: export CUSTOM_COMPILE_COMMAND = make lock
lock: COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras \
	--allow-unsafe $(if $(UPGRADE),--upgrade)
lock: $(VENV)/.dev-installed ## lock what pyproject.toml asks for, keeping versions; UPGRADE=1 takes the newest
	$(COMPILE) --build-deps-for=editable --only-build-deps --output-file requirements/build.txt pyproject.toml
	$(COMPILE) --output-file requirements/run.txt pyproject.toml
	$(COMPILE) --extra dev --extra exec --constraint requirements/run.txt --constraint requirements/build.txt \
		--output-file requirements/dev.txt pyproject.toml requirements/tools.in

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf benchmarks/build benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system-packages:
	@sh tests/install-system-packages.sh

# --- The environment. A stamp is newer than all that was installed from, so that a second run starts at once.

# The first interpreter that is new enough and can make environments with pip.
PYTHON_CANDIDATES = $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
PYTHON_FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON_IDENTITY := import sys; print(sys.base_prefix, sys.hexversion)

# Asked for by name, another interpreter than the environment's makes it anew.
ifneq ($(PYTHON),)
ifneq ($(shell $(PYTHON) -c '$(PYTHON_IDENTITY)' 2>/dev/null),$(shell $(BIN)/python -c '$(PYTHON_IDENTITY)' 2>/dev/null))
$(VENV)/.made: FORCE
endif
endif

$(VENV)/.made:
	@found=; for python in $(PYTHON_CANDIDATES); do \
		if "$$python" -c '$(PYTHON_FITS)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "No usable Python among: $(PYTHON_CANDIDATES)." >&2; \
		echo "Needed is 3.11 or later with the modules venv and ensurepip (Debian, Ubuntu: apt install python3-venv);" >&2; \
		echo "name one with: make PYTHON=/path/to/python3 ..." >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version), once; this takes a minute." >&2; \
	"$$found" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run-installed: $(VENV)/.made requirements/build.txt requirements/run.txt pyproject.toml
	@$(PIP_INSTALL) --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.run-installed requirements/dev.txt
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

FORCE:
