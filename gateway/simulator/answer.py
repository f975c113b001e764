"""What is said to a chat request, before it is bytes: text, refusal, tool call, JSON, score."""

from collections.abc import Mapping
from math import exp
from typing import Any, Literal

import msgspec
import orjson

from gateway.simulator.draws import Draws, chance, normal
from gateway.simulator.judge import OWN_SCHEMA, is_judge, judgment, perceived
from gateway.simulator.logprobs import logprobs
from gateway.simulator.scenario import Behaviour, Judge
from gateway.simulator.schema import Known, fitting
from gateway.simulator.text import REFUSAL, mark, words

MOST_TOKENS = 100_000
JSON_PIECE = 12  # characters of a JSON answer in one event


class ChatBody(msgspec.Struct):
    """The fields of a chat request that change the answer; others are accepted and ignored."""

    messages: msgspec.Raw
    model: str
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    logprobs: bool | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part["text"]) for part in self.content or () if "text" in part)


class Answer(msgspec.Struct, frozen=True):
    """Pieces are JSON-escaped, without quotes; each is one token and one event."""

    pieces: tuple[bytes, ...]
    finish: bytes
    kind: Literal["content", "refusal", "tool"] = "content"
    tool: bytes = b""  # JSON string of the called function's name
    logprobs: bytes = b"null"


class Conversation(msgspec.Struct, frozen=True):
    """A chat request as the answer sees it."""

    body: ChatBody
    messages: tuple[Message, ...]
    system: str
    schema: Mapping[str, Any] | None  # of a JSON answer
    judged: bool

    @property
    def transcript(self) -> str:
        return "\n".join(message.text for message in self.messages)


def read(body: ChatBody, messages: list[Message], judge: Judge) -> Conversation:
    """Say what a request asks for."""
    system = "\n".join(each.text for each in messages if each.role in ("system", "developer"))
    schema = _schema(body.response_format)
    judged = is_judge(judge, system, schema)
    return Conversation(
        body, tuple(messages), system, OWN_SCHEMA if judged and not schema else schema, judged
    )


def compose(
    talk: Conversation, behaviour: Behaviour, judge: Judge, draws: Draws, asked: int | None
) -> Answer:
    """Return the answer. `asked` fixes the words. Raises `InvalidValue` for an impossible schema."""
    answer = _uncut(talk, behaviour, judge, draws, asked)
    limit = talk.body.max_completion_tokens or talk.body.max_tokens or MOST_TOKENS
    if chance(behaviour.flag_rate, draws.flag):
        return Answer(answer.pieces[: len(answer.pieces) // 2], b"content_filter", answer.kind, answer.tool)
    if len(answer.pieces) > limit:
        return Answer(answer.pieces[:limit], b"length", answer.kind, answer.tool)
    return answer


def _uncut(talk: Conversation, behaviour: Behaviour, judge: Judge, draws: Draws, asked: int | None) -> Answer:
    tool = _called(talk) if chance(behaviour.tool_call_rate, draws.tool) else None
    if tool is not None:
        arguments = fitting(tool.get("parameters") or {"type": "object"}, "simulated")
        name = orjson.dumps(str(tool.get("name", "")))
        return Answer(_split(orjson.dumps(arguments).decode()), b"tool_calls", "tool", name)
    if chance(behaviour.refusal_rate, draws.refusal):
        return Answer((escaped(REFUSAL.decode()),), b"stop", "content" if talk.schema is None else "refusal")
    quality = min(max(behaviour.quality + behaviour.quality_spread * normal(draws.quality), 0.0), 1.0)
    if talk.schema is not None:
        known = judgment(judge, talk.transcript, draws) if talk.judged else None
        broken = chance(behaviour.broken_json_rate, draws.broken)
        text = _json(talk.schema, quality, known, broken=broken)
        tokens = b"null"
        if talk.judged and talk.body.logprobs and judge.logprobs and not broken:
            tokens = logprobs(text, talk.schema, perceived(judge, talk.transcript, draws))
        return Answer(_split(text), b"stop", logprobs=tokens)
    first = (escaped(behaviour.opening + " "),) if behaviour.opening else ()
    count = asked or round(behaviour.tokens * exp(behaviour.tokens_spread * normal(draws.length)))
    count = min(max(count, 1), MOST_TOKENS)
    pieces = (*first, mark(quality), *words(draws.text, count))[:count]
    return Answer((*pieces[:-1], pieces[-1].rstrip()), b"stop")


def _schema(wanted: dict[str, Any] | None) -> Mapping[str, Any] | None:
    match (wanted or {}).get("type"):
        case "json_schema":
            inner = (wanted or {}).get("json_schema")
            schema = inner.get("schema") if isinstance(inner, dict) else None
            return schema if isinstance(schema, dict) else {"type": "object"}
        case "json_object":
            return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return None


def _json(schema: Mapping[str, Any], quality: float, known: Known | None, *, broken: bool) -> str:
    text = orjson.dumps(fitting(schema, (mark(quality) + b"simulated").decode(), known)).decode()
    return text[: max(len(text) // 2, 1)] if broken else text


def _called(talk: Conversation) -> dict[str, Any] | None:
    """Return the function to call: the one chosen, else the first; none once a tool has answered."""
    choice = talk.body.tool_choice
    functions: list[dict[str, Any]] = [
        tool["function"] for tool in talk.body.tools or () if isinstance(tool.get("function"), dict)
    ]
    if not functions or choice == "none" or talk.messages[-1].role == "tool":
        return None
    wanted = choice.get("function") if isinstance(choice, dict) else None
    name = wanted.get("name") if isinstance(wanted, dict) else None
    return next((each for each in functions if each.get("name") == name), functions[0])


def _split(text: str) -> tuple[bytes, ...]:
    return tuple(escaped(text[at : at + JSON_PIECE]) for at in range(0, len(text), JSON_PIECE))


def escaped(text: str) -> bytes:
    """Return `text` as the inside of a JSON string; lone surrogates become '?'."""
    return orjson.dumps(text.encode(errors="replace").decode())[1:-1]
