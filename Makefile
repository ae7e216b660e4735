# make quickstart  install what the quickstart recipe needs, and run it
# make test        lint, then run the tests on all three backends
# make test-slow   run the tests marked `slow`, which take minutes
PYTHON ?= python3
BACKEND ?= tensorflow
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2
# Tests marked `any_backend` test nothing that depends on the backend.
SELECT ?= $(if $(filter torch,$(BACKEND)),,-m "not any_backend")

.PHONY: quickstart test test-slow test-backends test-backend lint clean

quickstart: .venv/quickstart
	KERAS_BACKEND=$(BACKEND) .venv/bin/python recipes/quickstart.py

test: .venv/dev lint
	@$(MAKE) --no-print-directory test-backends

test-slow: .venv/dev
	@$(MAKE) --no-print-directory test-backends SELECT='--slow -m slow'

# A failure on one backend must not hide the results of the others. The
# summary comes last, where it is seen.
test-backends: .venv/dev
	@failed=; \
	for backend in torch tensorflow jax; do \
		$(MAKE) --no-print-directory test-backend BACKEND=$$backend \
			|| failed="$$failed $$backend"; \
	done; \
	if [ -n "$$failed" ]; then \
		echo "Tests failed on:$$failed"; exit 1; \
	fi; \
	echo "Tests passed on: torch tensorflow jax"

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
	# Reference implementations; the tests do not need their dependencies.
	.venv/bin/python -m pip install -q --no-deps \
		DALL-E cityscapesscripts pyquaternion
	touch $@

clean:
	rm -rf .venv outputs build dist
