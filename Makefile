# `make help` lists what there is. Everything happens in .venv; nothing outside this folder is touched.
.DEFAULT_GOAL := help
.PHONY: help demo test check format lock wheel clean

python := .venv/bin/python
pinned := constraints.txt pyproject.toml scripts/setup

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: .venv/.demo ## Tune a classifier of clothes (a few minutes). Options: make demo ARGS="--full"
	$(python) demo/fashion.py $(ARGS)

test: check ## Check the code and run all tests. A part of them: make test ARGS="-k space"
	$(python) -m pytest $(ARGS)

check: .venv/.dev ## Check style, types and spelling
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(python) -m codespell_lib

format: .venv/.dev ## Put the code into the project's style
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

lock: .venv/.dev ## Pin the newest versions that fit pyproject.toml, in constraints.txt
	$(python) -m uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev \
	    --upgrade --no-annotate --custom-compile-command "make lock" --quiet --output-file constraints.txt

wheel: .venv/.dev ## Build the package into dist/
	$(python) -m build

clean: ## Remove what the targets made, but no study and no record
	rm -rf .venv build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages: written last, so an installation that was cut off is done again.
.venv/.demo: $(pinned)
	sh scripts/setup demo
	@touch $@

.venv/.dev: $(pinned)
	sh scripts/setup demo,tensorflow --group dev
	@touch $@ .venv/.demo
