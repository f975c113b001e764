"""The managed routes: which API a path speaks."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import GatewayError
from gateway.wire import chat, messages, responses
from gateway.wire.api import Api


def _by_path(*apis: Api[Any]) -> Mapping[bytes, Api[Any]]:
    return {api.PATH: api for api in apis}


ROUTES: Final = _by_path(chat, responses, messages)


def api_of(path: bytes) -> Api[Any]:
    """The API of a managed route; of another one, the API whose errors it expects."""
    return ROUTES.get(path) or (messages if path.startswith(messages.PATH) else chat)


def error_shape(path: bytes) -> Callable[[GatewayError], bytes] | None:
    """The shape of our errors below `/v1/messages`, managed or not; None: OpenAI's, as everywhere else."""
    return messages.error_body if path.startswith(messages.PATH) else None
