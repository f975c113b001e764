"""One question each: `NAME`, `TITLE`, `run(plan) -> JSON`, `markdown(JSON)`; in the order of the report."""

from benchmarks.overhead.sections import body, cost, growth, latency, memory, streaming, workers

SECTIONS = {module.NAME: module for module in (cost, latency, streaming, memory, workers, body, growth)}
