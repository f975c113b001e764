"""Debian's Prometheus on a configuration of the test's own."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import free_ports

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
CONFIG = """\
global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: prompt-canary
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
"""


def need_prometheus() -> None:
    if PROMETHEUS is None or PROMTOOL is None:
        pytest.skip("prometheus and promtool are not on PATH (scripts/test-servers)")


@dataclass
class Prometheus:
    port: int

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result


@contextlib.contextmanager
def running_prometheus(folder: Path, *, target: int, rules: Path) -> Iterator[Prometheus]:
    """It scrapes `target`, twice a second."""
    assert PROMETHEUS is not None
    (port,) = free_ports(1)
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=rules, target=target))
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([PROMETHEUS, *arguments], stdout=log, stderr=log)
    try:
        limit = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
                break
            assert time.monotonic() < limit and process.poll() is None, "prometheus does not start"
            time.sleep(0.05)
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(20)
