"""What a request's head must be beyond llhttp's grammar: one host, one framing, a plain target.

Every rule here closes a gap between two readers of the same bytes: us, and the provider behind us (RFC 9112
section 11.2, request smuggling; RFC 3986 section 6, path normalisation).
"""

import re
from functools import lru_cache
from typing import Final

from gateway.errors import (
    ClientError,
    ExpectationFailed,
    HttpVersionNotSupported,
    MalformedRequest,
    MethodNotAllowed,
    NotImplementedHere,
)
from gateway.proxy.base import Head, Headers

METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
SPECIAL: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))

_VERSION: Final = re.compile(rb"HTTP/\d(\.\d)?")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_TARGET: Final = re.compile(
    rb"/[!\"$->@-\[\]-~]*(?:\?[!\"$-~]*)?"
)  # visible ASCII without #; no \ in the path
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)(/[^?#]*)?", re.IGNORECASE)
_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HIDDEN: Final = re.compile(rb"%(?:2f|5c|00)", re.IGNORECASE)
_DOT: Final = re.compile(rb"%2e", re.IGNORECASE)


@lru_cache(maxsize=256)  # clients repeat themselves
def check_line(line: bytes) -> tuple[bytes, bytes, str]:
    """Method, target and version ("1.0" or "1.1") of a request line. Raises `ClientError`s."""
    check_start(line)
    version = line[-9:]
    if version not in (b" HTTP/1.1", b" HTTP/1.0"):
        last = line.rpartition(b" ")[2]
        if _VERSION.fullmatch(last) and last not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise HttpVersionNotSupported(f"HTTP version {_show(last)} is not supported; use HTTP/1.1")
        raise MalformedRequest(f"request line {_show(line)} is not METHOD SP TARGET SP HTTP/1.1")
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or not parts[1]:
        raise MalformedRequest(f"request line {_show(line)} is not METHOD SP TARGET SP HTTP/1.1")
    return parts[0], parts[1], "1.1" if version == b" HTTP/1.1" else "1.0"


def check_start(piece: bytes) -> None:
    """Raises `MalformedRequest` for what is no request at all: TLS to a plain port, a second empty line."""
    if not piece[:1].isalpha():
        raise MalformedRequest(f"a request cannot start with {_show(piece[:1])}; is this plain HTTP?")


def check_head(line: tuple[bytes, bytes, str], headers: Headers, received: float) -> tuple[Head, bool]:
    """The head, and whether the client waits for 100 Continue. Raises `ClientError`s."""
    method, target, version = line
    if method not in METHODS:
        raise MethodNotAllowed(
            f"method {_show(method)} is not allowed; use one of {_show(b' '.join(METHODS))}"
        )
    host = length = coding = expect = None
    for name, value in headers:
        if name not in SPECIAL:
            continue
        if name == b"host":
            host = _once(name, host, value)
        elif name == b"content-length":
            length = _once(name, length, value)
        elif name == b"transfer-encoding":
            coding = _once(name, coding, value)
        else:
            expect = _once(name, expect, value)
    if host is None and version == "1.1":
        raise MalformedRequest("an HTTP/1.1 request must have a Host header")
    path, query = split_target(target, host)
    size = body_length(length, coding, version)
    if expect is not None and expect.lower() != b"100-continue":
        raise ExpectationFailed(f"Expect {_show(expect)} cannot be met; only 100-continue is known")
    waits = expect is not None and version == "1.1" and size != 0
    return Head(method, path, query, version, headers, size, received), waits


@lru_cache(maxsize=256)
def split_target(target: bytes, host: bytes | None) -> tuple[bytes, bytes]:
    """Path and query, raw. Our own absolute form is taken, as RFC 9112 section 3.2.2 asks; a foreign one,
    the authority form (CONNECT) and the asterisk form are refused. Raises `MalformedRequest`."""
    if host is not None and not _HOST.fullmatch(host):
        raise MalformedRequest(f"Host {_show(host)} is not a host name or address with an optional port")
    if target[:1] != b"/":
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            raise MalformedRequest(f"request target {_show(target)} must be a path that starts with /")
        if host is None or absolute[1].lower() != host.lower():
            raise MalformedRequest(f"request target {_show(target)} names another host than the Host header")
        rest = target[absolute.end(1) :]
        target = rest if rest[:1] == b"/" else b"/" + rest
    if not _TARGET.fullmatch(target):
        raise MalformedRequest(f"request target {_show(target)} has a character that must be percent-encoded")
    path, _, query = target.partition(b"?")
    if b"%" in path:
        _check_encoded(path)
    if b"/." in path or b"%" in path:
        _check_segments(path)
    return path, query


def _check_encoded(path: bytes) -> None:
    if _PERCENT.search(path):
        raise MalformedRequest(f"path {_show(path)} has a % that is not followed by two hex digits")
    if _HIDDEN.search(path):
        raise MalformedRequest(f"path {_show(path)} hides a slash, backslash or NUL behind percent-encoding")


def _check_segments(path: bytes) -> None:
    # Some servers cut path parameters (`;x`) before they resolve dots, so `..;x` counts as `..`.
    segments = (segment.partition(b";")[0] for segment in _DOT.sub(b".", path).split(b"/"))
    if any(segment in (b".", b"..") for segment in segments):
        raise MalformedRequest(f"path {_show(path)} has a dot segment; send it resolved")


def body_length(length: bytes | None, coding: bytes | None, version: str) -> int | None:
    """Bytes of the body, None for chunked. llhttp has judged the digits and refused both headers at once;
    that is repeated here because it does not look at the body's framing once a request offers an upgrade."""
    if coding is not None:
        if length is not None:
            raise MalformedRequest("a request has either Content-Length or Transfer-Encoding, not both")
        if version == "1.0":
            raise MalformedRequest("Transfer-Encoding is not part of HTTP/1.0; send Content-Length")
        if coding.lower() != b"chunked":
            raise unknown_coding(coding)
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 18:  # bytes.isdigit knows ASCII only
        raise MalformedRequest(f"Content-Length {_show(length)} is not a plausible number of bytes")
    return int(length)


def unknown_coding(coding: bytes) -> ClientError:
    return NotImplementedHere(f"Transfer-Encoding {_show(coding)} is not supported; only chunked is")


def _once(name: bytes, earlier: bytes | None, value: bytes) -> bytes:
    if earlier is not None:
        raise MalformedRequest(f"header {name.decode()} is there more than once")
    return value


def _show(raw: bytes) -> str:
    return repr(raw[:80].decode("latin-1"))
