"""Timings, one folder a question. `python -m benchmarks report` writes report.md; `python -m benchmarks smoke` only runs them."""
