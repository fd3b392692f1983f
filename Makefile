# Three commands: `make demo`, `make test`, `make check`. Recipes call nothing but Python, so that a
# machine with only Python, git and make can run them.
PYTHON ?= python3
VENV = .venv/bin

.PHONY: setup demo test check

setup:
	@$(PYTHON) tools/setup_environment.py

demo: setup
	@$(VENV)/yld demo

# Half of the time goes into waiting for Ray to start: three files at a time on two cores.
test: setup
	@$(VENV)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# What a change must pass beside the tests; seconds. mkdocs not --quiet, which hides warnings from
# --strict too.
check: setup
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --strict
