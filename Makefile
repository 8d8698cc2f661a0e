# Needs make and Python >= 3.11 with pip, nothing else. `make PYTHON=python3.12 run` names the
# interpreter.

PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-installed
BUILDING := $(VENV)/.building-installed
TESTING := $(VENV)/.testing-installed
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
# Exactly what is locked, and nothing that has to be built: a build would fetch its own tools
# without hashes.
LOCKED := $(INSTALL) --require-hashes --only-binary :all:
# uv resolves for all platforms at once; pip only for its own.
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),1580601600)
ARGS ?=
# Many tests wait for servers and processes: three workers keep two cores busy.
# The tests of the structure run in `make check`, which comes first.
WORKERS ?= 3
# Every process that a test starts would compile the program again.
unexport PYTHONDONTWRITEBYTECODE
STRUCTURE := $(addprefix tests/hygiene/test_,layering.py import_rules.py faces.py names.py dead_code.py) \
  tests/docs/test_promises.py tests/docs/test_architecture.py

.PHONY: run test test-all kills race damages check bench figures servers lock wheel sbom clean
.DEFAULT_GOAL := run

run: $(RUNTIME)
	@exec $(VENV)/bin/tracesidecar $(or $(ARGS),run)

test: $(TESTING) servers check
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not long" $(addprefix --ignore=,$(STRUCTURE)) $(ARGS)

test-all: $(TESTING) servers check
	@$(LOCKED) --no-binary pyspark --no-build-isolation -r locks/test-long.txt
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(addprefix --ignore=,$(STRUCTURE)) $(ARGS)

kills: $(TESTING) servers
	@$(PY) -m tests.faults.kills $(ARGS)

race: $(TESTING)
	@$(PY) -m tests.faults.race $(ARGS)

damages: $(TESTING)
	@$(PY) -m tests.journal.every_damage $(ARGS)

check: $(TESTING)
	$(PY) -m ruff check --no-cache .
	$(PY) -m ruff format --check --no-cache .
	$(PY) -m mypy
	$(PY) -m codespell_lib .
	$(PY) -m vulture
	$(PY) -m pytest --quiet --no-header -p no:cacheprovider $(STRUCTURE)

bench: $(TESTING)
	$(PY) -m bench.run $(ARGS)

figures: $(TESTING)
	@$(PY) -m bench.figures $(ARGS)

servers: $(TESTING)
	$(PY) tests/servers/provision.py

# Resolved for every platform and Python at once. What is locked stays as long as pyproject.toml
# allows it; `make lock ARGS=--upgrade` takes the newest of everything. No host of an index gets
# into the files.
lock: | $(PY)
	@$(INSTALL) "uv>=0.13"
	$(COMPILE) pyproject.toml --all-extras --group test --output-file locks/test.txt $(ARGS)
	$(COMPILE) pyproject.toml --all-extras --constraints locks/test.txt --output-file locks/run.txt
	$(COMPILE) --group build --constraints locks/test.txt --output-file locks/build.txt
	$(COMPILE) --group test-long --constraints locks/test.txt --output-file locks/test-long.txt $(ARGS)

# The same commit makes the same bytes, wherever and whenever it is built.
wheel: $(BUILDING)
	@SOURCE_DATE_EPOCH=$(EPOCH) $(PY) -m hatchling build --target wheel

sbom: $(TESTING)
	@mkdir -p dist
	@SOURCE_DATE_EPOCH=$(EPOCH) $(PY) -m release.sbom dist/tracesidecar.cdx.json

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(PY):
	@for name in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "tracesidecar needs Python 3.11 or newer, and none was found as $(or $(PYTHON),python3 or python3.N). Install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version) (once; about a minute)"; \
	"$$found" -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "$$found cannot make a virtual environment: install its venv and pip packages (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }

# Any version that pyproject.toml allows, so that it works with every index, also with a mirror that
# builds its own wheels.
$(RUNTIME): pyproject.toml | $(PY)
	@$(INSTALL) --editable .
	@touch $@

$(BUILDING): locks/build.txt | $(PY)
	@$(LOCKED) -r $<
	@touch $@

# What CI tests is what locks/ names, byte for byte.
$(TESTING): locks/test.txt pyproject.toml | $(PY)
	@$(LOCKED) -r $<
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(RUNTIME) $(BUILDING)
