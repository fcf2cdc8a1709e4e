# Two commands do everything on a fresh machine: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_MODELS ?= resnet18,mobilenet_v2,shufflenet_v2_x1_0,efficientnet_b0
DEMO_OPTIONS ?=
# runs at a time; and the precision of AlexNet, which is all dense: bf16 is faster where the processor computes in it
# (with a GPU all networks take the GPU's own)
DEMO_PARALLEL ?= 2
DEMO_PRECISION ?= $(shell test -e /dev/nvidiactl && echo auto || { grep -qs avx512_bf16 /proc/cpuinfo && echo bf16 || echo fp32; })
# processes that share the tests: two more than there are cores, for many wait; at most five; 0: all in one
TEST_PROCESSES ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$(( cores < 3 ? cores + 2 : 5 )))
DEMO := demo
# Images of containers often forbid Python to keep what it compiled; each of a hundred processes would compile it again.
export PYTHONDONTWRITEBYTECODE :=
# what every run of the demo shares: where it trains and how verbose it is come from the experiment file
DEMO_TRAIN := $(BIN)/harness train +experiment=demo out=$(DEMO)/runs $(DEMO_OPTIONS)

# Published ladders: a new one is aggregated by hand once, when its runs give costs.
LADDERS = $(shell git ls-files ':(glob)results/*/trend.json' | cut -d/ -f2)

.PHONY: install demo test lint results check lock clean

install: $(VENV)/.installed

# In a fresh clone the demo installs what runs need, everything else all of it.
$(VENV)/.runs: EXTRAS := slurm,gpu
$(VENV)/.installed: EXTRAS := dev,slurm,gpu
$(VENV)/.runs $(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(VENV)/.runs $@

# AlexNet's full schedule sets the level, so far below its end that its own curve passes it; the others train until they
# reach it; then table, trend, figure and page.
demo: $(VENV)/.runs
	$(DEMO_TRAIN) model=alexnet target=none precision=$(DEMO_PRECISION)
	$(BIN)/harness target $(DEMO)/runs --margin 10 --out $(DEMO)/target.yaml
	$(DEMO_TRAIN) -m model=$(DEMO_MODELS) target=$(DEMO)/target.yaml hydra.launcher.parallel=$(DEMO_PARALLEL)
	$(BIN)/harness aggregate $(DEMO)/runs --out $(DEMO)
	$(BIN)/harness report $(DEMO)/runs --out $(DEMO)/report.html
	@echo
	@echo "And the published trend, rebuilt from its constants:"
	$(BIN)/harness replay
	@echo
	@echo "Figure: $(DEMO)/trend.png   Table: $(DEMO)/TABLE.md   Page: $(DEMO)/report.html"

# A file's tests stay in one process, and so do all that need Slurm.
test: install
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every committed record, read back and recounted.
check: install
	$(BIN)/harness check results

# Every committed table and figure, regenerated from the records; CI fails when that changes a byte.
results: install
	$(BIN)/python -m results.compare_counters
	for name in $(LADDERS); do $(BIN)/harness aggregate results/runs/$$name --out results/$$name || exit; done
	$(BIN)/python -m results.rejudged
	$(BIN)/python -m results.devices
	$(BIN)/python -m results.imagenet_macs
	$(BIN)/python -m results.imagenet_trend
	$(BIN)/harness replay --json > results/published/replay.json
	$(BIN)/python -m results.pilot
	$(BIN)/python -m results.walkthrough
	$(BIN)/python -m results.readme

# Pin what is installed now. The file names no host and no local path.
lock: install
	$(BIN)/pip freeze --exclude-editable | grep -v '^-e' | grep -v ' @ ' > constraints.txt

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
