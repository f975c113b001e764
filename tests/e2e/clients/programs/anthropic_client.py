"""anthropic-python on /v1/messages."""

from typing import Any

import anthropic
from common import BASE_URL, FAULT, GIVEN, MESSAGES, MODEL, PROMPT, QUESTION, TOOL, cut_off, main
from pydantic import BaseModel

client = anthropic.Anthropic(base_url=BASE_URL.removesuffix("/v1"), api_key="sk-test", max_retries=0)
messages = client.messages
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 1000, "messages": MESSAGES}
TOOLS: Any = [
    {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]},
]


class Forecast(BaseModel):
    city: str
    days: int


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def called(message: Any) -> dict[str, Any]:
    call = next(block for block in message.content if block.type == "tool_use")
    return {"name": call.name, "arguments": call.input, "id": call.id}


def whole() -> dict[str, Any]:
    raw = messages.with_raw_response.create(**ASK)
    message = raw.parse()
    return {
        "text": text_of(message),
        "finish": message.stop_reason,
        "version": raw.headers["x-prompt-version"],
        "request_id": raw.headers["x-request-id"],
        "tokens": message.usage.input_tokens + message.usage.output_tokens,
    }


def stream() -> dict[str, Any]:
    with messages.stream(**ASK) as events:
        pieces = list(events.text_stream)
        message = events.get_final_message()
        return {
            "text": "".join(pieces),
            "events": len(pieces),
            "finish": message.stop_reason,
            "tokens": message.usage.input_tokens + message.usage.output_tokens,
            "version": events.response.headers["x-prompt-version"],
        }


def tool_stream() -> dict[str, Any]:
    with messages.stream(**ASK, tools=TOOLS) as events:
        return called(events.get_final_message())


def image() -> dict[str, Any]:
    head, _, data = GIVEN["image"].partition(";base64,")
    source = {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}
    content = [{"type": "text", "text": QUESTION}, {"type": "image", "source": source}]
    return {"text": text_of(messages.create(**{**ASK, "messages": [{"role": "user", "content": content}]}))}


def parsed() -> dict[str, Any]:
    return {"parsed": messages.parse(**ASK, output_format=Forecast).parsed_output.model_dump()}


def parsed_stream() -> dict[str, Any]:
    with messages.stream(**ASK, output_format=Forecast) as events:
        return {"parsed": events.get_final_message().parsed_output.model_dump()}


def refused(**headers: str) -> dict[str, Any]:
    return {"text": str(messages.create(**ASK, extra_headers=headers))}


def pieces_of(events: Any) -> Any:
    for event in events:
        yield getattr(getattr(event, "delta", None), "text", "")


def broken() -> dict[str, Any]:
    return cut_off(pieces_of(messages.create(**ASK, stream=True, extra_headers={FAULT: "reset_mid_stream"})))


main(
    {
        "messages_whole": whole,
        "messages_stream": stream,
        "messages_tool": lambda: called(messages.create(**ASK, tools=TOOLS)),
        "messages_tool_stream": tool_stream,
        "messages_image": image,
        "messages_parsed": parsed,
        "messages_parsed_stream": parsed_stream,
        "messages_error_upstream": lambda: refused(**{FAULT: "status_400"}),
        "messages_error_busy": lambda: refused(**{FAULT: "status_429"}),
        "messages_error_ours": lambda: refused(**{PROMPT: "nobody"}),
        "messages_error_mid_stream": broken,
    }
)
