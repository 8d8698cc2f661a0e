# Needs make and Python >= 3.11 with pip, nothing else. `make PYTHON=python3.12 run` names the interpreter.

PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-installed
TESTING := $(VENV)/.testing-installed
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
ARGS ?=
# Many tests wait for servers and processes: three workers keep two cores busy.
WORKERS ?= 3
STRUCTURE := $(addprefix tests/hygiene/test_,layering.py import_rules.py faces.py names.py dead_code.py) \
  tests/docs/test_promises.py tests/docs/test_architecture.py

.PHONY: run test test-all kills damages check bench figures servers clean
.DEFAULT_GOAL := run

run: $(RUNTIME)
	@exec $(VENV)/bin/tracesidecar $(or $(ARGS),run)

test: $(TESTING) servers check
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not long" $(ARGS)

test-all: $(TESTING) servers check
	@$(INSTALL) --group test-long
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

kills: $(TESTING) servers
	@$(PY) -m tests.faults.kills $(ARGS)

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

$(RUNTIME): pyproject.toml | $(PY)
	@$(INSTALL) --editable .
	@touch $@

# pip before 25.1 cannot install a dependency group.
$(TESTING): pyproject.toml | $(PY)
	@$(INSTALL) "pip>=25.1"
	@$(INSTALL) --editable . --group test
	@touch $@ $(RUNTIME)
