# Every target that needs the environment makes it first: .venv, exactly what requirements.lock pins,
# each file checked against its hash. Nothing is installed outside .venv and nothing needs root.
SHELL := /bin/bash

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.set-up
UV     := $(PYTHON) -m uv
NEEDED_GB := 8
# Two files of tests at a time: many of them wait for a server. A process that ends (see faulthandler_exit_on_timeout in
# pyproject.toml) ends the run: another one would begin with the same test.
TWO_AT_ONCE := --numprocesses 2 --dist loadfile --max-worker-restart 0
# Seconds after which a test that is not slow counts as hung.
HUNG_S := 900

# A shell that stands in another environment must not redirect the installation. Settings of pip and
# uv that say where packages come from (mirrors, certificates, proxies) are honoured.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV
# Without compiled files, each of the thousands of processes that the tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
unexport UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX UV_PROJECT_ENVIRONMENT

COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: help set-up demo test test-all check bench bench-serving peers image lock clean

help: ## say what there is
	@echo "usage: make TARGET, where TARGET is"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

set-up: $(STAMP) ## make .venv with the locked dependencies (every target below does it by itself)

demo: $(STAMP) ## train, compress, export, verify, archive, serve, and ask the server about a real picture
	@VENV=$(VENV) bash scripts/demo

test: $(STAMP) ## run the tests, without the slow ones
	$(PYTHON) -m pytest $(TWO_AT_ONCE) -m "not slow" --override-ini faulthandler_timeout=$(HUNG_S)

test-all: $(STAMP) ## run all tests
	$(PYTHON) -m pytest $(TWO_AT_ONCE)

check: $(STAMP) ## lint, format, types, import rules, lock file in step with pyproject.toml
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	@PYTHON=$(PYTHON) COMPILE="$(COMPILE)" bash scripts/check-lock

bench: $(STAMP) ## time the default recipe's candidates again on this host (a build comes first if there is none)
	@test -f runs/fashion-cnn/smoke/smoke.json || $(PYTHON) -m pipeline build
	$(PYTHON) -m pipeline bench runs/fashion-cnn

bench-serving: $(STAMP) ## time both servers beside what people write themselves (needs wrk; a build comes first if there is no archive)
	@test -f model_store/fashion-cnn.mar || $(PYTHON) -m pipeline build
	@PYTHON=$(PYTHON) VENV=benchmarks/.venv-serving LOCK=benchmarks/serving-requirements.lock bash benchmarks/set-up
	$(PYTHON) -m benchmarks.serving model_store/fashion-cnn.mar

peers: $(STAMP) ## compare with other tools, in an environment of its own (RUN=DIR: another run; 6 GB more)
	@test -n "$(RUN)" || test -f runs/fashion-cnn/smoke/smoke.json || $(PYTHON) -m pipeline build
	@PYTHON=$(PYTHON) VENV=benchmarks/.venv LOCK=benchmarks/requirements.lock bash benchmarks/set-up
	benchmarks/.venv/bin/python -m benchmarks.compare $(or $(RUN),runs/fashion-cnn)

image: $(STAMP) ## make the image of docker/ by its own steps, without a container engine, and try it (root; Debian's debootstrap)
	$(PYTHON) -m pytest tests/e2e/test_image.py -s -rs

lock: $(STAMP) ## renew requirements.lock, docker/*.lock and benchmarks/requirements.lock after a change of the ranges (UPGRADE=1: newest versions)
	$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) --all-extras --output-file requirements.lock pyproject.toml
	for name in build requirements requirements-torch requirements-torchserve; do \
	    $(UV) $(COMPILE) --upgrade --constraints requirements.lock --output-file docker/$$name.lock docker/$$name.in || exit; done
	test -z "$(UPGRADE)" || cp requirements.lock benchmarks/requirements.lock # its pins first, then the newest of the rest
	$(UV) $(COMPILE) --output-file benchmarks/requirements.lock pyproject.toml benchmarks/requirements.in
	$(UV) $(COMPILE) --upgrade --constraints requirements.lock --output-file benchmarks/serving-requirements.lock benchmarks/serving-requirements.in

clean: ## remove .venv, runs, archives and caches (downloaded data stays; stop a server first: pipeline stop)
	rm -rf $(VENV) benchmarks/.venv benchmarks/.venv-serving runs dist build model_store/*.mar .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find pipeline handlers tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp holds the place and the Python it was made for: a checkout that was moved, or whose Python went, sets up again.
PLACE := $(CURDIR) $(shell $(PYTHON) -V 2>/dev/null)
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(PLACE))
.PHONY: $(STAMP)
endif

$(STAMP): requirements.lock pyproject.toml scripts/set-up
	@PYTHON=$(PYTHON) VENV=$(VENV) NEEDED_GB=$(NEEDED_GB) bash scripts/set-up
	@echo "$(CURDIR) $$($(PYTHON) -V)" >$@
