"""What all the programs share: input on standard input, one result for each attempt on standard output.

A program is run by the interpreter of its client's environment, so nothing here may import anything else.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

GIVEN: dict[str, Any] = json.load(sys.stdin)
BASE_URL: str = GIVEN["base_url"]
MODEL: str = GIVEN["model"]
QUESTION: str = GIVEN["question"]
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
IMAGE_MESSAGES: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": QUESTION},
            {"type": "image_url", "image_url": {"url": GIVEN["image"], "detail": "low"}},
        ],
    }
]
IMAGE_INPUT: list[dict[str, Any]] = [  # as /v1/responses takes it
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": QUESTION},
            {"type": "input_image", "image_url": GIVEN["image"], "detail": "low"},
        ],
    }
]
TOOL: dict[str, Any] = GIVEN["tool"]
FAULT, PROMPT = "x-sim-fault", "x-prompt"


def failure(error: BaseException) -> dict[str, Any]:
    """What an application can tell of an exception."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)]
    said = {"error": type(error).__name__, "kinds": kinds, "message": str(error)}
    for name in ("status_code", "code", "param", "request_id"):
        value = getattr(error, name, None)
        if isinstance(value, str | int):
            said[name] = value
    return said


def attempt(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:
        return failure(error)


def cut_off(pieces: Any) -> dict[str, Any]:
    """Read a stream that breaks: what came before, and what was raised. `pieces` gives text, or None."""
    text = ""
    try:
        for piece in pieces:
            text += piece or ""
    except Exception as error:
        return {"text": text, **failure(error)}
    return {"text": text, "error": None}


def main(attempts: dict[str, Callable[[], dict[str, Any]]]) -> None:
    json.dump({name: attempt(work) for name, work in attempts.items()}, sys.stdout)
