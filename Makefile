# One word per chore. `make demo` and `make test` install what they need.
PYTHON := .venv/bin/python
QGIS_PYTHON ?= /usr/bin/python3

.PHONY: help setup demo test test-engine test-qgis check format bench parity plugin models catalog docs clean

help: ## list the words
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## install uv, the Python environment .venv and QGIS where missing
	@.ci/setup.sh python qgis

demo: setup ## train, segment and detect change on real imagery, in Python and through QGIS
	@$(PYTHON) recipes/demo/run.py

test: setup test-engine test-qgis ## the whole suite, with the QGIS that is installed

test-engine:
	OMP_NUM_THREADS=1 .ci/again.sh '$(PYTHON) -m pytest' -n 2 --dist loadfile

test-qgis: ## the QGIS part alone; QGIS=3.44 runs it on a version fetched for the purpose
	.ci/test_qgis.sh $(QGIS)

check: ## format, lint, types, catalogue and documentation up to date
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

format: ## put the code into form
	$(PYTHON) -m ruff check --fix-only --quiet .
	$(PYTHON) -m ruff format .

bench: ## all benchmarks; each prints ratios measured in one run
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(PYTHON) $$file || exit 1; done

parity: ## differences of models to the published code; PARITY=folder takes other references
	$(PYTHON) -m pytest -q tests/models --parity -k as_the_published

plugin: ## the zip for QGIS's plugin repository, into dist/
	$(PYTHON) .ci/build_plugin.py

models: ## write the packaged QGIS models anew (with QGIS 3.22)
	$(QGIS_PYTHON) .ci/build_models.py

catalog: ## write the descriptions of the operations for QGIS
	$(PYTHON) -m torchgeo_ext catalog --write qgis_plugin/operations

docs: ## write the generated tables of the README
	$(PYTHON) -m torchgeo_ext docs .

clean:
	rm -rf build dist demo .mypy_cache .pytest_cache .ruff_cache
