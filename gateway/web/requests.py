"""What a request to the admin API says: typed bodies that refuse unknown fields, headers, paging."""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import msgspec
from aiohttp import web

from gateway.control.access import ANYBODY
from gateway.control.explain import KeyKind
from gateway.control.plan import By
from gateway.domain.access import Role
from gateway.errors import InvalidJson, InvalidValue
from gateway.web.route import CALLER

T = TypeVar("T")

ETAG = re.compile(r'"(\d{1,18})"\Z', re.ASCII)
MAX_PAGE = 1000


class PushBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`file` is the text of a .prompty file, `source` its name for messages."""

    file: str
    source: str = "file"
    reason: str = ""


class GateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["pending", "passed", "failed"]
    suite: str
    detail: str = ""
    reason: str = ""


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    weight: float | None = None
    policy: str | None = None
    reason: str = ""
    override_inputs: bool = False


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str = ""


class WeightBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    weight: float
    reason: str = ""


class DeployBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`expires_in`: seconds after which an emergency deploy is taken back. `watch`: the policy that watches
    it, with its holdback on the version before."""

    version: int
    reason: str = ""
    emergency: bool = False
    expires_in: float | None = None
    watch: str | None = None


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`prompts`: patterns of names (`*`, `?`); empty: all prompts."""

    name: str
    role: Role
    prompts: tuple[str, ...] = ()
    reason: str = ""


class RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`grace`: seconds for which the secret before stays good."""

    grace: float = 0.0
    reason: str = ""


class SessionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session`: the key as the client sends it, in what `kind` names; `client`: id of the client's key."""

    session: str
    kind: KeyKind = "header"
    client: str = ""


class TargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: str
    reason: str = ""


async def read_body(request: web.Request, kind: type[T]) -> T:
    """Raises `InvalidJson` or `InvalidValue` (its message names the field)."""
    raw = await request.read()
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"the body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not JSON: {error}") from error


def by(request: web.Request, reason: str) -> By:
    """The token's name, which nobody else can use; what the client says of itself stands behind it. While
    there is no token, that is all there is."""
    caller, said = request[CALLER], request.headers.get("x-actor", "")
    if caller is ANYBODY:
        return By(said or ANYBODY.name, reason)
    return By(f"{caller.name} ({said})" if said and said != caller.name else caller.name, reason)


def expected(request: web.Request) -> int | None:
    """The revision that If-Match names; None without one or for `*`."""
    value = request.headers.get("if-match", "*").strip()
    if value == "*":
        return None
    match = ETAG.match(value)
    if match is None:
        raise InvalidValue(
            f'if-match is one strong ETag as given by GET, such as "12", not {value!r:.100}', param="if-match"
        )
    return int(match[1])


def number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise InvalidValue(f"{name} is a whole number, not {text!r:.100}", param=name)
    return int(text)


def query_number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    return None if text is None else number(name, text)


def page_limit(request: web.Request, default: int = 100) -> int:
    limit = query_number(request, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidValue(f"limit is a number from 1 to {MAX_PAGE}, not {limit}", param="limit")
    return limit
