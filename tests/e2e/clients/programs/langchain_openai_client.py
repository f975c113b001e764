"""langchain-openai: ChatOpenAI with another base_url."""

from typing import Any

from common import BASE_URL, FAULT, IMAGE_MESSAGES, MESSAGES, MODEL, PROMPT, TOOL, cut_off, main
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Forecast(BaseModel):
    """A forecast."""

    city: str
    days: int


def made(**options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=MODEL,
        base_url=BASE_URL,
        api_key="sk-test",
        max_retries=0,
        include_response_headers=True,
        use_responses_api=False,
        **options,
    )


model = made()
with_tool = model.bind_tools([{"type": "function", "function": TOOL}])


def described(message: Any) -> dict[str, Any]:
    return {
        "text": message.content,
        "finish": message.response_metadata.get("finish_reason"),
        "tokens": (message.usage_metadata or {}).get("total_tokens"),
    }


def whole() -> dict[str, Any]:
    message = model.invoke(MESSAGES)
    headers = message.response_metadata["headers"]
    return {
        **described(message),
        "version": headers["x-prompt-version"],
        "request_id": headers["x-request-id"],
    }


def stream(**options: Any) -> dict[str, Any]:
    chunks = list(made(**options).stream(MESSAGES))
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined += chunk
    version = joined.response_metadata["headers"]["x-prompt-version"]
    return {**described(joined), "version": version, "events": len(chunks)}


def called(message: Any) -> dict[str, Any]:
    call = message.tool_calls[0]
    return {"name": call["name"], "arguments": call["args"], "id": call["id"]}


def tool_stream() -> dict[str, Any]:
    chunks = list(with_tool.stream(MESSAGES))
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined += chunk
    return called(joined)


def parsed() -> dict[str, Any]:
    return {
        "parsed": model.with_structured_output(Forecast, method="json_schema").invoke(MESSAGES).model_dump()
    }


def parsed_stream() -> dict[str, Any]:
    *_, last = model.with_structured_output(Forecast, method="json_schema").stream(MESSAGES)
    return {"parsed": last.model_dump()}


def refused(**headers: str) -> dict[str, Any]:
    return {"text": made(default_headers=headers).invoke(MESSAGES).content}


def broken() -> dict[str, Any]:
    chunks = made(default_headers={FAULT: "reset_mid_stream"}).stream(MESSAGES)
    return cut_off(chunk.content for chunk in chunks)


main(
    {
        "whole": whole,
        "stream": lambda: stream(stream_usage=False),
        "stream_usage": lambda: stream(stream_usage=True),
        "tool": lambda: called(with_tool.invoke(MESSAGES)),
        "tool_stream": tool_stream,
        "image": lambda: {"text": model.invoke(IMAGE_MESSAGES).content},
        "parsed": parsed,
        "parsed_stream": parsed_stream,
        "error_upstream": lambda: refused(**{FAULT: "status_400"}),
        "error_busy": lambda: refused(**{FAULT: "status_429"}),
        "error_ours": lambda: refused(**{PROMPT: "nobody"}),
        "error_mid_stream": broken,
    }
)
