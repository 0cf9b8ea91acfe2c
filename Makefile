# Set-up, tests and demo. Everything is installed into .venv, once.
#
#   make demo        segment real images with the bundled models; results in demo-output
#   make test        all tests but the slow ones
#   make test-slow   the tests that take minutes
#   make lint        ruff and mypy
#   make sources     rewrite the file lists that CMake reads
#
# PYTHON       the interpreter that .venv is made from (3.10 or newer)
# TORCH_INDEX  a package index for torch alone, e.g. https://download.pytorch.org/whl/cpu
# KDSEG_DATA   the folder of labelled images; tests that need them are skipped without it

PYTHON ?= python3
TORCH_INDEX ?=
ARGS ?=

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/ready

.PHONY: demo test test-slow lint sources clean

demo: $(READY)
	$(BIN)/kdseg demo -o demo-output $(ARGS)

# The tests' tensors are small: more threads only get in each other's way.
test test-slow: export OMP_NUM_THREADS ?= 2

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

sources:
	$(PYTHON) Testing/CMake/list_sources.py

# torch goes first and alone, so that its index serves torch and nothing else.
$(READY): requirements-torch.txt requirements.txt pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -r requirements-torch.txt
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	$(BIN)/python -c "import pathlib; pathlib.Path('$(READY)').touch()"

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ('build', 'dist', 'demo-output', 'kdsegmentation.egg-info', '.ruff_cache', '.mypy_cache', '.hypothesis')]"
