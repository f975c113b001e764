"""Suites of any known form, told by the file's name: `.prompt.yml`, `.jsonl`, `.json`, else YAML of ours."""

from __future__ import annotations

from typing import Any

import yaml

from gateway.evals.imports.github import of_github
from gateway.evals.imports.graders import of_graders
from gateway.evals.imports.reading import Source
from gateway.evals.imports.samples import of_samples
from gateway.evals.suite import Suite, read_suite

FOREIGN = (".prompt.yml", ".prompt.yaml", ".jsonl", ".json")
SUFFIXES = (".yaml", ".yml", *FOREIGN)


def name_of(file: str) -> str:
    """Of a suite, by its file's.

    >>> name_of("evals/support.prompt.yml")
    'support'
    """
    return file.rpartition("/")[2].partition(".")[0]


def read_any(text: str, name: str, source: str) -> Suite:
    """Raises `InvalidValue`."""
    if not source.endswith(FOREIGN):
        return read_suite(text, name, source)
    return read_suite(as_yaml(imported(text, source), source), name, f"{source} as a suite")


def imported(text: str, source: str, *, items: Source | None = None, how: str = "match") -> dict[str, Any]:
    """A suite of one of the foreign forms, in our dialect. `how` samples' ideals are compared; `items` of
    graders. Raises `InvalidValue`."""
    given = Source(text, source)
    if not source.endswith(FOREIGN):
        given.fail(1, f"what is taken over ends with {', '.join(FOREIGN)}")
    if source.endswith(FOREIGN[:2]):
        return of_github(given)
    if source.endswith(".jsonl"):
        return of_samples(given, how)
    return of_graders(given, items)


def as_yaml(suite: dict[str, Any], source: str) -> str:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text: str = yaml.dump(suite, Dumper=Plain, sort_keys=False, allow_unicode=True, width=110)
    return f"# Taken over from {source.rpartition('/')[2]} (docs/evals.md).\n{text}"
