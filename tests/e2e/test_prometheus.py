"""Debian's Prometheus scrapes a running gateway, takes the rules, and answers each panel of the dashboard."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.telemetry.exposition import OPENMETRICS
from gateway.telemetry.labels import LABELS
from gateway.telemetry.metrics import METRICS, PREFIX
from tests.support.gateway import Gateway, ask_once, make_gateway, running
from tests.support.metrics import LABEL, scraped
from tests.support.prometheus import PROMTOOL, Prometheus, need_prometheus, running_prometheus
from tests.support.worker import chat_body

CONFIG = Path(__file__).resolve().parent.parent.parent / "config"
RULES = CONFIG / "prometheus" / "rules.yml"
DASHBOARD = json.loads((CONFIG / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SCENARIO = "default: {first_token_ms: 5, gap_ms: 5, tokens: 5, tokens_spread: 0}\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With answers of both arms, whole and streamed, and a rollout under a policy."""
    need_prometheus()
    with running(make_gateway(tmp_path_factory.mktemp("gateway"), scenario=SCENARIO)) as gateway:
        version = gateway.push("second")
        gateway.call(
            "/v1/prompts/greeter/rollouts", {"version": version, "policy": "fast", "reason": "a test"}
        )
        asyncio.run(ask(gateway))
        yield gateway


@pytest.fixture(scope="module")
def prometheus(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with running_prometheus(folder, target=gateway.admin, rules=RULES) as prometheus:
        until(lambda: bool(prometheus.query("promptcanary_requests_total > 0")))
        asyncio.run(ask(gateway))
        until(lambda: value(prometheus, "sum(promptcanary_requests_total)") == 84)
        until(lambda: value(prometheus, "sum(rate(promptcanary_requests_total[1m]))") > 0)
        yield prometheus


async def ask(gateway: Gateway) -> None:
    for number in range(20):
        session = {"x-session-id": str(number)}
        await ask_once(gateway.port, chat_body(model="gpt-4o-mini"), session)
        await ask_once(gateway.port, chat_body(model="gpt-4o-mini", stream=True), session)
    for _ in range(2):  # of no session, and refused
        await ask_once(gateway.port, chat_body(model="gpt-4o-mini"), {"x-session-id": "long" * 200})
        await ask_once(gateway.port, b"{", {})


def until(condition: Callable[[], bool], limit: float = 30.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


def value(prometheus: Prometheus, expression: str) -> float:
    results = prometheus.query(expression)
    return float(results[0]["value"][1]) if results else 0.0


def test_prometheus_takes_what_the_gateway_says(gateway: Gateway, prometheus: Prometheus) -> None:
    (target,) = prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    metadata = prometheus.get("metadata")
    kinds = {name: entries[0]["type"] for name, entries in metadata.items() if name.startswith(PREFIX)}
    table = {PREFIX + metric.name: metric.kind for metric in METRICS}
    # OpenMetrics names a counter's family without its ending.
    assert {name: table.get(name) or table[f"{name}_total"] for name in kinds} == kinds
    assert len(kinds) > 40


def test_promtool_finds_nothing_to_say(gateway: Gateway) -> None:
    assert PROMTOOL is not None
    text = scraped(gateway)
    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert scraped(gateway, OPENMETRICS).endswith("# EOF\n")


def test_labels_have_only_the_words_of_the_table(gateway: Gateway) -> None:
    seen: dict[str, set[str]] = {}
    for name, value in LABEL.findall(scraped(gateway)):
        seen.setdefault(name, set()).add(value)
    del seen["le"]
    assert set(seen) <= set(LABELS)
    assert len(seen) > 15
    for name, values in seen.items():
        assert values <= set(LABELS[name].words) or not LABELS[name].words, name


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_of_the_dashboard_has_an_answer(prometheus: Prometheus, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", "1m").replace("$prompt", ".*")
        names = set(re.findall(r"promptcanary_\w+", expression))
        known = {PREFIX + metric.name for metric in METRICS}
        assert {re.sub(r"_bucket$", "", name) for name in names} <= known
        results = prometheus.query(expression)
        assert results, expression
        labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        for result in results:
            assert labels <= set(result["metric"]), expression


def test_the_rules_are_evaluated(prometheus: Prometheus) -> None:
    until(lambda: all(rule["lastEvaluation"] > "2" for rule in rules(prometheus)))
    assert {(rule["name"], rule["health"]) for rule in rules(prometheus)} == {
        (rule.get("alert") or rule["record"], "ok")
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    assert not [rule["name"] for rule in rules(prometheus) if rule.get("state") == "firing"]


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")], ids=" ".join
)
def test_the_files_beside_the_rules_are_good(arguments: tuple[str, ...]) -> None:
    need_prometheus()
    folder = CONFIG / "prometheus"
    done = subprocess.run(
        [PROMTOOL or "", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    tested = (CONFIG / "prometheus" / "rules_test.yml").read_text()
    assert {name for name in alerts if f"alertname: {name}" not in tested} == set()
