"""Our own errors in OpenAI's shape, and in Anthropic's: without it the SDKs lose message, code and param."""

from typing import Any

import msgspec

from gateway.errors import GatewayError

_ENCODER = msgspec.json.Encoder()
# https://docs.anthropic.com/en/api/errors
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def openai_error(error: GatewayError) -> dict[str, Any]:
    """`{"message", "type", "param", "code"}`."""
    return {
        "message": _message(error),
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }


def error_body(error: GatewayError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, one line of JSON."""
    return _ENCODER.encode({"error": openai_error(error)})


def sse_error(error: GatewayError) -> bytes:
    """The same as an event: after the first byte it is the only way to say that a stream has failed. Close
    abruptly afterwards; a clean end would count as success."""
    return b"data: " + error_body(error) + b"\n\n"


def anthropic_error(error: GatewayError) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}}`, with our `code` and `param` beside the two."""
    kind = _ANTHROPIC_TYPES.get(error.status)
    if kind is None:
        kind = "invalid_request_error" if error.status < 500 else "api_error"
    said = {"type": kind, "message": _message(error), "code": error.code, "param": error.param}
    return {"type": "error", "error": said}


def event(name: bytes, value: object) -> bytes:
    """An event that has a name."""
    return b"event: %b\ndata: %b\n\n" % (name, _ENCODER.encode(value))


def _message(error: GatewayError) -> str:
    # Messages may quote header bytes that were read as surrogates; the answer must be UTF-8.
    return error.message.encode("utf-8", "replace").decode()
