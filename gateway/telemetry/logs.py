"""Log lines on standard error: for people, or one JSON object each for machines. Neither holds a request's or
a prompt's text.

    time     RFC 3339, UTC              process  role and slot
    level    DEBUG to CRITICAL          module   the logger's name
    message  what happened              error    a traceback, where there is one
and what the line is about (`ABOUT`): `request_id`, `trace_id`, `prompt`, …
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.settings import Logs

TEXT = "%(asctime)s %(levelname)s {process}%(name)s: %(message)s"
ABOUT = "about"  # of a record: fields beside the message
ACCESS = logging.getLogger("gateway.access")


class JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "module": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, ABOUT, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode("utf-8", "replace")


class TextFormatter(logging.Formatter):
    """What a line is about follows the message."""

    def __init__(self, process: str) -> None:
        super().__init__(TEXT.format(process=f"{process} " if process else ""))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        about: Mapping[str, Any] = getattr(record, ABOUT, {})
        return super().formatMessage(record) + "".join(f" {name}={value}" for name, value in about.items())


def configure(settings: Logs, process: str = "") -> None:
    """For this process, whatever was configured before."""
    handler = logging.StreamHandler()
    json = settings.format == "json"
    handler.setFormatter(JsonFormatter(process or "supervisor") if json else TextFormatter(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def access(about: Mapping[str, object]) -> None:
    """One managed request has ended."""
    ACCESS.info("request", extra={ABOUT: about})
