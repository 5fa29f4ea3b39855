# The two commands of the README, `make demo` and `make test`, and the developer's shortcuts.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --profile profiles/local
# Dry runs need no data: CIFAR-10 is planned as a download, ImageNet as two empty folders.
NO_DATA := --config 'datasets={cifar10: {source: torchvision, path: data}}'
DATA ?= data/cifar10
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet
export OMP_NUM_THREADS ?= 1

.PHONY: help explain config demo test coverage test-damage test-disks test-kills test-reruns test-slurm test-slurm-short \
	bench-bounds bench-search bench-training bench-precision bench-distillation bench-halving bench-images bench-dag \
	bench-start bench-latency \
	sweep-networks \
	site gallery notebook check format docs lock assumptions clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.complete: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, found " + sys.version.split()[0])'
	@# --clear would empty the folder that a link points to, which belongs to another checkout.
	@if [ -L $(VENV) ]; then echo "error: $(VENV) is a link; install where it points to, or remove the link"; exit 1; fi
	@echo "Installing the packages of requirements.lock into $(VENV): some minutes, torch is large"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.complete ## Run the whole pipeline on real images that need no download, two minutes.
	$(SNAKEMAKE) --configfile config/demo.yaml
	@echo
	@PYTHONPATH=scripts $(BIN)/python -m sacp.report.outcome results/demo/tables/table3.csv results/demo/data/digits.safetensors
	@echo
	@echo "Tables: results/demo/tables, figures: results/demo/figures, the pruned network: results/demo/digits-resnet14/seed0/sacp/winner"

test: $(VENV)/.complete ## Run all tests.
	$(BIN)/pytest --numprocesses 2 --dist loadfile

coverage: $(VENV)/.complete ## Run all tests and say which lines they reach; longer.
	$(BIN)/pytest --numprocesses 2 --dist loadfile --cov --cov-report term

test-kills: $(VENV)/.complete ## Kill each kind of training, and runs of all rules, thirty times and compare the bits; long.
	KILLS=30 $(BIN)/pytest tests/workflow/test_kills.py

test-damage: $(VENV)/.complete ## Damage every artefact in eight ways and compare with docs/damage.md; not as root; long.
	DAMAGE=all $(BIN)/pytest tests/workflow/test_damage.py

test-disks: $(VENV)/.complete ## Run every stage on full disks of many sizes, as root; long.
	DISKS=all $(BIN)/pytest tests/workflow/test_full_disk.py

test-reruns: $(VENV)/.complete ## Carry out every row of docs/reruns.md and look at what has run; long.
	RERUNS=run $(BIN)/pytest --numprocesses 2 tests/workflow/test_reruns.py

test-slurm: $(VENV)/.complete ## Run the demo on a Slurm cluster of one node, as root, and break it in many ways.
	$(BIN)/pytest -m slurm tests/slurm

test-slurm-short: $(VENV)/.complete ## Run the demo on a Slurm cluster of one node, with one cancelled job.
	$(BIN)/pytest -m slurm -k cancelled tests/slurm

bench-bounds: $(VENV)/.complete ## Measure how near the search comes to the best within a budget.
	$(BIN)/python tests/benchmarks/bounds.py --csv docs/results/bounds.csv

bench-search: $(VENV)/.complete ## Measure sampling, scoring and encoder training against their peers.
	$(BIN)/python tests/benchmarks/search.py
	$(BIN)/python tests/benchmarks/beyond_sample.py

bench-training: $(VENV)/.complete ## Measure the training loop against the usual one and against bare steps.
	$(BIN)/python tests/benchmarks/training.py

bench-precision: $(VENV)/.complete ## Compare trainings in float32 and bfloat16 on CIFAR-10 in DATA=..., parquet files.
	$(BIN)/python tests/benchmarks/precision.py $(DATA)

bench-distillation: $(VENV)/.complete ## Compare pruned networks with and without a teacher at equal cost on CIFAR-10 in DATA=..., parquet files.
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks.distillation $(DATA)

bench-dag: $(VENV)/.complete ## Measure what Snakemake takes on a run of three networks and ten seeds.
	$(BIN)/python tests/benchmarks/dag.py

bench-start: $(VENV)/.complete ## Measure what of the demo's CPU seconds is work.
	$(BIN)/python tests/benchmarks/startup.py

bench-latency: $(VENV)/.complete ## Measure how much faster pruned networks are, and how well that is modelled; an hour.
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks.latency
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks.latency_model
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks.latency_budgets

bench-halving: $(VENV)/.complete ## Measure what successive halving saves and costs, on CIFAR-10 in DATA=...; hours.
	PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks.halving $(DATA)

bench-images: $(VENV)/.complete ## Measure how fast image files are decoded.
	$(BIN)/python tests/benchmarks/images.py

.venv-docs/.complete: docs/requirements.lock
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/pip install --quiet --require-hashes --no-deps --requirement docs/requirements.lock
	touch $@

site: .venv-docs/.complete ## Make the pages of docs/ a site, site/index.html; a broken link is an error.
	rm -rf site
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs site
	@# Readers without a network, and those who want no other host to know, see the pages as they are.
	@! grep -rniE '(<(script|img|iframe|source)[^>]*src|<link[^>]*(stylesheet|preload|icon|preconnect)[^>]*href)="?(https?:)?//|(url\(|@import)[^;)]*//[a-z]' \
		--include='*.html' --include='*.css' site || { echo "error: pages of the site load what other hosts have"; exit 1; }
	@echo "site/index.html"

gallery: $(VENV)/.complete ## Make the pictures of docs/gallery.md anew, from a run of the demo with all figures.
	$(SNAKEMAKE) --configfile config/demo.yaml docs/gallery.yaml
	$(BIN)/python docs/make_gallery.py results/gallery/figures docs/images/gallery

notebook: $(VENV)/.complete ## Run docs/notebooks/torchvision_to_onnx.py and make its notebook with what it prints.
	PYTHONPATH=scripts $(BIN)/python docs/notebooks/make_notebook.py docs/notebooks/torchvision_to_onnx.py

.peers/.complete: requirements-peers.lock | $(VENV)/.complete
	rm -rf .peers
	$(BIN)/pip install --quiet --require-hashes --no-deps --target .peers --requirement requirements-peers.lock
	touch $@

sweep-networks: .peers/.complete ## Measure which networks are pruned, and if rightly; hours. NETWORKS='resnet*' AGAIN=ours: some anew.
	@set -f; PYTHONPATH=scripts:tests:.peers $(BIN)/python -m benchmarks.networks $(NETWORKS) $(if $(AGAIN),--again $(AGAIN))

explain: $(VENV)/.complete ## Show how FILE=... was made, back to the data; with OTHER=... what the two differ in.
	@$(BIN)/python -m sacp.artefacts.explain $(if $(FILE),$(FILE),$(error FILE is not set: make explain FILE=results/demo/tables/table3.csv)) $(OTHER)

config: $(VENV)/.complete ## Name the line of CONFIG=... where it is no YAML, or says a thing twice.
	@$(BIN)/python -m sacp.plan.reading $(if $(CONFIG),$(CONFIG),$(error CONFIG is not set: make config CONFIG=config/demo.yaml))

check: $(VENV)/.complete ## Style, types, lint, and dry runs of every profile and config.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	PYTHONPATH=scripts $(BIN)/lint-imports --no-cache
	$(BIN)/snakemake --lint
	set -e; for config in $(filter-out config/schema.yaml config/imagenet.yaml,$(wildcard config/*.yaml)); do for profile in profiles/*; do \
		echo "dry run: $$config with $$profile"; \
		$(BIN)/snakemake --profile $$profile --configfile $$config --dry-run --quiet $(NO_DATA); \
	done; done
	set -e; tree=$$(mktemp -d); trap 'rm -r "$$tree"' EXIT; mkdir "$$tree/train" "$$tree/val"; for profile in profiles/*; do \
		echo "dry run: config/imagenet.yaml with $$profile"; \
		$(BIN)/snakemake --profile $$profile --configfile config/imagenet.yaml --dry-run --quiet \
			--config "datasets={imagenet: {path: $$tree}}"; \
	done

format: $(VENV)/.complete ## Format code and rules.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile rules

docs: $(VENV)/.complete ## Make docs/config.md, docs/command.md and the tables of docs/methods.md anew.
	PYTHONPATH=scripts $(BIN)/python -m sacp.catalogue.page docs/methods.md
	PYTHONPATH=scripts $(BIN)/python -m sacp.plan.page config/schema.yaml docs/config.md
	PYTHONPATH=scripts $(BIN)/python -m sacp.api.page docs/command.md

lock: $(VENV)/.complete ## Resolve the dependencies of pyproject.toml anew.
	$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(COMPILE) --group peers --no-deps --output-file requirements-peers.lock
	$(COMPILE) --group docs --output-file docs/requirements.lock

assumptions: ## List where the paper left something open and what was chosen.
	@grep -rnE '(ASSUME|DEVIATION):' config rules scripts

clean: ## Remove the demo's results, the site and the caches of tests and checks; other results, data, .venv and .snakemake stay.
	rm -rf results/demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
