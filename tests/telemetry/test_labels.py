"""One table of labels: each that a metric has, no other, and each bounded."""

from __future__ import annotations

from typing import get_args

from gateway.child import ENTRIES
from gateway.proxy.breaker import State
from gateway.supervisor import ROLES
from gateway.telemetry import counts, labels
from gateway.telemetry.labels import LABELS
from gateway.telemetry.metrics import METRICS


def test_labels_of_the_metrics_are_those_of_the_table() -> None:
    assert {label for metric in METRICS for label in metric.labels} == set(LABELS)


def test_each_label_has_words_or_a_bound() -> None:
    assert [name for name, label in LABELS.items() if bool(label.words) == bool(label.bounded)] == []


def test_the_words_are_those_of_the_code() -> None:
    assert set(counts.KINDS) == set(LABELS["kind"].words)
    assert set(counts.OUTCOMES) == set(LABELS["outcome"].words)
    assert {role for roles in ROLES.values() for role in roles} | set(ENTRIES) == set(labels.ROLES)
    assert get_args(State) == labels.BREAKER
    for metric in METRICS:
        if metric.known and LABELS[metric.labels[0]].words:
            assert set(metric.known) <= set(LABELS[metric.labels[0]].words), metric.name
