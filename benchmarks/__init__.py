"""Measurements, each one command: `python -m benchmarks.overhead`. Seeded; results as JSON and Markdown."""
