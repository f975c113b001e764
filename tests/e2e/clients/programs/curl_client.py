"""curl, as people and scripts use it: the body on standard input, the answer's head and body apart."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from common import BASE_URL, FAULT, IMAGE_MESSAGES, MESSAGES, MODEL, PROMPT, TOOL, main

SCHEMA = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": TOOL["parameters"]}}


class Answer:
    """`code` is curl's own: 0, or what went wrong on the wire (18: a transfer that is not whole)."""

    def __init__(
        self, messages: Any = MESSAGES, headers: dict[str, str] | None = None, **fields: Any
    ) -> None:
        body = json.dumps({"model": MODEL, "messages": messages, **fields})
        with tempfile.TemporaryDirectory() as folder:
            head = Path(folder) / "head"
            command = ["curl", "--silent", "--no-buffer", "--max-time", "20", "--dump-header", str(head)]
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                command += ["--header", f"{name}: {value}"]
            command += ["--data-binary", "@-", f"{BASE_URL}/chat/completions"]
            done = subprocess.run(command, input=body, capture_output=True, text=True, check=False)
            lines = head.read_text().splitlines() if head.exists() else [""]
        self.code = done.returncode
        self.status = int(lines[0].split()[1])
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        self.body = done.stdout

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> Any:
        return self.json["choices"][0]["message"]

    @property
    def events(self) -> list[str]:
        return [event.removeprefix("data: ") for event in self.body.split("\n\n") if event]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]


def whole() -> dict[str, Any]:
    answer = Answer()
    return {
        "text": answer.message["content"],
        "finish": answer.json["choices"][0]["finish_reason"],
        "tokens": answer.json["usage"]["total_tokens"],
        "version": answer.headers["x-prompt-version"],
        "request_id": answer.headers["x-request-id"],
    }


def stream(**options: Any) -> dict[str, Any]:
    answer = Answer(stream=True, **options)
    if answer.events[-1] != "[DONE]" or answer.code:
        raise ValueError(answer.body[-300:])
    choices = [choice for chunk in answer.chunks for choice in chunk["choices"]]
    return {
        "text": "".join(choice["delta"].get("content") or "" for choice in choices),
        "events": len(answer.chunks),
        "finish": choices[-1]["finish_reason"],
        "tokens": (answer.chunks[-1].get("usage") or {}).get("total_tokens"),
        "version": answer.headers["x-prompt-version"],
    }


def tool() -> dict[str, Any]:
    call = Answer(tools=[{"type": "function", "function": TOOL}]).message["tool_calls"][0]
    return {
        "name": call["function"]["name"],
        "arguments": json.loads(call["function"]["arguments"]),
        "id": call["id"],
    }


def tool_stream() -> dict[str, Any]:
    answer = Answer(stream=True, tools=[{"type": "function", "function": TOOL}])
    calls = [call for chunk in answer.chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    text = "".join(call["function"].get("arguments", "") for call in calls)
    return {"name": calls[0]["function"]["name"], "arguments": json.loads(text), "id": calls[0]["id"]}


def parsed_stream() -> dict[str, Any]:
    answer = Answer(stream=True, response_format=SCHEMA)
    return {
        "parsed": json.loads(
            "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in answer.chunks)
        )
    }


def refused(**headers: str) -> dict[str, Any]:
    answer = Answer(headers=headers)
    error = answer.json["error"]
    return {
        "error": error["type"],
        "kinds": [],
        "status_code": answer.status,
        "message": error["message"],
        "code": error["code"],
        "curl": answer.code,
    }


def broken() -> dict[str, Any]:
    answer = Answer(stream=True, headers={FAULT: "reset_mid_stream"})
    *before, last = answer.chunks
    return {
        "error": f"curl {answer.code}",
        "kinds": [],
        "message": last["error"]["message"],
        "text": "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in before),
    }


main(
    {
        "whole": whole,
        "stream": stream,
        "stream_usage": lambda: stream(stream_options={"include_usage": True}),
        "tool": tool,
        "tool_stream": tool_stream,
        "image": lambda: {"text": Answer(IMAGE_MESSAGES).message["content"]},
        "parsed": lambda: {"parsed": json.loads(Answer(response_format=SCHEMA).message["content"])},
        "parsed_stream": parsed_stream,
        "error_upstream": lambda: refused(**{FAULT: "status_400"}),
        "error_busy": lambda: refused(**{FAULT: "status_429"}),
        "error_ours": lambda: refused(**{PROMPT: "nobody"}),
        "error_mid_stream": broken,
    }
)
