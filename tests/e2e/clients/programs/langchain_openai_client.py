"""langchain-openai: ChatOpenAI with another base_url, on chat completions and on responses."""

from collections.abc import Callable
from functools import partial
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
        **options,
    )


def described(message: Any) -> dict[str, Any]:
    about = message.response_metadata
    return {
        "text": message.text,
        "finish": about.get("finish_reason") or about.get("status"),
        "tokens": (message.usage_metadata or {}).get("total_tokens"),
    }


def added(chunks: list[Any]) -> Any:
    """The chunks of a stream as one message."""
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined += chunk
    return joined


def called(message: Any) -> dict[str, Any]:
    call = message.tool_calls[0]
    return {"name": call["name"], "arguments": call["args"], "id": call["id"]}


class Attempts:
    """On one of the two APIs."""

    def __init__(self, *, responses: bool) -> None:
        self.api = {"use_responses_api": responses}
        self.model = made(**self.api)
        self.with_tool = self.model.bind_tools([{"type": "function", "function": TOOL}])
        self.with_schema = self.model.with_structured_output(Forecast, method="json_schema")

    def whole(self) -> dict[str, Any]:
        message = self.model.invoke(MESSAGES)
        headers = message.response_metadata["headers"]
        return {
            **described(message),
            "version": headers["x-prompt-version"],
            "request_id": headers["x-request-id"],
        }

    def stream(self, **options: Any) -> dict[str, Any]:
        chunks = list(made(**options, **self.api).stream(MESSAGES))
        joined = added(chunks)
        version = joined.response_metadata["headers"]["x-prompt-version"]
        return {**described(joined), "version": version, "events": len(chunks)}

    def tool(self) -> dict[str, Any]:
        return called(self.with_tool.invoke(MESSAGES))

    def tool_stream(self) -> dict[str, Any]:
        return called(added(list(self.with_tool.stream(MESSAGES))))

    def image(self) -> dict[str, Any]:
        return {"text": self.model.invoke(IMAGE_MESSAGES).text}

    def parsed(self) -> dict[str, Any]:
        return {"parsed": self.with_schema.invoke(MESSAGES).model_dump()}

    def parsed_stream(self) -> dict[str, Any]:
        *_, last = self.with_schema.stream(MESSAGES)
        return {"parsed": last.model_dump()}

    def refused(self, name: str, value: str) -> dict[str, Any]:
        return {"text": made(default_headers={name: value}, **self.api).invoke(MESSAGES).text}

    def broken(self) -> dict[str, Any]:
        chunks = made(default_headers={FAULT: "reset_mid_stream"}, **self.api).stream(MESSAGES)
        return cut_off(chunk.text for chunk in chunks)

    def all(self) -> dict[str, Callable[[], dict[str, Any]]]:
        return {
            "whole": self.whole,
            "tool": self.tool,
            "tool_stream": self.tool_stream,
            "image": self.image,
            "parsed": self.parsed,
            "parsed_stream": self.parsed_stream,
            "error_upstream": partial(self.refused, FAULT, "status_400"),
            "error_busy": partial(self.refused, FAULT, "status_429"),
            "error_ours": partial(self.refused, PROMPT, "nobody"),
            "error_mid_stream": self.broken,
        }


chat, responses = Attempts(responses=False), Attempts(responses=True)
main(
    {
        **chat.all(),
        "stream": partial(chat.stream, stream_usage=False),
        "stream_usage": partial(chat.stream, stream_usage=True),
        **{f"responses_{name}": work for name, work in responses.all().items()},
        "responses_stream": responses.stream,
    }
)
