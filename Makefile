.PHONY: demo test reliability check protos references site audit sbom bench compare quality images scan

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
export PATH := $(CURDIR)/$(RUN):$(PATH)

$(VENV)/ready: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(RUN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/ready
	event-dedup demo

test: $(VENV)/ready
	pytest -n 4 --dist loadfile --no-loadscope-reorder --timeout 900 -rfEs

reliability: $(VENV)/ready
	RELIABILITY=full pytest -s --durations=0 tests/reliability

check: $(VENV)/ready site audit
	ruff check .
	ruff format --check .
	mypy
	buf lint protos
	buf breaking protos --against protos/released.binpb
	pytest tests/test_architecture.py tests/test_generated.py

protos: $(VENV)/ready
	python protos/generate.py libs

references: $(VENV)/ready
	python docs/references.py docs/reference
	python requirements/licences.py docs/reference/licences.md

site: $(VENV)/ready
	mkdocs build --strict

audit: $(VENV)/ready
	python requirements/audit.py

sbom: $(VENV)/ready
	python requirements/sbom.py build/sbom

bench: $(VENV)/ready
	python benchmarks/serving.py
	python benchmarks/watch.py fanout
	python benchmarks/watch.py replicas
	python benchmarks/watch.py stalled
	python benchmarks/overload.py
	python benchmarks/engine.py pairs
	python benchmarks/engine.py growth
	python benchmarks/stream.py
	python benchmarks/report.py

$(VENV)/compare/ready: requirements/compare.txt
	$(PYTHON) -m venv $(VENV)/compare
	$(VENV)/compare/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/compare.txt
	touch $@

compare: $(VENV)/ready $(VENV)/compare/ready
	python benchmarks/splink_compare.py $(VENV)/compare/bin/python

quality: $(VENV)/ready
	python benchmarks/quality.py --into docs/quality.md

images: $(VENV)/ready
	IMAGES=full pytest --durations=0 tests/deploy/test_image.py

$(VENV)/scan/ready: requirements/scan.txt
	$(PYTHON) -m venv $(VENV)/scan
	$(VENV)/scan/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/scan.txt
	touch $@

scan: $(VENV)/ready $(VENV)/scan/ready
	mkdir -p build/scan
	for name in dev production mtls; do kubectl kustomize deploy/k8s/overlays/$$name > build/scan/$$name.yaml || exit; done
	for name in dev production; do kubectl kustomize deploy/k8s/tools/$$name > build/scan/tools-$$name.yaml || exit; done
	cp deploy/Dockerfile build/scan
	$(VENV)/scan/bin/checkov --config-file deploy/scan.yaml --directory build/scan
