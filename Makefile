# One command sets up and runs the main job, one sets up and tests:
#   make quickstart
#   make test
# Another adds the proofs of minutes, those marked `slow`:
#   make test-slow
PYTHON ?= python3
BACKEND ?= tensorflow
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2
SELECT ?=

.PHONY: quickstart test test-slow test-backend lint clean

quickstart: .venv/quickstart
	KERAS_BACKEND=$(BACKEND) .venv/bin/python recipes/quickstart.py

test: .venv/dev lint
	$(MAKE) test-backend BACKEND=torch
	$(MAKE) test-backend BACKEND=tensorflow SELECT='-m "not any_backend"'
	$(MAKE) test-backend BACKEND=jax SELECT='-m "not any_backend"'

test-slow: .venv/dev
	for backend in torch tensorflow jax; do \
		$(MAKE) test-backend BACKEND=$$backend SELECT='--slow -m slow' \
			|| exit 1; \
	done

test-backend: .venv/dev
	OMP_NUM_THREADS=1 KERAS_BACKEND=$(BACKEND) \
		.venv/bin/python -m pytest -q -n $(WORKERS) --dist worksteal $(SELECT)

lint: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/quickstart: pyproject.toml constraints.txt | .venv/bin/python
	.venv/bin/python -m pip install -q -c $(CONSTRAINTS) \
		-e ".[$(BACKEND),data]"
	touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	.venv/bin/python -m pip install -q -c $(CONSTRAINTS) -e ".[dev]"
	# Oracles of the tests; they ask for packages that the tests do not need.
	.venv/bin/python -m pip install -q --no-deps \
		DALL-E cityscapesscripts pyquaternion
	touch $@

clean:
	rm -rf .venv outputs build dist
