"""`Idempotency-Key`: a change that is sent again is answered as it was the first time, and done once.

As draft-ietf-httpapi-idempotency-key-header says: the same key with another body is 422, and with the first
request still under way 409. Answers are kept for a day, of successes only: an error has changed nothing, so
the request may as well be tried again. A key belongs to who sends it and to the operation.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec
from aiohttp import web

from gateway.errors import GatewayError, IdempotencyConflict, IdempotencyMismatch, InvalidValue
from gateway.storage import codec, keys
from gateway.web.answers import HEADERS
from gateway.web.route import CALLER, STORE, Route

KEPT = 86_400.0  # s
UNDER_WAY = 60.0  # s after which a process that took a request and died no longer holds its key
MAX_KEY = 255  # characters
REPLAYED = "idempotency-replayed"


class Kept(msgspec.Struct, frozen=True):
    """The answer to a request, and what the request was: the SHA-256 of its target, revision and body."""

    request: str
    status: int
    etag: str
    body: str


async def once(request: web.Request, route: Route) -> web.StreamResponse:
    """`route.handler`, or what it answered to this key before."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return await route.handler(request)
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidValue(f"idempotency-key is 1 to {MAX_KEY} printable characters", param="idempotency-key")
    store = request.app[STORE]
    name = _hash(request[CALLER].name, route.name, key)
    body = (await request.read()).decode("utf-8", "surrogateescape")
    asked = _hash(request.method, request.path, request.headers.get("if-match", "*"), body)
    kept = await store.get_key(keys.answer(name))
    if kept is not None:
        return _again(codec.decode(kept, Kept, key=name), asked)
    mine = msgspec.json.encode({"request": asked, "id": secrets.token_hex(8)})
    if await store.set_if_absent(keys.under_way(name), mine, UNDER_WAY) != mine:
        raise IdempotencyConflict(
            "a request with this key is under way", param="idempotency-key", retry_after=1
        )
    try:
        response = await route.handler(request)
    except GatewayError:
        await store.delete_key(keys.under_way(name))
        raise
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        etag, body = response.headers.get("etag", ""), _without_secret(response.body, route).decode()
        answered = Kept(asked, response.status, etag, body)
        await store.set_if_absent(keys.answer(name), codec.encode(answered), KEPT)
    return response


def _without_secret(body: bytes, route: Route) -> bytes:
    """Secrets are hashed at rest, here too: who lost the answer makes another."""
    if not route.secret:
        return body
    shown = msgspec.json.decode(body)
    shown[route.secret] = ""
    return msgspec.json.encode(shown)


def _again(kept: Kept, asked: str) -> web.Response:
    if kept.request != asked:
        raise IdempotencyMismatch(
            "this key was used for another request: take a new one", param="idempotency-key"
        )
    headers = dict(HEADERS) | {REPLAYED: "true"} | ({"etag": kept.etag} if kept.etag else {})
    return web.Response(
        body=kept.body.encode(), status=kept.status, headers=headers, content_type="application/json"
    )


def _hash(*parts: str) -> str:
    joined = b"".join(b"%d:%b" % (len(part), part.encode("utf-8", "surrogateescape")) for part in parts)
    return hashlib.sha256(joined).hexdigest()
