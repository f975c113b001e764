"""One row of the corpus, and the words in which its rows are written."""

from dataclasses import dataclass
from typing import Literal

HOST = b"Host: a\r\n"
GET = b"GET /v1/x HTTP/1.1\r\n" + HOST
POST = b"POST /v1/x HTTP/1.1\r\n" + HOST
END = b"\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"  # seen by the handler only if it is a request of its own


@dataclass(frozen=True, slots=True)
class Row:
    """`answers` are statuses in order, `bodies` those of the requests that were complete for the handler."""

    name: str
    data: bytes
    answers: tuple[int, ...]
    bodies: tuple[bytes, ...]
    after: Literal["kept", "closed"]
    eof: bool = False  # the client sends FIN after the data
    gone: int = 0  # handlers that were told that their client left

    @property
    def refused(self) -> bool:
        return any(status >= 400 for status in self.answers)


def refused(name: str, data: bytes, status: int = 400, *, gone: int = 0) -> Row:
    """Nothing of it reaches the handler as a complete request; answered, then closed."""
    return Row(name, data, (status,), (), "closed", gone=gone)


def served(name: str, data: bytes, *bodies: bytes) -> Row:
    """Every request is answered with 200 and the connection stays."""
    return Row(name, data, (200,) * len(bodies), bodies, "kept")


def last(name: str, data: bytes, *bodies: bytes) -> Row:
    """As `served`, but the last answer closes the connection; what follows is not a request."""
    return Row(name, data, (200,) * len(bodies), bodies, "closed")


def waiting(name: str, data: bytes) -> Row:
    """Incomplete: no answer yet."""
    return Row(name, data, (), (), "kept")


def left(name: str, data: bytes, *, gone: int = 0) -> Row:
    """The client closes its side while its request is incomplete or unanswered: closed without an answer."""
    return Row(name, data, (), (), "closed", eof=True, gone=gone)
