"""Who may do what: roles in one order, tokens that carry one, and the prompts that a token is limited to.

    viewer < operator < admin      whoever may do something may do what the roles below may

A token is `pct_NAME.SECRET`. The secret is 256 random bits, so a plain SHA-256 keeps it (a slow hash protects
what people choose, and nothing of that kind is kept here). Comparisons take the same time whatever differs.
"""

from __future__ import annotations

import hashlib
import hmac
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec

from gateway.domain.names import check_name
from gateway.errors import InvalidValue

Role = Literal["viewer", "operator", "admin"]
RANKS: dict[Role, int] = {"viewer": 1, "operator": 2, "admin": 3}

PREFIX = "pct_"
MAX_PATTERNS = 50
RESERVED = frozenset({"anonymous", "bootstrap", "controller", "services"})  # actors that are not tokens
_PATTERN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-*?")
_NOBODY = hashlib.sha256(b"").hexdigest()


class Caller(NamedTuple):
    """Who asks. `prompts`: patterns of names, `*` and `?` as in a shell; empty: all prompts."""

    name: str
    role: Role
    prompts: tuple[str, ...] = ()

    def has_role(self, needed: Role) -> bool:
        return RANKS[self.role] >= RANKS[needed]

    def may_see(self, prompt: str) -> bool:
        return not self.prompts or any(fnmatchcase(prompt, pattern) for pattern in self.prompts)


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """As it is kept: `hash` is the SHA-256 of the secret, 64 hex digits. After a rotation the one before it
    (`previous`) is good until `previous_until`. Times are the store's, s; 0.0 is "not"."""

    name: str
    role: Role
    prompts: tuple[str, ...]
    hash: str
    created_at: float
    created_by: str
    rotated_at: float = 0.0
    revoked_at: float = 0.0
    revoked_by: str = ""
    previous: str = ""
    previous_until: float = 0.0

    def __post_init__(self) -> None:
        check_name(self.name, "token")
        if self.name in RESERVED:
            raise InvalidValue(f"no token is called {self.name!r}: an actor of the gateway is", param="name")
        if len(self.prompts) > MAX_PATTERNS:
            raise InvalidValue(f"a token has at most {MAX_PATTERNS} patterns", param="prompts")
        for pattern in self.prompts:
            if not 1 <= len(pattern) <= 64 or not set(pattern) <= _PATTERN:
                raise InvalidValue(
                    f"a pattern of prompts is 1 to 64 of a-z, 0-9, '.', '_', '-', '*' and '?', "
                    f"not {pattern!r:.100}",
                    param="prompts",
                )

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.role, self.prompts)


def text_of(name: str, secret: str) -> str:
    """The token as its holder keeps it."""
    return f"{PREFIX}{name}.{secret}"


def name_in(text: str) -> str:
    """The name in a token's text, or "" if it has none."""
    name, dot, _ = text.removeprefix(PREFIX).rpartition(".")
    return name if dot and text.startswith(PREFIX) else ""


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_valid(token: Token | None, text: str, now: float) -> bool:
    """Whether `text` is `token` at `now` (store time, s). None, for a name that nobody has, takes as long."""
    given = hash_of(text.rpartition(".")[2])
    current = hmac.compare_digest(given, _NOBODY if token is None else token.hash)
    before = hmac.compare_digest(given, _NOBODY if token is None else token.previous or _NOBODY)
    if token is None or token.revoked_at:
        return False
    return current or (before and now < token.previous_until)
