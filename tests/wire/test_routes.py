"""Which API a path speaks, and whose errors it expects."""

import pytest

from gateway.wire import chat, messages, responses
from gateway.wire.routes import ROUTES, api_of, error_shape


def test_the_managed_routes() -> None:
    assert {
        b"/v1/chat/completions": chat,
        b"/v1/responses": responses,
        b"/v1/messages": messages,
    } == ROUTES


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (b"/v1/messages", messages.error_body),
        (b"/v1/messages/count_tokens", messages.error_body),
        (b"/v1/responses/r1", None),
        (b"/v1/files", None),
    ],
)
def test_whose_errors_a_path_expects(path: bytes, shape: object) -> None:
    assert error_shape(path) is shape
    assert api_of(path).error_body is (shape or chat.error_body)
