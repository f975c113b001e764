"""/v1/chat/completions: from request to reply, whole or streamed, joined from pieces that hardly change."""

from math import exp

import msgspec
import orjson

from gateway.errors import InvalidValue
from gateway.simulator.answer import Answer, ChatBody, Conversation, Message, compose, read
from gateway.simulator.draws import SPAN, Draws, chance, draw, normal
from gateway.simulator.reply import EVENTS, Reply, Request, error_reply
from gateway.simulator.scenario import Behaviour, Cast
from gateway.simulator.text import tokens_of

CREATED = 1_767_225_600  # a fixed time, so that the same request gives the same bytes
DONE = b"data: [DONE]\n\n"
REMEMBERED = 256  # replies, to requests of at most …
REMEMBERED_BYTES = 8192
_body = msgspec.json.Decoder(ChatBody).decode
_messages = msgspec.json.Decoder(list[Message]).decode


def complete(cast: Cast, request: Request) -> Reply:
    """Answer one chat request. Without x-sim-* headers the body decides everything, so it is remembered."""
    if request.sim or request.size > REMEMBERED_BYTES:
        return _complete(cast, request)
    reply = cast.replies.get(request.body)
    if reply is None:
        reply = _complete(cast, request)
        if len(cast.replies) >= REMEMBERED:
            cast.replies.clear()
        if len(reply.pieces) < 500:
            cast.replies[request.body] = reply
    return reply


def _complete(cast: Cast, request: Request) -> Reply:
    try:
        body = _body(request.body)
        talk = read(body, _messages(body.messages), cast.scenario.judge)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return error_reply(400, f"We could not parse the body of your request: {error}", code="invalid_json")
    if not talk.messages:
        return error_reply(400, "[] is too short - 'messages'", param="messages")
    if body.n not in (None, 1):
        return error_reply(400, f"n is {body.n}; the simulated provider answers with 1 choice", param="n")
    return _answered(cast, request, talk)


def _answered(cast: Cast, request: Request, talk: Conversation) -> Reply:
    scenario, body = cast.scenario, talk.body
    rule, behaviour = cast.behaviour(talk.system, body.model)
    if talk.judged:
        rule, behaviour = "judge", scenario.judge.behaviour
    draws = draw(scenario.seed, _identity(request, bytes(body.messages)))
    if chance(behaviour.error_rate, draws.error):
        return error_reply(behaviour.error_status, "The simulated provider failed by chance.")
    try:
        asked = number(request, b"x-sim-tokens")
        first, gap = _times(request, behaviour, draws)
        answer = compose(talk, behaviour, scenario.judge, draws, None if asked is None else int(asked))
    except InvalidValue as error:
        return error_reply(400, error.message, param=error.param)
    fault = _fault(behaviour, draws)
    if talk.judged and chance(scenario.judge.timeout_rate, draws.fault):
        fault = "stall_before_head"
    usage = _usage(len(body.messages), len(answer.pieces))
    if not body.stream:
        whole = _whole(answer, draws, orjson.dumps(body.model), usage)
        return Reply((whole,), first=first + gap * len(answer.pieces), fault=fault, rule=rule)
    counted = usage if (body.stream_options or {}).get("include_usage") is True else b""
    events = _events(answer, draws, orjson.dumps(body.model), counted)
    return Reply(events, content_type=EVENTS, streamed=True, first=first, gap=gap, fault=fault, rule=rule)


def _identity(request: Request, messages: bytes) -> bytes:
    """What "the same request" means: the messages, whether streamed or not; a client's retry is another."""
    seed, retry = request.sim.get(b"x-sim-seed"), request.sim.get(b"x-stainless-retry-count")
    if seed or (retry and retry != b"0"):
        return b"\0".join((messages, seed or b"", retry or b""))
    return messages


def number(request: Request, name: bytes) -> float | None:
    """Return the number in an x-sim-* header. Raises `InvalidValue`."""
    value = request.sim.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 7:
        raise InvalidValue(f"{name.decode()} is {value!r}: use a whole number", param=name.decode())
    return int(value)


def _times(request: Request, behaviour: Behaviour, draws: Draws) -> tuple[float, float]:
    pace = exp(behaviour.jitter * normal(draws.speed)) / 1000
    first, gap = behaviour.first_token_ms * pace, behaviour.gap_ms * pace
    if request.sim:
        fixed, fixed_gap = number(request, b"x-sim-first-token-ms"), number(request, b"x-sim-gap-ms")
        first = first if fixed is None else fixed / 1000
        gap = gap if fixed_gap is None else fixed_gap / 1000
    return first, gap


def _fault(behaviour: Behaviour, draws: Draws) -> str:
    left = draws.fault / SPAN
    for name, rate in behaviour.faults.items():
        if left < rate:
            return name
        left -= rate
    return ""


def _usage(request_bytes: int, completion: int) -> bytes:
    prompt = tokens_of(request_bytes)
    cached = prompt // 2 if prompt >= 1024 else 0
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
    ) % (prompt, completion, prompt + completion, cached)


def _whole(answer: Answer, draws: Draws, model: bytes, usage: bytes) -> bytes:
    text = b"".join(answer.pieces)
    match answer.kind:
        case "content":
            message = b'"content":"%s","refusal":null' % text
        case "refusal":
            message = b'"content":null,"refusal":"%s"' % text
        case "tool":
            message = (
                b'"content":null,"refusal":null,"tool_calls":[{"id":"call_%08x","type":"function",'
                b'"function":{"name":%s,"arguments":"%s"}}]'
            ) % (draws.identity, answer.tool, text)
    return (
        b'{"id":"chatcmpl-%08x","object":"chat.completion","created":%d,"model":%s,"choices":[{"index":0,'
        b'"message":{"role":"assistant",%s,"annotations":[]},"logprobs":null,"finish_reason":"%s"}],'
        b'"usage":%s,"service_tier":"default","system_fingerprint":"fp_sim"}'
    ) % (draws.identity, CREATED, model, message, answer.finish, usage)


def _events(answer: Answer, draws: Draws, model: bytes, usage: bytes) -> tuple[bytes, ...]:
    """One write for each token, the role with the first; then finish reason, usage and [DONE]."""
    start = (
        b'data: {"id":"chatcmpl-%08x","object":"chat.completion.chunk","created":%d,"model":%s,'
        b'"service_tier":"default","system_fingerprint":"fp_sim","choices":['
    ) % (draws.identity, CREATED, model)
    end = b'],"usage":null}\n\n' if usage else b"]}\n\n"
    before, after = _DELTAS[answer.kind]
    before, after = (
        start + b'{"index":0,"delta":' + before,
        after + b',"logprobs":null,"finish_reason":null}' + end,
    )
    opening = _opening(answer, draws)
    role = b'%s{"index":0,"delta":%s,"logprobs":null,"finish_reason":null}%s' % (start, opening, end)
    last = b'%s{"index":0,"delta":{},"logprobs":null,"finish_reason":"%s"}%s' % (start, answer.finish, end)
    if usage:
        last += b'%s],"usage":%s}\n\n' % (start, usage)
    tokens = [before + piece + after for piece in answer.pieces]
    return (b"".join((role, *tokens[:1])), *tokens[1:], last + DONE)


_DELTAS = {
    "content": (b'{"content":"', b'"}'),
    "refusal": (b'{"refusal":"', b'"}'),
    "tool": (b'{"tool_calls":[{"index":0,"function":{"arguments":"', b'"}}]}'),
}


def _opening(answer: Answer, draws: Draws) -> bytes:
    if answer.kind != "tool":
        return b'{"role":"assistant","content":"","refusal":null}'
    return (
        b'{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_%08x","type":"function",'
        b'"function":{"name":%s,"arguments":""}}],"refusal":null}'
    ) % (draws.identity, answer.tool)
