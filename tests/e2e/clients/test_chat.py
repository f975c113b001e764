"""Real clients on /v1/chat/completions: what an application sees through each of them, and what the provider
received. One run of a client's program tries everything; all that is wrong with it is told at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.clients import clients, run_program
from tests.support.gateway import Gateway

CLIENTS = clients()
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAAB"
    "JRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
DESCRIPTION = "The weather of the next days in a city."
GIVEN = {
    "model": "gpt-4o-mini",
    "question": "What is the weather? Grüße ☃ \u2028 naïve",
    "image": IMAGE,
    "tool": {"name": "get_forecast", "description": DESCRIPTION, "parameters": SCHEMA},
}
SYSTEM = {"role": "system", "content": "You are the first greeter. Be warm."}
ARGUMENTS = {"city": "simulated", "days": 0}

# How each names what broke its stream, and the three refusals: ours (404), the provider's (400), its 429.
BROKEN = {
    "openai": "APIError",
    "openai-2": "APIError",
    "openai-node": "APIError",
    "langchain-openai": "APIError",
    "litellm": "MidStreamFallbackError",
    "pydantic-ai": "ModelAPIError",
    "instructor": "InstructorRetryException",
    "curl": "curl 18",  # a transfer that is not whole
}
REFUSED = {
    "openai": ("NotFoundError", "BadRequestError", "RateLimitError"),
    "openai-2": ("NotFoundError", "BadRequestError", "RateLimitError"),
    "openai-node": ("NotFoundError", "BadRequestError", "RateLimitError"),
    "langchain-openai": ("OpenAIModelNotFoundError", "OpenAIInvalidRequestError", "OpenAIRateLimitError"),
    "litellm": ("NotFoundError", "BadRequestError", "RateLimitError"),
    "pydantic-ai": ("ModelNotFoundError", "ModelRequestRejectedError", "ModelRateLimitError"),
    "instructor": ("InstructorRetryException",) * 3,
    "curl": ("invalid_request_error", "invalid_request_error", "rate_limit_error"),
}
ATTEMPTS = {"whole", "stream", "stream_usage", "tool", "tool_stream", "image", "parsed", "parsed_stream"}
ERRORS = {"error_ours", "error_upstream", "error_busy", "error_mid_stream"}
LESS = {
    "pydantic-ai": {"stream_usage"},  # it always asks for usage, see `check_stream`
    "instructor": {"stream", "stream_usage"},  # it only ever gives objects
}

Results = dict[str, Any]


def check_whole(name: str, found: Results) -> None:
    whole = found["whole"]
    assert whole["version"] == "1"
    assert whole["request_id"].startswith("pc1.")
    assert whole["tokens"] > 10
    if name == "instructor":
        assert whole["parsed"] == ARGUMENTS
    else:
        assert whole["text"].startswith("[quality ")
        assert whole["finish"] == "stop"


def check_stream(name: str, found: Results) -> None:
    for kind in {"stream", "stream_usage"} & found.keys():
        stream = found[kind]
        assert (stream["text"], stream["version"]) == (found["whole"]["text"], "1")
        assert stream["finish"] == "stop"
        assert stream["events"] > 5, "it came as a stream"
        asked = kind == "stream_usage" or name == "pydantic-ai"
        assert stream["tokens"] == (found["whole"]["tokens"] if asked else None)


def check_tool(name: str, found: Results) -> None:
    for kind in ("tool", "tool_stream"):
        if name == "instructor":
            assert found[kind]["parsed"] == ARGUMENTS
        else:
            assert (found[kind]["name"], found[kind]["arguments"]) == ("get_forecast", ARGUMENTS)
    if name == "pydantic-ai":  # it has sent the tool's answer back
        assert found["tool"]["calls"] == 1
        assert found["tool"]["text"].startswith("[quality ")


def check_image(name: str, found: Results) -> None:
    image = found["image"]
    assert image["parsed"] == ARGUMENTS if name == "instructor" else image["text"].startswith("[quality ")


def check_parsed(name: str, found: Results) -> None:
    for kind in ("parsed", "parsed_stream"):
        forecast = found[kind]["parsed"]
        assert set(forecast) == {"city", "days"}
        assert forecast["city"].endswith("] simulated")


def check_refusals(name: str, found: Results) -> None:
    said = ("there is no prompt 'nobody'", "Simulated error 400.", "Simulated error 429.")
    statuses = (404, 400, 429)
    for kind, status, message, error in zip(
        ("error_ours", "error_upstream", "error_busy"), statuses, said, REFUSED[name], strict=True
    ):
        assert found[kind]["error"] == error
        assert message in found[kind]["message"]
        assert found[kind].get("status_code", status) == status


def check_broken(name: str, found: Results) -> None:
    broken = found["error_mid_stream"]
    assert broken["error"] == BROKEN[name]
    assert "closed the connection in the middle of its answer" in broken["message"]
    if name != "instructor":
        assert broken["text"].startswith("[quality "), "what came before the break was given"


CHECKS: list[Callable[[str, Results], None]] = [
    check_whole,
    check_stream,
    check_tool,
    check_image,
    check_parsed,
    check_refusals,
    check_broken,
]


def check_received(sent: list[Results]) -> None:
    """Ours first, then the client's own fields as it sent them."""
    assert all(body["messages"][0] == SYSTEM for body in sent)
    assert all(body["model"] == "gpt-4o-mini" for body in sent)
    parts = [body["messages"][1]["content"] for body in sent]
    urls = {part["image_url"]["url"] for each in parts if isinstance(each, list) for part in each[1:]}
    assert urls == {IMAGE}
    texts = {each if isinstance(each, str) else each[0]["text"] for each in parts}
    assert any(text.startswith(GIVEN["question"]) for text in texts)
    functions = [tool["function"] for body in sent for tool in body.get("tools") or ()]
    assert functions
    for function in functions:
        assert function["parameters"]["properties"].keys() == SCHEMA["properties"].keys()
    formats = [body["response_format"] for body in sent if body.get("response_format")]
    for each in formats:
        assert each["type"] == "json_schema"
        assert each["json_schema"]["schema"]["properties"].keys() == SCHEMA["properties"].keys()
    assert formats


def requests_so_far(gateway: Gateway) -> int:
    count: int = gateway.call("/__sim/stats", port=gateway.simulator)["requests"]
    return count


@pytest.mark.parametrize("name", CLIENTS)
def test_client(gateway: Gateway, name: str) -> None:
    client = CLIENTS[name]
    if client.interpreter is None:
        pytest.skip(f"{name} is not installed: run scripts/test-clients")
    before = requests_so_far(gateway)
    found = run_program(client, {**GIVEN, "base_url": gateway.base_url})
    assert found.keys() == (ATTEMPTS | ERRORS) - LESS.get(name, set())
    raised = {kind: each for kind, each in found.items() if kind not in ERRORS and "error" in each}
    assert not raised
    slips = []
    for check in CHECKS:
        try:
            check(name, found)
        except (AssertionError, KeyError) as slip:
            slips.append(f"{check.__name__}: {type(slip).__name__} {slip}")
    assert not slips, "\n".join(slips)
    received = gateway.seen(requests_so_far(gateway) - before)
    check_received([json.loads(base64.b64decode(each["body"])) for each in received])
