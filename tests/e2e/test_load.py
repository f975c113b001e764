"""The load scripts, for some seconds each, on a gateway with two workers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.overhead import installed
from tests.support.gateway import Gateway

ROOT = Path(__file__).resolve().parent.parent.parent
NODE = shutil.which("node")


def load(gateway: Gateway, tool: str, *options: str) -> subprocess.CompletedProcess[str]:
    url = gateway.base_url.removesuffix("/v1")
    command = [sys.executable, "-m", "load", tool, "--url", url, "--seconds", "3", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.skipif(installed.command("locust") is None and "CI" not in os.environ, reason="needs Locust")
def test_people_in_conversations_meet_no_failure(gateway: Gateway) -> None:
    done = load(gateway, "locust", "--users", "4")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for name in ("chat", "chat, streamed"):
        row = re.search(rf"^POST +{name} +(\d+) +0\(0\.00%\)", said, re.MULTILINE)
        assert row is not None, said
        assert int(row[1]) > 0


@pytest.mark.skipif(NODE is None and shutil.which("k6") is None, reason="needs k6 or Node")
def test_a_constant_rate_stays_below_its_thresholds(gateway: Gateway) -> None:
    done = load(gateway, "k6", "--rate", "10", "--added-ms", "5000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "added_first_byte" in done.stdout
    assert len(gateway.seen(30)) == 30


@pytest.mark.skipif(NODE is None and shutil.which("k6") is None, reason="needs k6 or Node")
def test_a_threshold_that_is_crossed_ends_with_an_error(gateway: Gateway) -> None:
    done = load(gateway, "k6", "--rate", "5", "--added-ms", "-1000")
    assert done.returncode == 99, done.stdout + done.stderr


def test_what_cannot_be_reached_fails() -> None:
    """Every answer is missing: the rate of failures says so."""
    if NODE is None and shutil.which("k6") is None:
        pytest.skip("needs k6 or Node")
    command = [sys.executable, "-m", "load", "k6", "--url", "http://127.0.0.1:9", "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 99, done.stdout + done.stderr
