"""Keys of the gateway's own clients: what is stored of one, what it allows, how a request's is checked.

    pck_ + id (12) + _ + secret (43)        base64url of 9 and 32 random bytes; shown once

Only the secret's SHA-256 is stored: of 256 random bits nothing can be guessed, so the hash may be a fast one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from gateway.domain.names import check_name
from gateway.errors import InvalidValue

PREFIX = "pck_"
ID_BYTES, SECRET_BYTES = 6, 32
PATTERN = re.compile(r"[a-z0-9*][a-z0-9._*-]{0,63}\Z")
MAX_PROMPTS, MAX_RATE, MAX_BURST = 100, 100_000.0, 1_000_000

Permission = Literal[
    "explicit_versions",  # x-prompt: name/version, if its gate has passed; such requests are no evidence
    "preview",  # the same, whatever its gate says
    "unmanaged",  # requests that no prompt applies to, and all other routes, although `prompts` is restricted
]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

_KEY = re.compile(rb"pck_([A-Za-z0-9_-]{12})_([A-Za-z0-9_-]{43})\Z")
_NOBODY = hashlib.sha256(b"").hexdigest()


class ClientKey(msgspec.Struct, frozen=True):
    """Times are the store's, s since the epoch; 0.0 is "not yet". `rate`: requests per second in each worker
    (None: no limit), `burst` of them at once."""

    id: str
    name: str
    digest: str
    created_at: float
    created_by: str
    prompts: tuple[str, ...] = ("*",)
    permissions: tuple[Permission, ...] = ()
    rate: float | None = None
    burst: int = 1
    revoked_at: float = 0.0
    revoked_by: str = ""

    def may_use(self, prompt: str) -> bool:
        return _pattern(self.prompts).match(prompt) is not None

    @property
    def may_pass(self) -> bool:
        """Requests that no prompt applies to."""
        return "*" in self.prompts or "unmanaged" in self.permissions

    @property
    def may_choose(self) -> bool:
        return bool({"explicit_versions", "preview"} & set(self.permissions))

    @property
    def may_preview(self) -> bool:
        return "preview" in self.permissions


class Wanted(msgspec.Struct, frozen=True):
    """What a new key is to be. Raises `InvalidValue` at birth."""

    name: str
    prompts: tuple[str, ...] = ("*",)
    permissions: tuple[Permission, ...] = ()
    rate: float | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "name")
        if not 1 <= len(self.prompts) <= MAX_PROMPTS:
            raise InvalidValue(f"prompts are 1 to {MAX_PROMPTS} patterns", param="prompts")
        for pattern in self.prompts:
            if not PATTERN.match(pattern):
                raise InvalidValue(
                    f"prompts: {pattern!r:.100} is no name of a prompt, nor a pattern such as support-*",
                    param="prompts",
                )
        if self.rate is not None and not 0 < self.rate <= MAX_RATE:
            raise InvalidValue(f"rate is above 0 and at most {MAX_RATE:g} requests/s", param="rate")
        if self.burst is not None and (self.rate is None or not 1 <= self.burst <= MAX_BURST):
            raise InvalidValue(f"burst goes with a rate and is 1 to {MAX_BURST} requests", param="burst")


def make(wanted: Wanted, chance: bytes, *, at: float, by: str) -> tuple[ClientKey, str]:
    """The key's record, and the key itself; `chance` are `ID_BYTES + SECRET_BYTES` random bytes."""
    assert len(chance) == ID_BYTES + SECRET_BYTES
    id = chance[:ID_BYTES].hex()  # base64 may begin with a dash, which a command line takes for an option
    secret = _text(chance[ID_BYTES:])
    burst = wanted.burst if wanted.burst is not None else max(1, round(wanted.rate or 0))
    record = ClientKey(
        id=id,
        name=wanted.name,
        digest=_digest(secret.encode()),
        created_at=at,
        created_by=by,
        prompts=wanted.prompts,
        permissions=wanted.permissions,
        rate=wanted.rate,
        burst=burst,
    )
    return record, f"{PREFIX}{id}_{secret}"


def find(known: Mapping[str, ClientKey], presented: bytes) -> ClientKey | None:
    """The key that was presented, unless it is unknown or revoked. The comparison takes the same time
    wherever they differ, and as long for an id that is unknown; ids are no secrets."""
    match = _KEY.match(presented)
    if match is None:
        return None
    key = known.get(match[1].decode())
    same = hmac.compare_digest(_digest(match[2]), _NOBODY if key is None else key.digest)
    return key if same and key is not None and not key.revoked_at else None


def _text(chance: bytes) -> str:
    return base64.urlsafe_b64encode(chance).rstrip(b"=").decode()


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


@lru_cache(maxsize=1024)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(".*".join(map(re.escape, glob.split("*"))) for glob in globs) + r")\Z")
