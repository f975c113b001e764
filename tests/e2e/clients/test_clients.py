"""Real clients on the managed routes: what an application sees through each of them, and what the provider
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
OURS = "You are the first greeter. Be warm."
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
    "anthropic": "APIStatusError",
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
    "anthropic": ("NotFoundError", "BadRequestError", "RateLimitError"),
}
ATTEMPTS = {"whole", "stream", "stream_usage", "tool", "tool_stream", "image", "parsed", "parsed_stream"}
ERRORS = {"error_ours", "error_upstream", "error_busy", "error_mid_stream"}
LESS = {
    ("pydantic-ai", "chat"): {"stream_usage"},  # it always asks for usage, see `check_stream`
    ("instructor", "chat"): {"stream", "stream_usage"},  # it only ever gives objects
}
# What a client's program tries, by the API; the last two tell usage in every stream.
APIS = {name: ["chat"] for name in CLIENTS} | {"anthropic": ["messages"]}
for each in ("openai", "openai-2", "openai-node", "langchain-openai", "pydantic-ai"):
    APIS[each] = ["chat", "responses"]
PREFIX = {"chat": "", "responses": "responses_", "messages": "messages_"}
FINISH = {"chat": "stop", "responses": "completed", "messages": "end_turn"}

Results = dict[str, Any]


def check_whole(name: str, api: str, found: Results) -> None:
    whole = found["whole"]
    assert whole["version"] == "1"
    assert whole["request_id"].startswith("pc1.")
    assert whole["tokens"] > 10
    if name == "instructor":
        assert whole["parsed"] == ARGUMENTS
    else:
        assert whole["text"].startswith("[quality ")
        assert whole["finish"] == ("stop" if name == "pydantic-ai" else FINISH[api])


def check_stream(name: str, api: str, found: Results) -> None:
    for kind in {"stream", "stream_usage"} & found.keys():
        stream = found[kind]
        assert (stream["text"], stream["version"]) == (found["whole"]["text"], "1")
        assert stream["finish"] == found["whole"]["finish"]
        assert stream["events"] > 5, "it came as a stream"
        asked = kind == "stream_usage" or name == "pydantic-ai" or api != "chat"
        assert stream["tokens"] == (found["whole"]["tokens"] if asked else None)


def check_tool(name: str, api: str, found: Results) -> None:
    for kind in ("tool", "tool_stream"):
        if name == "instructor":
            assert found[kind]["parsed"] == ARGUMENTS
        else:
            assert (found[kind]["name"], found[kind]["arguments"]) == ("get_forecast", ARGUMENTS)
    if name == "pydantic-ai":  # it has sent the tool's answer back
        assert found["tool"]["calls"] == 1
        assert found["tool"]["text"].startswith("[quality ")


def check_image(name: str, api: str, found: Results) -> None:
    image = found["image"]
    assert image["parsed"] == ARGUMENTS if name == "instructor" else image["text"].startswith("[quality ")


def check_parsed(name: str, api: str, found: Results) -> None:
    for kind in ("parsed", "parsed_stream"):
        forecast = found[kind]["parsed"]
        assert set(forecast) == {"city", "days"}
        assert forecast["city"].endswith("] simulated")


def check_refusals(name: str, api: str, found: Results) -> None:
    said = ("there is no prompt 'nobody'", "Simulated error 400.", "Simulated error 429.")
    statuses = (404, 400, 429)
    for kind, status, message, error in zip(
        ("error_ours", "error_upstream", "error_busy"), statuses, said, REFUSED[name], strict=True
    ):
        assert found[kind]["error"] == error
        assert message in found[kind]["message"]
        assert found[kind].get("status_code", status) == status


def check_broken(name: str, api: str, found: Results) -> None:
    broken = found["error_mid_stream"]
    assert broken["error"] == BROKEN[name]
    assert "closed the connection in the middle of its answer" in broken["message"]
    if name != "instructor":
        assert broken["text"].startswith("[quality "), "what came before the break was given"


CHECKS: list[Callable[[str, str, Results], None]] = [
    check_whole,
    check_stream,
    check_tool,
    check_image,
    check_parsed,
    check_refusals,
    check_broken,
]


def check_chat_received(body: Results) -> None:
    assert body["messages"][0] == {"role": "system", "content": OURS}


def check_responses_received(body: Results) -> None:
    assert body["instructions"] == OURS


def check_messages_received(body: Results) -> None:
    assert body["system"] == OURS


RECEIVED = {
    "/v1/chat/completions": check_chat_received,
    "/v1/responses": check_responses_received,
    "/v1/messages": check_messages_received,
}


def check_received(target: str, body: Results) -> None:
    """Ours is there, and the client's own fields are as it sent them."""
    RECEIVED[target](body)
    assert body["model"] == "gpt-4o-mini"
    for tool in body.get("tools") or ():
        parameters = tool.get("input_schema") or (tool.get("function") or tool)["parameters"]
        assert parameters["properties"].keys() == SCHEMA["properties"].keys()


def counts(sent: list[tuple[str, str]], api: str) -> tuple[int, int, int]:
    """Of the bodies of one API as text: with the picture, with a tool, with a schema."""
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}[api]
    texts = [text for target, text in sent if target == path]
    picture = IMAGE.partition(",")[2]
    tool = DESCRIPTION if api != "chat" else '"function"'
    return (
        sum(picture in text for text in texts),
        sum(tool in text and '"tools"' in text for text in texts),
        sum('"json_schema"' in text for text in texts),
    )


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
    slips = []
    for api in APIS[name]:
        slips += wrong_with(name, api, found)
    assert not slips, "\n".join(slips)
    received = gateway.seen(requests_so_far(gateway) - before)
    sent = [(each["target"], base64.b64decode(each["body"]).decode()) for each in received]
    for target, text in sent:
        check_received(target, json.loads(text))
    for api in APIS[name]:
        pictures, tools, schemas = counts(sent, api)
        assert (pictures >= 1, tools >= 2, schemas >= 2) == (True, True, True)


def wrong_with(name: str, api: str, found: Results) -> list[str]:
    """Of one client on one API; what another API's attempts gave is not looked at."""
    wanted = (ATTEMPTS | ERRORS) - LESS.get((name, api), set())
    if api != "chat":
        wanted -= {"stream_usage"}
    own = {kind: found[PREFIX[api] + kind] for kind in wanted if PREFIX[api] + kind in found}
    slips = [f"{api}: {kind} was not tried" for kind in wanted - own.keys()]
    slips += [f"{api} {kind}: {own[kind]}" for kind in own if kind not in ERRORS and "error" in own[kind]]
    if slips:
        return slips
    for check in CHECKS:
        try:
            check(name, api, own)
        except (AssertionError, KeyError) as slip:
            slips.append(f"{api} {check.__name__}: {type(slip).__name__} {slip}")
    return slips
