# Thin names for the commands of CONTRIBUTING.md.
.PHONY: setup test coverage check docs quickstart lock wheels ci

setup:  ## an environment with everything, and a lock that git keeps free of addresses
	python3 tools/lock.py --install-filter
	uv sync

test:
	uv run pytest -n auto

coverage:  ## every test, measured; the lines that no test reaches are in htmlcov/
	uv run pytest -n auto --cov --cov-report=term --cov-report=html

check:  ## everything that is quicker than the tests
	uv run ruff check
	uv run ruff format --check
	uv run codespell
	uv run pyrefly check
	uv run lint-imports
	uv run tools/house.py

docs:  ## the site, in build/site/html; needs no network
	uv run --group docs tools/doc_site.py

quickstart:
	uv run tools/quickstart.py

lock:  ## after a change of dependencies
	uv lock
	python3 tools/lock.py

wheels:
	uv run tools/wheels.py

ci:
	.ci/run
