"""Tokens of the admin API: made, listed, rotated, revoked, and who a request comes from.

Every request reads its token from the store, so that a token is good, or no longer, at once and on every
machine. A token is never forgotten, only revoked: its name stays in the audit log, and a fleet that has ever
had one never goes back to answering everybody.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.control.changes import REFUSED, Entry, check_revision, record, told_since
from gateway.control.plan import By
from gateway.control.registry import list_all
from gateway.domain.access import Caller, Role, Token, hash_of, is_valid, name_in, text_of
from gateway.domain.names import NAME, check_name
from gateway.errors import (
    Conflict,
    InvalidValue,
    NotFound,
    PreconditionFailed,
    TransitionRefused,
    Unauthorized,
)
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store

SECRET_BYTES = 32
MAX_GRACE = 30 * 86_400.0  # s
ANYBODY = Caller("anonymous", "admin")  # on loopback, while there is no token
BOOTSTRAP = Caller("bootstrap", "admin")


class TokenView(msgspec.Struct, frozen=True):
    """A token without its secret. `prompts`: patterns of names, empty: all. Times are the store's, seconds
    since the epoch; 0.0 is "not". `previous_until`: until when the secret before the last one is good."""

    name: str
    role: Role
    prompts: tuple[str, ...]
    created_at: float
    created_by: str
    rotated_at: float
    revoked_at: float
    revoked_by: str
    previous_until: float
    revision: int = 0


class Tokens(msgspec.Struct, frozen=True):
    """In order of name."""

    tokens: tuple[TokenView, ...]


class Issued(msgspec.Struct, frozen=True):
    """`secret` is the token's text. It is shown this once: the store keeps its hash."""

    token: TokenView
    secret: str


class Access:
    """`bootstrap`: a token of the configuration, an admin's, good for as long as it stands there. `loopback`:
    requests come from this machine only; others need a token also while there is none."""

    def __init__(self, store: Store, bootstrap: str | None = None, *, loopback: bool = True) -> None:
        self._store = store
        self._bootstrap = bootstrap
        self._loopback = loopback
        self._has_tokens = False

    async def is_open(self) -> bool:
        """Whether there has never been a token."""
        if self._bootstrap is None and not self._has_tokens:
            self._has_tokens = bool(await self._store.list(keys.TOKENS, limit=1))
        return self._bootstrap is None and not self._has_tokens

    async def caller(self, text: str | None) -> Caller:
        """Who `text` belongs to (None: the request has no token). Raises `Unauthorized`."""
        if text is None:
            if self._loopback and await self.is_open():
                return ANYBODY
            raise Unauthorized("a token is needed: authorization: Bearer pct_…", param="authorization")
        if self._bootstrap is not None and hmac.compare_digest(hash_of(text), hash_of(self._bootstrap)):
            return BOOTSTRAP
        name = name_in(text)
        token = await self._find(name) if NAME.match(name) else None
        if is_valid(token, text, (await self._store.tick()).now) and token is not None:
            return token.caller
        raise Unauthorized("this token is not known, or no longer", param="authorization")

    async def create(self, name: str, role: Role, prompts: tuple[str, ...], by: By) -> Issued:
        """Raises `Conflict` if there is, or was, a token of that name."""
        secret, made = secrets.token_urlsafe(SECRET_BYTES), list[Token]()

        async def planned(now: float) -> Entry | None:
            token = Token(name, role, prompts, hash_of(secret), now, by.actor)
            if await self._find(name) is not None:
                raise Conflict(f"there is, or was, a token {name!r}: names are not used again", param="name")
            made[:] = [token]
            return _entry("create_token", None, token, 0)

        done = await record(self._store, by, planned)
        return Issued(_view(made[0], done.revision), text_of(name, secret))

    async def rotate(self, name: str, grace: float, by: By, *, expected: int | None = None) -> Issued:
        """A new secret; the one before it is good for another `grace` s."""
        if not 0.0 <= grace <= MAX_GRACE:
            raise InvalidValue(f"grace is 0 to {MAX_GRACE:.0f} seconds, not {grace}", param="grace")
        secret = secrets.token_urlsafe(SECRET_BYTES)

        def rotated(token: Token, now: float) -> Token:
            if token.revoked_at:
                raise TransitionRefused(f"token {name!r} is revoked: make another one", param="name")
            return replace(
                token,
                hash=hash_of(secret),
                rotated_at=now,
                previous=token.hash if grace else "",
                previous_until=now + grace if grace else 0.0,
            )

        view = await self._change(name, "rotate_token", rotated, by, expected)
        return Issued(view, text_of(name, secret))

    async def revoke(self, name: str, by: By, *, expected: int | None = None) -> TokenView:
        """At once, on every machine. One that is revoked stays so."""

        def revoked(token: Token, now: float) -> Token:
            if token.revoked_at:
                return token
            return replace(token, revoked_at=now, revoked_by=by.actor)

        return await self._change(name, "revoke_token", revoked, by, expected)

    async def tokens(self) -> tuple[TokenView, ...]:
        documents = await list_all(self._store, keys.TOKENS)
        return tuple(_view(codec.decode_document(each, Token), each.revision) for each in documents)

    async def refused(self, by: By, subject: str, what: dict[str, object]) -> None:
        """Write down that somebody was refused."""

        async def planned(now: float) -> Entry | None:
            return Entry(REFUSED, subject, None, what)

        await record(self._store, by, planned)

    async def _find(self, name: str) -> Token | None:
        document = await self._store.get(keys.token(name))
        return None if document is None else codec.decode_document(document, Token)

    async def _change(
        self,
        name: str,
        action: str,
        change: Callable[[Token, float], Token],
        by: By,
        expected: int | None,
    ) -> TokenView:
        """Raises `NotFound` or `PreconditionFailed`."""
        check_name(name, "token")
        made: list[Token] = []
        revision = 0

        async def planned(now: float) -> Entry | None:
            nonlocal revision
            document = await self._store.get(keys.token(name))
            if document is None:
                raise NotFound(f"there is no token {name!r}", param="name")
            revision = document.revision
            if not check_revision(document, expected):
                raise PreconditionFailed(
                    await told_since(self._store, f"token:{name}", revision, expected or 0)
                )
            before = codec.decode_document(document, Token)
            after = change(before, now)
            made[:] = [after]
            return None if after == before else _entry(action, before, after, document.revision)

        done = await record(self._store, by, planned)
        return _view(made[0], done.revision or revision)


def _entry(action: str, before: Token | None, after: Token, revision: int) -> Entry:
    put = Put(keys.token(after.name), codec.encode(after), revision)
    told = None if before is None else _told(before)
    return Entry(action, f"token:{after.name}", told, _told(after), (put,))


def _told(token: Token) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(_view(token))
    del told["revision"]
    return told


def _view(token: Token, revision: int = 0) -> TokenView:
    """`revision`: what If-Match compares."""
    return TokenView(
        name=token.name,
        role=token.role,
        prompts=token.prompts,
        created_at=token.created_at,
        created_by=token.created_by,
        rotated_at=token.rotated_at,
        revoked_at=token.revoked_at,
        revoked_by=token.revoked_by,
        previous_until=token.previous_until,
        revision=revision,
    )
