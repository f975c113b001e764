"""What an operation of the admin API is: one value from which it is served, documented and tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web

from gateway.control.operations import StoreOperations
from gateway.domain.access import Caller, Role
from gateway.errors import GatewayError
from gateway.storage.base import Store
from gateway.web.answers import Handler

CALLER = web.RequestKey("caller", Caller)
OPERATIONS = web.AppKey("operations", StoreOperations)
STORE = web.AppKey[Store]("store")


class Parameter(NamedTuple):
    """Of the query; `schema` is its JSON Schema."""

    name: str
    schema: Mapping[str, Any]
    says: str


@dataclass(frozen=True, slots=True)
class Route:
    """`role` is the least that may ask, None: anybody. `answers`: status → type, None: no body of a type of
    ours; `errors`: what this operation can answer beyond what all can. `changes`: its answer carries a
    revision as ETag, and it takes If-Match. `etag`: the first of these only. `once`: it takes
    Idempotency-Key. `fleet`: it is about no single prompt, so that a token limited to some may not ask.
    `media`: the type of an answer that has none of ours. `secret`: the member of an answer that is shown
    once."""

    method: str
    path: str
    name: str
    says: str
    handler: Handler
    role: Role | None
    answers: Mapping[int, type | None]
    body: type | None = None
    errors: tuple[type[GatewayError], ...] = ()
    query: tuple[Parameter, ...] = ()
    changes: bool = False
    etag: bool = False
    once: bool = False
    fleet: bool = False
    media: str = "application/json"
    secret: str = ""


LIMIT = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "how many, at most")
