# `make help` lists what there is. Everything happens in .venv; nothing outside this folder is touched.
.DEFAULT_GOAL := help
.PHONY: help demo test soak check format lock wheel clean

python := .venv/bin/python
EXECUTOR := processes
pinned := constraints.txt pyproject.toml scripts/setup
extras := spark35 tensorflow torch
soak_needs := $(patsubst %,.venv/.%,$(if $(PART),$(filter $(PART),$(extras)),$(extras)))

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: .venv/$(if $(filter spark,$(EXECUTOR)),.spark,.demo) ## Tune a classifier of clothes (a few minutes). Options: make demo EXECUTOR=spark ARGS="--full"
	$(python) -m manyfit demo --executor $(EXECUTOR) $(ARGS)

test: .venv/.dev ## Check the code and run the tests. A part of them: make test ARGS="-k space"
	@$(MAKE) --no-print-directory --jobs 2 check .venv/.archive .venv/.compiled
	$(python) -m pytest -n logical --maxprocesses 5 $(ARGS)

soak: .venv/.dev $(soak_needs) ## Run what takes hours: before a release, or at night. One part: make soak PART=kills
	$(python) scripts/soak.py $(PART)

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
	    --group torch --group faults --upgrade --no-annotate --custom-compile-command "make lock" --quiet --output-file constraints.txt

wheel: .venv/.dev ## Build the package into dist/
	$(python) -m build

clean: ## Remove what the targets made, but no study and no record
	rm -rf .venv build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages: written last, so an installation that was cut off is done again.
.venv/.demo: $(pinned)
	sh scripts/setup demo
	@touch $@

.venv/.spark: $(pinned)
	sh scripts/setup demo,spark --group java
	@touch $@ .venv/.demo

.venv/.dev: $(pinned)
	sh scripts/setup demo,connect,dask,storage,delta,plots --group dev
	@touch $@ .venv/.demo .venv/.spark

# Spark starts in half the time with it: worth it for the tests, which start it many times.
.venv/.archive: .venv/.dev
	$(python) scripts/archive.py
	@touch $@

# Otherwise each process of the tests would compile what all of them import.
.venv/.compiled: .venv/.dev
	-@$(python) -m pytest --collect-only -qq -n 0 > /dev/null
	@touch $@

# What only `make soak` needs: gigabytes of frameworks.
.venv/.tensorflow: .venv/.dev
	sh scripts/setup tensorflow
	@touch $@

# Without the second index, PyTorch would bring gigabytes for GPUs that no test uses.
.venv/.torch: .venv/.dev
	$(python) -m pip install --quiet --constraint constraints.txt --retries 1 \
	    --extra-index-url https://download.pytorch.org/whl/cpu --group torch
	@touch $@

# The oldest Spark that is supported, in a folder that one test puts on its path.
.venv/.spark35: .venv/.dev
	$(python) -m pip install --quiet --no-deps --upgrade --target .venv/spark35 pyspark==3.5.9 py4j==0.10.9.7
	@touch $@
