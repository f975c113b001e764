"""`/v1/models` where the configuration lists its aliases (`bindings.list_models`): read whole and merged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, UpstreamBroken
from gateway.proxy.base import Head, Link, ResponseHead
from gateway.proxy.exchange import Exchange, header
from gateway.wire.headers import response_headers
from gateway.wire.models import PATH, entry, listing, merged

if TYPE_CHECKING:
    from gateway.proxy.worker import Worker

MOST_BYTES: Final = 8 * 1024 * 1024
JSON: Final = b"application/json"


def is_anthropic(head: Head) -> bool:
    return head.get(b"anthropic-version") is not None


def asks_for_list(head: Head, path: bytes) -> bool:
    """Pages after the first are the provider's alone."""
    return path == PATH and head.method == b"GET" and b"after_id=" not in head.query


def asked_alias(head: Head, path: bytes, aliases: Iterable[str]) -> str | None:
    """The alias that a request for one model names."""
    if head.method != b"GET" or not path.startswith(PATH + b"/"):
        return None
    name = path[len(PATH) + 1 :].decode("latin-1")
    return name if name in aliases else None


def answer_alias(head: Head, link: Link, alias: str) -> None:
    body = entry(alias, anthropic=is_anthropic(head))
    link.respond(200, b"OK", [(b"content-type", JSON)], len(body))
    link.send(body)
    link.end()


class ModelList(Exchange):
    """The provider's list with ours; an answer that is none is relayed as it is."""

    __slots__ = ("holding", "pieces", "provided", "size")

    def __init__(self, worker: Worker, head: Head, link: Link) -> None:
        super().__init__(worker, head, link)
        self.managed = True  # on the way out: it must not be compressed
        self.provided: ResponseHead | None = None
        self.pieces: list[bytes] = []
        self.size = 0
        self.holding = False

    def response_head(self, head: ResponseHead) -> None:
        self.managed = False
        plain = header(head.headers, b"content-encoding") is None
        self.holding = head.status == 404 or (head.status == 200 and plain)
        if self.holding:
            self.provided = head
        else:
            super().response_head(head)

    def response_data(self, data: bytes) -> None:
        if not self.holding:
            super().response_data(data)
            return
        self.pieces.append(data)
        self.size += len(data)
        if self.size > MOST_BYTES:
            self._relay()

    def response_end(self) -> None:
        if self.holding:
            self._merge()
        super().response_end()

    def response_failed(self, error: GatewayError) -> None:
        if self.holding:
            error = UpstreamBroken("the provider's list of models is cut short")
        super().response_failed(error)

    def _merge(self) -> None:
        head = self.provided
        assert head is not None
        aliases = self.worker.settings.bindings.aliases
        anthropic = is_anthropic(self.head)
        if head.status == 404:
            body: bytes | None = listing(aliases, anthropic=anthropic)
        else:
            body = merged(b"".join(self.pieces), aliases, anthropic=anthropic)
        if body is None:
            self._relay()
            return
        headers = [pair for pair in head.headers if pair[0] != b"content-type"]
        headers = response_headers([*headers, (b"content-type", JSON)], [], managed=False)
        self.link.respond(200, b"OK", headers, len(body))
        self.responded = True
        self.link.send(body)

    def _relay(self) -> None:
        """It is not for us to change."""
        assert self.provided is not None
        self.holding = False
        super().response_head(self.provided)
        for piece in self.pieces:
            super().response_data(piece)
        self.pieces.clear()
