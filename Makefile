# The book in two commands: `make run` executes it, `make test` proves it. Each target is what a person could type.
#
#   make run ALL=1        execute every chapter, changed or not
#   make run ONLY=06      look at one chapter only
#   make run PYTHON=...   the Python (3.11 or later) that makes .venv
#   make run TORCH=...    more arguments for pip, used when .venv is made: on Linux without a GPU,
#                         TORCH="--extra-index-url URL" with the URL of PyTorch's CPU wheels (its "Get
#                         started" page names it) spares several GB of CUDA libraries
#   make papers BUDGET=full TABLE=jang-1 JOBS=1 SCHEDULER=tcp://HOST:8786
#                         the long budget, one table, how many at once, or on the workers of a Dask cluster
#   make test READY= BIN=DIR   use the programs in DIR, such as "$CONDA_PREFIX/bin", in place of .venv

PYTHON ?= python3
TORCH ?=
BIN := .venv/bin
READY := .venv/ready
FRESH := .cache/figures

# One thread a process, since two run at once; and no progress bar in a stored output.
run test: export CATVAE_PROFILE := cpu
run test: export OMP_NUM_THREADS := 1
run test bench: export TQDM_DISABLE := 1

.PHONY: help doctor run test site bench papers assignments grade test-hub test-browser matrix mutants \
	audit lab
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 \t/p' Makefile | expand -t 16

doctor: ## check this machine, before or after the installation, and say what to do
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) tools/doctor.py

run: $(READY) ## execute the chapters that changed; store their outputs and pictures (ALL=1, ONLY=06)
	$(BIN)/python tools/execute.py $(if $(ALL),--all) $(if $(ONLY),--only $(ONLY))

test: $(READY) ## lint, types, unit tests, every notebook's outputs compared, what nbval cannot see, and a browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict catvae_lib
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup --doctest-modules
	rm -rf $(FRESH)
	CATVAE_FIGURES=$(CURDIR)/$(FRESH) $(BIN)/python -m pytest -q -n 2 --dist loadscope -p no:cacheprovider \
		--nbval --nbval-current-env --nbval-cell-timeout=300 \
		$(wildcard notebooks/*.ipynb notebooks/assignments/solutions/*.ipynb)
	$(BIN)/python tools/check.py --fresh $(FRESH)
	sh tests/browser/run.sh $(BIN) --if-found

site: $(READY) ## build the web book into .cache/site; the first time npm brings one file, MathJax
	$(BIN)/python tools/web.py

bench: $(READY) ## time training, the bound, every estimator and the sliders, as ratios within one run; memory (35 minutes)
	$(BIN)/python tests/benchmarks/speed.py
	$(BIN)/python tests/benchmarks/estimators.py
	$(BIN)/python tests/benchmarks/interactive.py
	$(BIN)/python tests/benchmarks/memory.py

papers: $(READY) ## train what is missing of the papers' tables; stopped, it goes on where it was (a good hour)
	$(BIN)/python -m catvae_lib.papers $(if $(BUDGET),--budget $(BUDGET)) $(if $(TABLE),--table $(TABLE)) \
		$(if $(JOBS),--jobs $(JOBS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

assignments: $(READY) ## make the student's notebooks, the solutions and the tests from the masters
	$(BIN)/python tools/assignments.py $(ONLY)

grade: $(READY) ## grade a folder of submissions: make grade ASSIGNMENT=01_gumbel_sampling FROM=DIR TO=DIR
	$(BIN)/python tools/grade.py $(ASSIGNMENT) '$(FROM)' '$(TO)'

test-hub: $(READY) ## a class on a JupyterHub, end to end; gets the hub, and its proxy by npm, into .cache/hub
	$(BIN)/python -m pip install --quiet --upgrade --target .cache/hub/site jupyterhub==6.1.1 --constraint constraints.txt
	npm install --silent --no-fund --prefix .cache/hub configurable-http-proxy@5.3.0
	$(BIN)/python tests/classroom/hub.py .cache/hub

test-browser: $(READY) ## the web book and JupyterLab in Chromium; npm brings playwright-core and axe-core into .cache/browser
	sh tests/browser/run.sh $(BIN)

matrix: $(READY) ## compare the notebooks in other settings: threads, instructions, folder, read-only, no network, locale (an hour)
	$(BIN)/python tests/matrix.py

mutants: $(READY) ## change the library in 6000 places and see whether a test notices (an hour)
	$(BIN)/python tools/mutants.py

audit: ## look up every pinned package among the known vulnerabilities; needs the network
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/python -m pip install --quiet pip-audit==2.10.1
	.cache/audit/bin/pip-audit --disable-pip --no-deps --requirement constraints.txt

# What a reader tries out does not replace the book's figures.
lab: export CATVAE_FIGURES := $(CURDIR)/.cache/lab-figures
lab: $(READY) ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[book,site,teach,test]' --constraint constraints.txt $(TORCH)
	touch $@
