# The two commands of the README, and what lies around them. Everything sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
EXTRAS := offline,excel,icd10who,plots,trackers,privacy,onnx,docs,dev
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= true
export CLINICAL_TL_CORPORA ?= $(CURDIR)/../shared/data

.PHONY: demo test lint unit test-python docs real real-quick few-labels real-transfer real-tests bench gpu-check \
	test-lowest picture notebooks clean

demo: $(READY)  ## Train and score four tasks on synthetic notes (under 5 minutes on 2 cores).
	$(BIN)/python -m recipes.demo

test: lint unit  ## Style, types and tests.

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: export OMP_NUM_THREADS ?= 1
unit: $(READY)  # Tiny models wait for a second thread more than they use it; a second process helps.
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

test-python:  ## The tests on another Python, in an environment of its own: PYTHON=python3.12
	$(MAKE) unit VENV=.venv-$(notdir $(PYTHON))

real: $(READY) few-labels  ## All tasks on the real corpora of CLINICAL_TL_CORPORA: runs/real/summary.json.
	$(BIN)/python -m recipes.real

few-labels: $(READY)  ## Every way to use an encoder on few labelled notes of them: runs/few_labels/results.json.
	$(BIN)/python -m recipes.few_labels

real-quick: $(READY)  ## The same on subsets, under 10 minutes.
	$(BIN)/python -m recipes.real --quick true

real-transfer: $(READY)  ## Every way to transfer on real corpora (a night on 2 cores): runs/real_transfer/summary.json.
	$(BIN)/python -m recipes.real_transfer

real-tests: $(READY)  ## Tests that train on the real corpora.
	$(BIN)/python -m pytest -m real

bench: $(READY)  ## Speed against transformers' Trainer and pipeline.
	$(BIN)/python -m pytest -m benchmark -s tests/benchmarks

gpu-check: $(READY)  ## The whole path on a GPU: training, precisions, the same bits, a loaded model.
	$(BIN)/python -m pytest -m gpu -ra tests/test_gpu.py

docs: $(READY)  ## The documentation as a site, every link in it checked: build/docs/index.html.
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --nitpicky --quiet \
		-c docs -d build/doctrees . build/docs

picture: $(READY)  ## docs/report.png anew, from the README's example.
	$(BIN)/python docs/draw_report.py

notebooks: export OMP_NUM_THREADS ?= 1
notebooks: $(READY)  ## The outputs that the notebooks are stored with, anew (minutes).
	$(BIN)/python notebooks/store_outputs.py

LOWEST := .venv-lowest
LOWEST_TESTS := tests/data tests/metrics tests/text tests/network tests/models tests/tasks \
	tests/saved/test_artifact.py tests/training/test_loop.py tests/transfer/test_domain_adaptation.py

test-lowest:  ## The lowest versions that pyproject.toml allows, on tests that touch every one of them.
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct \
		--editable '.[offline,excel,icd10who,onnx,trackers,dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -p no:cacheprovider -W default $(LOWEST_TESTS)

$(READY): pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf $(VENV) .venv-* runs build dist docs/reference *.egg-info .mypy_cache .ruff_cache .pytest_cache
