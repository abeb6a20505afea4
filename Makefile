# Two commands on a machine that has python3 (3.11 to 3.13), make and git:
#   make demo   sets everything up and swaps faces in the pictures and the clip of examples/; writes out/
#   make test   sets everything up, checks the code, runs the tests
# Both may be repeated; what is there already is not fetched again.

PYTHON ?= python3
PYTEST_ARGS ?= -n auto --maxprocesses 8
BIN := .venv/bin
TOOLS := .venv-tools
# uv lives outside .venv: `uv sync` would remove it from there.
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/bin/uv)
EXTRAS := --extra heif --extra provenance
# Not `--extra train`: uv.lock holds the torch of PyPI, which brings gigabytes of CUDA. The target `torch` takes the CPU's.
TEST_EXTRAS := --extra recogniser --extra mediapipe --extra scale
TORCH := torch==2.13.0
HAS_TORCH = $(BIN)/python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))'
WHEELS := $(foreach folder,$(PIP_FIND_LINKS),--find-links $(folder))
# --inexact: what a developer added to .venv by hand stays.
SYNC := sync --frozen --inexact --compile-bytecode $(EXTRAS)
START := $(shell date +%s)
ELAPSED = $$(( $$(date +%s) - $(START) )) s

export UV_PYTHON_DOWNLOADS ?= never
unexport VIRTUAL_ENV

.PHONY: help demo test judge torch lint format slow clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

demo: $(UV)
	@echo "[1/3] environment: the packages of uv.lock into .venv"
	@$(UV) $(SYNC) --no-dev
	@echo "[2/3] swap: pictures and a 5 s clip from examples/ to out/"
	@$(BIN)/python examples/demo.py
	@echo "[3/3] written to out/:"
	@ls -l out
	@echo "make demo: done in $(ELAPSED), environment $$(du -sh .venv | cut -f1)"

test: $(UV)
	@echo "[1/4] environment: the packages of uv.lock, the test tools and torch for the CPU into .venv"
	@$(UV) $(SYNC) $(TEST_EXTRAS)
	@$(MAKE) --no-print-directory torch
	@echo "[2/4] the recogniser, the teacher and the second judge: fetched once, checked against the SHA-256 in the code"
	@$(BIN)/facegraft models fetch --recogniser --teacher
	@$(MAKE) --no-print-directory judge
	@echo "[3/4] lint: ruff, mypy, codespell, uv.lock"
	@lint=0; $(MAKE) --no-print-directory lint || lint=1; \
	echo "[4/4] tests: set-up and lint took $(ELAPSED), environment $$(du -sh .venv | cut -f1)"; \
	[ $$lint = 0 ] || echo "LINT FAILED, see above: the tests still run, the exit code says failure"; \
	$(BIN)/pytest -q $(PYTEST_ARGS) && exit $$lint

# What tests the second judge skips without it. That npm or its index is not to be had is said; another file is a failure.
judge: $(UV)
	@said=$$($(BIN)/facegraft models fetch --judge 2>&1) && echo "$$said" || { echo "$$said"; \
	case "$$said" in *SHA-256*) exit 1;; esac; \
	printf '%s\n' "" "NO SECOND JUDGE (see above): tests that need it WILL BE SKIPPED." ""; }

# A torch that is there stays, whichever it is. A machine that has wheels of its own names their folder in PIP_FIND_LINKS;
# the first command takes the wheel from there and from nowhere else, the second what that wheel needs.
torch: $(UV)
	@if $(HAS_TORCH); then exit 0; fi; \
	if [ -n "$(WHEELS)" ] && $(UV) pip install --quiet --no-index --no-deps $(WHEELS) "$(TORCH)"; then \
	  $(UV) pip install --quiet $(WHEELS) "$(TORCH)"; \
	else \
	  $(UV) pip install --quiet --torch-backend cpu "$(TORCH)"; \
	fi || printf '%s\n' "" "NO TORCH: no wheel of $(TORCH) for this Python is to be had here (see above)." \
	  "Every test of training and rendering WILL BE SKIPPED. To run them: another Python (PYTHON=python3.11 make clean test)," \
	  "or a folder with the wheel in PIP_FIND_LINKS, or 'uv pip install torch'." ""

# Without torch its types are unknown, so what only they can decide is not asked.
lint: MYPY_ARGS = $(shell $(HAS_TORCH) || echo --allow-subclassing-any --no-warn-unused-ignores --no-warn-unreachable)
lint: $(UV)
	@failed=0; \
	$(BIN)/ruff check --output-format concise . || failed=1; \
	$(BIN)/ruff format --check --output-format concise . || failed=1; \
	$(BIN)/mypy $(MYPY_ARGS) || failed=1; \
	$(BIN)/codespell || failed=1; \
	$(UV) lock --check || failed=1; \
	exit $$failed

format:
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Tests of web pages want Chromium and chromedriver (Debian: apt install chromium chromium-driver); -rs says what skips.
slow:
	@$(BIN)/pytest -q -rs -m slow $(PYTEST_ARGS)

clean:
	rm -rf .venv $(TOOLS) out dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(TOOLS)/bin/uv:
	@echo "[0] uv is not on PATH: pip puts it into $(TOOLS)"
	@$(PYTHON) -m venv $(TOOLS) || { echo "python3 has no venv module: install it (Debian: apt install python3-venv), or put uv on PATH"; exit 1; }
	@echo '*' >$(TOOLS)/.gitignore
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv
