"""Lines for people, and lines for machines."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from gateway.telemetry.logs import ABOUT, JsonFormatter, TextFormatter
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import chat_body, worker_stage

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "my-very-own-words"


def line(message: str, *values: object, **about: object) -> logging.LogRecord:
    found = logging.LogRecord("gateway.x", logging.WARNING, "x.py", 1, message, values, None)
    setattr(found, ABOUT, about)
    return found


def test_a_json_line_has_its_fields() -> None:
    read = json.loads(JsonFormatter("worker-1").format(line('it said "%s"', "no\nway", prompt="greeter")))
    assert datetime.fromisoformat(read.pop("time")).tzinfo is not None
    assert read == {
        "level": "WARNING",
        "process": "worker-1",
        "module": "gateway.x",
        "message": 'it said "no\nway"',
        "prompt": "greeter",
    }


def test_a_traceback_stays_on_its_line() -> None:
    found = line("it failed")
    try:
        raise ValueError("odd")
    except ValueError:
        found.exc_info = sys.exc_info()
    text = JsonFormatter("worker-1").format(found)
    assert "\n" not in text
    assert json.loads(text)["error"].endswith("ValueError: odd")


def test_a_text_line_says_what_it_is_about() -> None:
    text = TextFormatter("worker-1").format(line("request", prompt="greeter", status=200))
    assert text.endswith("WARNING worker-1 gateway.x: request prompt=greeter status=200")
    assert TextFormatter("").format(line("ready")).endswith("WARNING gateway.x: ready")


@on_uvloop
async def test_the_access_line_names_request_and_trace_and_no_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    headers = {"x-prompt": "greeter", "traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
    async with worker_stage(tmp_path, logs={"access": True}) as stage:
        await stage.deploy()
        reply = await stage.ask(chat_body(SECRET), headers)
    (found,) = [entry for entry in caplog.records if entry.name == "gateway.access"]
    read = json.loads(JsonFormatter("worker-1").format(found))
    assert 0 <= read.pop("seconds") < 5
    assert {name: read[name] for name in ("request_id", "trace_id", "prompt", "version", "status")} == {
        "request_id": reply.headers["x-request-id"],
        "trace_id": TRACE,
        "prompt": "greeter",
        "version": 1,
        "status": 200,
    }
    assert SECRET not in json.dumps(read)


@on_uvloop
async def test_there_is_no_access_line_unless_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    async with worker_stage(tmp_path) as stage:
        await stage.deploy()
        await stage.ask(headers={"x-prompt": "greeter"})
    assert not [entry for entry in caplog.records if entry.name == "gateway.access"]


def test_a_process_is_configured_as_the_settings_say() -> None:
    program = (
        "import logging; from gateway.settings import Logs; from gateway.telemetry.logs import configure;"
        "configure(Logs()); configure(Logs(format='json'), 'worker-0'); logging.getLogger('x').warning('hi')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (text,) = done.stderr.splitlines()
    assert json.loads(text)["message"] == "hi"
