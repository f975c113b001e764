"""One request to an admin API. The standard library's client is enough for it, and a rollback does not wait
for a larger one to be imported."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from gateway.control.plan import By
from gateway.errors import ConfigError, GatewayError, Unavailable

T = TypeVar("T")

TIMEOUT = 10.0  # s, for each wait on the network
CONNECTIONS: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


class Problem(msgspec.Struct):
    """What counts of a problem+json body (RFC 9457)."""

    detail: str
    code: str
    param: str | None = None


class AdminApi:
    """`url` is where it listens, for example http://127.0.0.1:8081; `token` is sent with every request."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in CONNECTIONS or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"--url is http://host:port or https://host:port, not {url!r}")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("--token is the text that `token create` printed, pct_NAME.SECRET")
        self._url, self._parts = url, parts
        self._credentials = {} if token is None else {"authorization": f"Bearer {token}"}

    async def get(self, path: str, kind: type[T]) -> T:
        return await asyncio.to_thread(self._exchange, "GET", path, kind, None, {})

    async def send(
        self, method: str, path: str, kind: type[T], body: Any, by: By, expected: int | None = None
    ) -> T:
        # A header is Latin-1 to the client library and UTF-8 on the wire of the admin API.
        headers = {
            "content-type": "application/json",
            "x-actor": by.actor.encode("utf-8", "replace").decode("latin-1"),
        }
        if expected is not None:
            headers["if-match"] = f'"{expected}"'
        return await asyncio.to_thread(self._exchange, method, path, kind, msgspec.json.encode(body), headers)

    def _exchange(
        self, method: str, path: str, kind: type[T], body: bytes | None, headers: Mapping[str, str]
    ) -> T:
        parts = self._parts
        assert parts.hostname is not None
        connection = CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT)
        try:
            connection.request(method, parts.path.rstrip("/") + path, body, {**headers, **self._credentials})
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"the admin API {self._url} cannot be reached ({error or type(error).__name__}); without "
                "--url the command works directly on the store"
            ) from error
        finally:
            connection.close()
        try:
            if response.status >= 400:
                raise _as_error(msgspec.json.decode(raw, type=Problem))
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"{self._url} is not an admin API of this version: status {response.status}, {error}"
            ) from error


def prompt_path(prompt: str, *rest: str | int) -> str:
    return "/".join(["/v1/prompts", quote(prompt, safe=""), *(str(item) for item in rest)])


def _as_error(problem: Problem) -> GatewayError:
    """The error as the admin API raised it, so that the exit code is the same as on the store."""
    return _ERRORS.get(problem.code, GatewayError)(problem.detail, param=problem.param)


def _family(kind: type[GatewayError]) -> list[type[GatewayError]]:
    return [kind, *(member for child in kind.__subclasses__() for member in _family(child))]


_ERRORS = {kind.code: kind for kind in reversed(_family(GatewayError))}
