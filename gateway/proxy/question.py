"""What a client asked, in words: for judges and safety checks, which want it of few answers only."""

from __future__ import annotations

from typing import Final

from gateway.wire.splice import Fields
from gateway.wire.texts import Asked, asked_of

MOST: Final = 64 * 1024  # bytes of words
LATER: Final = 16 * 1024  # bytes of a body that is kept until its words are wanted, if they ever are


class Question:
    """`count`: how many turns are its user's matters."""

    __slots__ = ("_asked", "_count", "_fields")

    def __init__(self, fields: Fields, *, count: bool) -> None:
        self._count = count
        self._fields: Fields | None = fields
        self._asked = Asked("", 0)
        if len(fields.body) > LATER:
            self.words()

    def words(self) -> Asked:
        fields, self._fields = self._fields, None
        if fields is not None:
            self._asked = asked_of(fields, MOST, count=self._count)
        return self._asked
