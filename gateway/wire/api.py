"""The seam between the gateway and the shapes of one conversation: `chat`, `responses`, `messages`.

Each of them is a module that implements `Api`; everything above this floor speaks of a request, a recipe and
an answer, never of `messages`, `input` or `system`. A module's functions are pure and keep no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from gateway.domain.prompt import Content, SystemPolicy
from gateway.errors import GatewayError
from gateway.wire import Piece
from gateway.wire.options import Option
from gateway.wire.splice import Fields
from gateway.wire.sse import EventScanner
from gateway.wire.usage import Answer

SystemRole = Literal["system", "developer"]
Own = TypeVar("Own")


class Request(msgspec.Struct, frozen=True):
    """What a request says before anything is changed.

    `messages` are the client's turns; `first_system` and `first_user` are what the session's fingerprint is
    made of, as bytes that stay the same from turn to turn, empty if there is none. `system_role` is the kind
    of the first instruction of the client's own, None without one.
    """

    stream: bool
    model: str | None
    messages: int
    has_assistant_turn: bool
    system_role: SystemRole | None
    first_system: bytes
    first_user: bytes


class Recipe(msgspec.Struct, frozen=True):
    """What a version puts into every request, as JSON text."""

    model: str | None
    model_json: bytes | None
    options: tuple[Option, ...]
    client_system: SystemPolicy
    system_role: SystemRole | None  # None: the client's model decides
    prefers: SystemRole  # where it does not care


class Injected(msgspec.Struct, frozen=True):
    pieces: list[Piece]  # the new body
    asked_usage: bool  # usage was asked for by us, so its event is not the client's


class Api(Protocol[Own]):
    """`Own` is the API's form of a version's rendered messages."""

    PATH: bytes

    def session_sources(self, sources: Sequence[str]) -> tuple[str, ...]:
        """Where this API keeps what the configured sources name; those that it cannot have are left out."""

    def recipe(self, content: Content, name: str) -> Recipe:
        """Compile a version's content; `name` is the prompt's. Raises `InvalidValue`."""

    def encode_messages(self, messages: Sequence[tuple[str, str]]) -> Own:
        """`messages` are (role, text). Raises `InvalidValue` for a text that is none (a lone surrogate)."""

    def inspect(self, fields: Fields) -> Request:
        """Raises `InvalidValue` for a field of the wrong type and `DuplicateKey` for a repeated one."""

    def inject(
        self, fields: Fields, request: Request, recipe: Recipe, own: Own, *, ask_usage: bool = False
    ) -> Injected:
        """The body for the upstream. Raises `SystemMessageRefused`, `InvalidValue` and `DuplicateKey`."""

    def scanner(self, *, strip_usage: bool = False) -> EventScanner:
        """A tee for one event stream."""

    def read_answer(self, body: bytes) -> Answer | None:
        """What a whole body tells; None if it cannot be read as one."""

    def error_body(self, error: GatewayError) -> bytes:
        """An error of our own in this API's shape."""

    def sse_error(self, error: GatewayError) -> bytes:
        """The same as an event; close abruptly afterwards."""
