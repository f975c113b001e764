"""/v1/chat/completions: from request to reply, whole or streamed, joined from pieces that hardly change."""

import msgspec
import orjson

from gateway.simulator.answer import Answer, ChatBody, Conversation, Message, read
from gateway.simulator.draws import Draws
from gateway.simulator.reply import Reply, Request, error_reply
from gateway.simulator.scenario import Cast
from gateway.simulator.text import cached_of, tokens_of
from gateway.simulator.turn import CREATED, answered

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
    return answered(cast, request, talk, bytes(body.messages), _SHAPE)


class _Chat:
    """Chat's shape, see `turn.Shape`."""

    def usage(self, request_bytes: int, completion: int) -> bytes:
        prompt = tokens_of(request_bytes)
        return (
            b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
            b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
            b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
            b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
        ) % (prompt, completion, prompt + completion, cached_of(prompt))

    def whole(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> bytes:
        return _whole(answer, draws, orjson.dumps(talk.body.model), usage)

    def events(self, talk: Conversation, answer: Answer, draws: Draws, usage: bytes) -> tuple[bytes, ...]:
        counted = usage if (talk.body.stream_options or {}).get("include_usage") is True else b""
        return _events(answer, draws, orjson.dumps(talk.body.model), counted)


_SHAPE = _Chat()


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
        b'"message":{"role":"assistant",%s,"annotations":[]},"logprobs":%s,"finish_reason":"%s"}],'
        b'"usage":%s,"service_tier":"default","system_fingerprint":"fp_sim"}'
    ) % (draws.identity, CREATED, model, message, answer.logprobs, answer.finish, usage)


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
