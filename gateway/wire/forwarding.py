"""How requests are put for one provider: which it serves, their target there, their headers.

    ours      /v1/chat/completions?x=1      the path after /v1 is the route
    base_url  https://host/api              host and prefix
    paths     /chat/completions → /openai/deployments/{model}/chat/completions
    query     api-version=2024-10-21        set, whatever the client sent

Made once for each provider of the configuration; `target` and `block` run for each request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlencode, urlsplit

import msgspec

from gateway.errors import InvalidValue, MalformedRequest
from gateway.settings import Upstream
from gateway.wire import Headers
from gateway.wire.headers import MANAGED_DROP, REQUEST_DROP, USUAL_CONNECTION, request_block
from gateway.wire.splice import Fields
from gateway.wire.written import KnownHeaders, WrittenLines, line_of

API = b"/v1"
CREDENTIALS: Final = frozenset((b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key"))
MODEL: Final = b"{model}"
_BEARER: Final = b"bearer "


class Forwarding:
    """`keyed`: clients' own credentials are for the gateway, and never leave it."""

    def __init__(self, upstream: Upstream, *, keyed: bool = False) -> None:
        parts = urlsplit(upstream.base_url)
        self.name = upstream.name
        self.host = parts.netloc.encode()
        self.holds_key = upstream.api_key is not None
        self._base = parts.path.encode()
        self._models = _pattern(upstream.models)
        self._routes = _pattern(upstream.routes)
        self._paths = [_Path(route.encode(), path.encode()) for route, path in upstream.paths.items()]
        self._query = urlencode(upstream.query).encode()
        self._own_parameters = frozenset(name.encode() for name in upstream.query)
        added = [(name.lower().encode(), value.encode()) for name, value in upstream.headers.items()]
        key_header = upstream.key_header.lower().encode()
        dropped = {name for name, _ in added}
        if upstream.api_key is not None:
            prefix = b"Bearer " if key_header == b"authorization" else b""
            added.append((key_header, prefix + upstream.api_key.encode()))
        if keyed or upstream.api_key is not None:
            dropped |= CREDENTIALS | {key_header}
        self._moved = None if dropped & {key_header} or key_header == b"authorization" else key_header
        self._added: Headers = added
        self._dropped = frozenset(dropped)
        self._passed = _Lines(REQUEST_DROP | self._dropped, self._moved)
        self._managed = _Lines(MANAGED_DROP | self._dropped, self._moved)
        self._first = line_of((b"host", self.host))
        self._last = b"".join(map(line_of, added))

    def serves(self, path: bytes, model: str | None) -> bool:
        """`path` begins with /v1."""
        if self._routes is not None and self._routes.fullmatch(path[len(API) :].decode("latin-1")) is None:
            return False
        return self._models is None or (model is not None and self._models.fullmatch(model) is not None)

    def wants_model(self, path: bytes) -> bool:
        """Whether the request's model must be known to serve it."""
        route = path[len(API) :]
        found = next((rule for rule in self._paths if rule.fits(route)), None)
        return self._models is not None or (found is not None and found.wants_model)

    def target(self, path: bytes, query: bytes, model: str | None) -> bytes:
        """Raises `InvalidValue` where the path needs a model and the request names none that a path can
        hold."""
        route = path[len(API) :]
        for rule in self._paths:
            if rule.fits(route):
                route = rule.fill(route, model)
                break
        if self._query:
            kept = [part for part in query.split(b"&") if part and _name(part) not in self._own_parameters]
            query = b"&".join((*kept, self._query))
        target = self._base + route
        return b"%b?%b" % (target, query) if query else target

    def block(self, headers: Headers, *, managed: bool, begin: KnownHeaders | None = None) -> bytes:
        """Header lines, each with its CRLF; `begin`: what `headers` begin with, if that is known. Raises
        `MalformedRequest` like `request_block`."""
        try:
            if managed:
                lines = self._managed.written.block(headers, begin)
                return b"".join((self._first, lines, b"accept-encoding: identity\r\n", self._last))
            return b"".join((self._first, self._passed.written.block(headers, begin), self._last))
        except _NamesOthersError:
            pass
        if self._moved is not None:
            headers = [_moved(header, self._moved) for header in headers]
        return request_block(headers, self.host, added=self._added, dropped=self._dropped, managed=managed)


class _NamesOthersError(Exception):
    """A Connection header that decides on other headers (RFC 9110, section 7.6.1)."""


class _Lines:
    """Header lines for the provider, as `request_block` writes them; those named in `drop` are left out."""

    def __init__(self, drop: frozenset[bytes], moved: bytes | None) -> None:
        self._drop = drop
        self._moved = moved
        self.written = WrittenLines(self._line)

    def _line(self, header: tuple[bytes, bytes]) -> bytes:
        if self._moved is not None:
            header = _moved(header, self._moved)
        name, value = header
        if name not in self._drop:
            try:
                return line_of(header)
            except ValueError as error:
                raise MalformedRequest(str(error)) from None
        if name == b"connection" and value not in USUAL_CONNECTION:
            raise _NamesOthersError
        return b""


class _Path:
    """One rule of `paths`."""

    def __init__(self, route: bytes, path: bytes) -> None:
        self._prefix = route.endswith(b"*")
        self._route = route.removesuffix(b"*")
        self._path = path
        self.wants_model = MODEL in path

    def fits(self, route: bytes) -> bool:
        return route.startswith(self._route) if self._prefix else route == self._route

    def fill(self, route: bytes, model: str | None) -> bytes:
        # Model first: its asterisks are percent-encoded, so only the rule's own one is left.
        path = self._path
        if self.wants_model:
            if not model or model in (".", ".."):
                raise InvalidValue(
                    f"the provider's path for {route.decode('latin-1')} needs a model that a path can hold, "
                    f"and the request's body names {model!r:.100}",
                    param="model",
                )
            path = path.replace(MODEL, quote(model, safe="").encode())
        return path.replace(b"*", route[len(self._route) :]) if self._prefix else path


def model_of(fields: Fields) -> str | None:
    """The model that a body names, if it does."""
    raw = fields.get("model")
    if raw is None:
        return None
    try:
        model = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return model if isinstance(model, str) else None


def _pattern(globs: Iterable[str]) -> re.Pattern[str] | None:
    """None: no restriction."""
    parts = [".*".join(map(re.escape, glob.split("*"))) for glob in globs]
    return re.compile("|".join(parts), re.DOTALL) if parts else None


def _name(parameter: bytes) -> bytes:
    return unquote_to_bytes(parameter.partition(b"=")[0].replace(b"+", b" "))


def _moved(header: tuple[bytes, bytes], name: bytes) -> tuple[bytes, bytes]:
    """SDKs send their key as bearer token; a provider that wants it elsewhere gets it there."""
    if header[0] == b"authorization" and header[1][: len(_BEARER)].lower() == _BEARER:
        return name, header[1][len(_BEARER) :].strip()
    return header
