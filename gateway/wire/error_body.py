"""Our own errors in OpenAI's shape: without it the SDKs lose message, code and param."""

import msgspec

from gateway.errors import GatewayError

_ENCODER = msgspec.json.Encoder()


def error_body(error: GatewayError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, one line of JSON."""
    return _ENCODER.encode(
        {
            "error": {
                # Messages may quote header bytes that were read as surrogates; the answer must be UTF-8.
                "message": error.message.encode("utf-8", "replace").decode(),
                "type": error.type,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def sse_error(error: GatewayError) -> bytes:
    """The same as an event: after the first byte it is the only way to say that a stream has failed. Close
    abruptly afterwards; a clean end would count as success."""
    return b"data: " + error_body(error) + b"\n\n"
