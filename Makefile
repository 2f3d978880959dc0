# `make help` lists the targets. Everything runs in .venv, which `make setup` makes.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup train fpga test faults lint format bench sweep clean

help:   ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)   ## make .venv with everything, in the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("anomaly_hep needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --only-binary pythia8mc torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --only-binary pythia8mc --editable '.[sim,wandb,hpc,fpga,dev]'
	@touch $(STAMP)

train: $(STAMP)   ## the main job: simulate, train CLIP-VAE, score, evaluate (ARGS="model.beta=0.1")
	$(BIN)/python train.py model=clipvae data=jetclass $(ARGS)

fpga: $(STAMP)   ## firmware of the newest CLIP-VAE run, or of a small one, with its proof (ARGS="fpga=finn")
	$(BIN)/python -m anomaly_hep fpga $(ARGS)

test: $(STAMP)   ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

faults: $(STAMP)   ## inject faults into files, runs, options and processes, and count what comes of it
	$(BIN)/python -m tests.faults.campaign $(ARGS)

lint: $(STAMP)   ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)   ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)   ## rates of reading, training and scoring, into outputs/bench*.json
	$(BIN)/python -m anomaly_hep benchmark $(ARGS)
	$(BIN)/python -m anomaly_hep benchmark data=darkshowers data.dir=data/darkshowers-bench \
		~data.simulation.sizes.val ~data.simulation.sizes.test \
		data.simulation.sizes.train.QCD=512 stream_gigabytes=0 output=outputs/bench-images.json $(ARGS)
	$(BIN)/python -m anomaly_hep benchmark data=darkmachines data.channel=3 data.dir=data/darkmachines-bench \
		'data.simulation.sizes={events: {SM: 1000}}' stream_gigabytes=0 output=outputs/bench-objects.json $(ARGS)
	$(BIN)/python -m anomaly_hep benchmark data=lhco data.dir=data/lhco-bench \
		'data.simulation.sizes={events: {QCD: 8000, two_prong: 1000}}' stream_gigabytes=0 \
		output=outputs/bench-collisions.json $(ARGS)
	$(BIN)/python -m anomaly_hep benchmark data=stealthjets data.dir=data/stealthjets-bench \
		'data.simulation.sizes={train: {QCD: 2000}, val: {QCD: 1000}, test: {QCD: 1000}}' stream_gigabytes=0 \
		output=outputs/bench-boosted.json $(ARGS)
	$(BIN)/python benchmarks/emd.py
	$(BIN)/python benchmarks/plain_lightning.py

sweep: $(STAMP)   ## an example: three values of beta, two runs at a time
	$(BIN)/python train.py -m model.beta=0.01,0.08,0.3 hydra/launcher=joblib hydra.launcher.n_jobs=2 threads=1 trainer.enable_progress_bar=false $(ARGS)

clean:   ## remove caches; data/, outputs/ and .venv stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests -name __pycache__ -type d -exec rm -rf {} +
