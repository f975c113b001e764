"""The managed routes: which API a path speaks."""

from collections.abc import Mapping
from typing import Any

from gateway.wire import chat, messages, responses
from gateway.wire.api import Api


def _by_path(*apis: Api[Any]) -> Mapping[bytes, Api[Any]]:
    return {api.PATH: api for api in apis}


ROUTES = _by_path(chat, responses, messages)


def shape_of(path: bytes) -> Api[Any]:
    """Whose errors a path expects, managed or not: below `/v1/messages` Anthropic's, elsewhere OpenAI's."""
    return messages if path.startswith(messages.PATH) else chat
