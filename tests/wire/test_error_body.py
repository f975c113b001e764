"""Error bodies: the shape that the SDKs read."""

import json

from gateway.errors import GatewayError, InvalidValue, Overloaded
from gateway.wire.error_body import error_body, sse_error


def test_errors_have_openais_shape() -> None:
    error = InvalidValue('no "good" ä', param="messages")
    expected = {
        "error": {
            "message": 'no "good" ä',
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_value",
        }
    }
    assert json.loads(error_body(error)) == expected
    event = sse_error(Overloaded("later\nplease"))
    assert event.startswith(b"data: {") and event.endswith(b"}\n\n") and event.count(b"\n") == 2
    assert json.loads(event[6:])["error"]["param"] is None
    assert json.loads(error_body(GatewayError("odd \udcff")))["error"]["message"] == "odd ?"
