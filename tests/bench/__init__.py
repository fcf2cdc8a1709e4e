"""Benchmarks. Nothing here is collected by pytest; `python -m tests.bench --help` explains."""
