"""Which API a path speaks, and whose errors it expects."""

import pytest

from gateway.wire import chat, messages, responses
from gateway.wire.routes import ROUTES, shape_of


def test_the_managed_routes() -> None:
    assert {
        b"/v1/chat/completions": chat,
        b"/v1/responses": responses,
        b"/v1/messages": messages,
    } == ROUTES


@pytest.mark.parametrize(
    ("path", "api"),
    [
        (b"/v1/messages", messages),
        (b"/v1/messages/count_tokens", messages),
        (b"/v1/responses/r1", chat),
        (b"/v1/files", chat),
    ],
)
def test_whose_errors_a_path_expects(path: bytes, api: object) -> None:
    assert shape_of(path) is api
