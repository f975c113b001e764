"""instructor: structured outputs by a tool call and by a JSON schema, with its own validation."""

from typing import Any

import instructor
import openai
from common import BASE_URL, FAULT, IMAGE_MESSAGES, MESSAGES, MODEL, PROMPT, main
from pydantic import BaseModel

seen: list[Any] = []  # headers of answers


class Forecast(BaseModel):
    city: str
    days: int


http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: seen.append(response.headers)]})
client = openai.OpenAI(base_url=BASE_URL, api_key="sk-test", max_retries=0, http_client=http)
by_tool = instructor.from_openai(client, mode=instructor.Mode.TOOLS)
by_schema = instructor.from_openai(client, mode=instructor.Mode.JSON_SCHEMA)


def ask(asking: Any, messages: Any = MESSAGES, **options: Any) -> Any:
    return asking.create(model=MODEL, messages=messages, response_model=Forecast, max_retries=0, **options)


def whole() -> dict[str, Any]:
    parsed, completion = by_tool.create_with_completion(
        model=MODEL, messages=MESSAGES, response_model=Forecast, max_retries=0
    )
    return {
        "parsed": parsed.model_dump(),
        "version": seen[-1]["x-prompt-version"],
        "request_id": seen[-1]["x-request-id"],
        "tokens": completion.usage.total_tokens,
    }


def partial(asking: Any, **options: Any) -> dict[str, Any]:
    objects = asking.create_partial(
        model=MODEL, messages=MESSAGES, response_model=Forecast, max_retries=0, **options
    )
    found = list(objects)
    return {"parsed": found[-1].model_dump(), "events": len(found)}


def refused(**headers: str) -> dict[str, Any]:
    return {"text": str(ask(by_tool, extra_headers=headers))}


def broken() -> dict[str, Any]:
    return partial(by_tool, extra_headers={FAULT: "reset_mid_stream"})


main(
    {
        "whole": whole,
        "tool": lambda: {"parsed": ask(by_tool).model_dump()},
        "tool_stream": lambda: partial(by_tool),
        "image": lambda: {"parsed": ask(by_tool, IMAGE_MESSAGES).model_dump()},
        "parsed": lambda: {"parsed": ask(by_schema).model_dump()},
        "parsed_stream": lambda: partial(by_schema),
        "error_upstream": lambda: refused(**{FAULT: "status_400"}),
        "error_busy": lambda: refused(**{FAULT: "status_429"}),
        "error_ours": lambda: refused(**{PROMPT: "nobody"}),
        "error_mid_stream": broken,
    }
)
