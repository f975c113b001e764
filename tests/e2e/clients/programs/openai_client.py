"""openai-python, the current major version and the one before."""

import json
from typing import Any

import openai
from common import (
    BASE_URL,
    FAULT,
    IMAGE_INPUT,
    IMAGE_MESSAGES,
    MESSAGES,
    MODEL,
    PROMPT,
    QUESTION,
    TOOL,
    cut_off,
    main,
)
from pydantic import BaseModel

client = openai.OpenAI(base_url=BASE_URL, api_key="sk-test", max_retries=0)
chat, responses = client.chat.completions, client.responses
TOOLS: Any = [{"type": "function", "function": TOOL}]
FLAT_TOOLS: Any = [{"type": "function", "strict": False, **TOOL}]


class Forecast(BaseModel):
    city: str
    days: int


def whole() -> dict[str, Any]:
    raw = chat.with_raw_response.create(model=MODEL, messages=MESSAGES)
    completion = raw.parse()
    return {
        "text": completion.choices[0].message.content,
        "finish": completion.choices[0].finish_reason,
        "version": raw.headers["x-prompt-version"],
        "request_id": completion._request_id,
        "tokens": completion.usage.total_tokens,
    }


def stream(**options: Any) -> dict[str, Any]:
    with chat.with_raw_response.create(
        model=MODEL, messages=MESSAGES, stream=True, **options
    ).parse() as chunks:
        found: dict[str, Any] = {
            "version": chunks.response.headers["x-prompt-version"],
            "text": "",
            "events": 0,
        }
        for chunk in chunks:
            found["events"] += 1
            found["tokens"] = chunk.usage.total_tokens if chunk.usage else None
            for choice in chunk.choices:
                found["text"] += choice.delta.content or ""
                found["finish"] = choice.finish_reason
    return found


def tool() -> dict[str, Any]:
    call = chat.create(model=MODEL, messages=MESSAGES, tools=TOOLS).choices[0].message.tool_calls[0]
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "id": call.id}


def tool_stream() -> dict[str, Any]:
    with chat.stream(model=MODEL, messages=MESSAGES, tools=TOOLS) as events:
        call = events.get_final_completion().choices[0].message.tool_calls[0]
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "id": call.id}


def image() -> dict[str, Any]:
    return {"text": chat.create(model=MODEL, messages=IMAGE_MESSAGES).choices[0].message.content}


def parsed() -> dict[str, Any]:
    message = chat.parse(model=MODEL, messages=MESSAGES, response_format=Forecast).choices[0].message
    return {"parsed": message.parsed.model_dump()}


def parsed_stream() -> dict[str, Any]:
    with chat.stream(model=MODEL, messages=MESSAGES, response_format=Forecast) as events:
        message = events.get_final_completion().choices[0].message
    return {"parsed": message.parsed.model_dump()}


def refused(**headers: str) -> dict[str, Any]:
    return {"text": str(chat.create(model=MODEL, messages=MESSAGES, extra_headers=headers))}


def broken() -> dict[str, Any]:
    chunks = chat.create(
        model=MODEL, messages=MESSAGES, stream=True, extra_headers={FAULT: "reset_mid_stream"}
    )
    return cut_off(chunk.choices[0].delta.content for chunk in chunks)


def shown(call: Any) -> dict[str, Any]:
    return {"name": call.name, "arguments": json.loads(call.arguments), "id": call.call_id}


def called(response: Any) -> dict[str, Any]:
    return next(shown(item) for item in response.output if item.type == "function_call")


def answer() -> dict[str, Any]:
    raw = responses.with_raw_response.create(model=MODEL, input=QUESTION)
    response = raw.parse()
    return {
        "text": response.output_text,
        "finish": response.status,
        "version": raw.headers["x-prompt-version"],
        "request_id": response._request_id,
        "tokens": response.usage.total_tokens,
    }


def answer_stream() -> dict[str, Any]:
    with responses.with_raw_response.create(model=MODEL, input=QUESTION, stream=True).parse() as events:
        found: dict[str, Any] = {
            "version": events.response.headers["x-prompt-version"],
            "text": "",
            "events": 0,
        }
        for event in events:
            found["events"] += 1
            if event.type == "response.output_text.delta":
                found["text"] += event.delta
            elif event.type == "response.completed":
                found["tokens"] = event.response.usage.total_tokens
                found["finish"] = event.response.status
    return found


def answer_call_stream() -> dict[str, Any]:
    with responses.stream(model=MODEL, input=QUESTION, tools=FLAT_TOOLS) as events:
        return called(events.get_final_response())


def answer_parsed_stream() -> dict[str, Any]:
    with responses.stream(model=MODEL, input=QUESTION, text_format=Forecast) as events:
        return {"parsed": events.get_final_response().output_parsed.model_dump()}


def answer_refused(**headers: str) -> dict[str, Any]:
    return {"text": str(responses.create(model=MODEL, input=QUESTION, extra_headers=headers))}


def answer_broken() -> dict[str, Any]:
    headers = {FAULT: "reset_mid_stream"}
    events = responses.create(model=MODEL, input=QUESTION, stream=True, extra_headers=headers)
    return cut_off(getattr(event, "delta", "") for event in events)


main(
    {
        "responses_whole": answer,
        "responses_stream": answer_stream,
        "responses_tool": lambda: called(responses.create(model=MODEL, input=QUESTION, tools=FLAT_TOOLS)),
        "responses_tool_stream": answer_call_stream,
        "responses_image": lambda: {"text": responses.create(model=MODEL, input=IMAGE_INPUT).output_text},
        "responses_parsed": lambda: {
            "parsed": responses.parse(
                model=MODEL, input=QUESTION, text_format=Forecast
            ).output_parsed.model_dump()
        },
        "responses_parsed_stream": answer_parsed_stream,
        "responses_error_upstream": lambda: answer_refused(**{FAULT: "status_400"}),
        "responses_error_busy": lambda: answer_refused(**{FAULT: "status_429"}),
        "responses_error_ours": lambda: answer_refused(**{PROMPT: "nobody"}),
        "responses_error_mid_stream": answer_broken,
        "whole": whole,
        "stream": stream,
        "stream_usage": lambda: stream(stream_options={"include_usage": True}),
        "tool": tool,
        "tool_stream": tool_stream,
        "image": image,
        "parsed": parsed,
        "parsed_stream": parsed_stream,
        "error_upstream": lambda: refused(**{FAULT: "status_400"}),
        "error_busy": lambda: refused(**{FAULT: "status_429"}),
        "error_ours": lambda: refused(**{PROMPT: "nobody"}),
        "error_mid_stream": broken,
    }
)
