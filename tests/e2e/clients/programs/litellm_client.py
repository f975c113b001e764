"""litellm's SDK, with the gateway as an OpenAI-compatible provider."""

import json
from typing import Any

import litellm
from common import BASE_URL, FAULT, IMAGE_MESSAGES, MESSAGES, MODEL, PROMPT, TOOL, cut_off, main
from pydantic import BaseModel

TOOLS: Any = [{"type": "function", "function": TOOL}]
litellm.suppress_debug_info = True


class Forecast(BaseModel):
    city: str
    days: int


def ask(messages: Any = MESSAGES, **options: Any) -> Any:
    return litellm.completion(
        model=f"openai/{MODEL}",
        api_base=BASE_URL,
        api_key="sk-test",
        messages=messages,
        max_retries=0,
        num_retries=0,
        **options,
    )


def sent_with(answer: Any, name: str) -> str | None:
    return answer._hidden_params["additional_headers"].get(f"llm_provider-{name}")


def whole() -> dict[str, Any]:
    answer = ask()
    return {
        "text": answer.choices[0].message.content,
        "finish": answer.choices[0].finish_reason,
        "tokens": answer.usage.total_tokens,
        "version": sent_with(answer, "x-prompt-version"),
        "request_id": sent_with(answer, "x-request-id"),
    }


def stream(**options: Any) -> dict[str, Any]:
    answer = ask(stream=True, **options)
    chunks = list(answer)
    last = chunks[-1]
    finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "events": len(chunks),
        "finish": finishes[-1],
        "tokens": getattr(getattr(last, "usage", None), "total_tokens", None),
        "version": sent_with(answer, "x-prompt-version"),
    }


def called(message: Any) -> dict[str, Any]:
    call = message.tool_calls[0]
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "id": call.id}


def parsed(text: str) -> dict[str, Any]:
    return {"parsed": Forecast.model_validate_json(text).model_dump()}


def joined(**options: Any) -> Any:
    return litellm.stream_chunk_builder(list(ask(stream=True, **options))).choices[0].message


def refused(**headers: str) -> dict[str, Any]:
    return {"text": str(ask(extra_headers=headers))}


def broken() -> dict[str, Any]:
    chunks = ask(stream=True, extra_headers={FAULT: "reset_mid_stream"})
    return cut_off(chunk.choices[0].delta.content for chunk in chunks)


main(
    {
        "whole": whole,
        "stream": stream,
        "stream_usage": lambda: stream(stream_options={"include_usage": True}),
        "tool": lambda: called(ask(tools=TOOLS).choices[0].message),
        "tool_stream": lambda: called(joined(tools=TOOLS)),
        "image": lambda: {"text": ask(IMAGE_MESSAGES).choices[0].message.content},
        "parsed": lambda: parsed(ask(response_format=Forecast).choices[0].message.content),
        "parsed_stream": lambda: parsed(joined(response_format=Forecast).content),
        "error_upstream": lambda: refused(**{FAULT: "status_400"}),
        "error_busy": lambda: refused(**{FAULT: "status_429"}),
        "error_ours": lambda: refused(**{PROMPT: "nobody"}),
        "error_mid_stream": broken,
    }
)
