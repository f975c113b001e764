"""Files of one machine, beside the store: the signing key, overrides, the last snapshot.

All are small; they are read and written off the hot path, and replaced in one step (write, fsync, rename),
so that a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.domain.client_key import ClientKey
from gateway.domain.names import check_name
from gateway.domain.prompt import Version
from gateway.domain.rollout import Deployment
from gateway.errors import ConfigError, InvalidValue

SIGNING_KEY = "signing.key"
OVERRIDES = "overrides.json"
OVERRIDE_VERSIONS = "override-versions.json"
SNAPSHOT = "snapshot.json"
ENCODED_AT_ONCE = 200  # values: a fraction of a ms
REST = 0.0005  # s; longer than it takes another thread to wake

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]


class Kept(msgspec.Struct, frozen=True):
    """A worker's view as kept on disk."""

    deployments: dict[str, Deployment]
    versions: list[Version]
    client_keys: dict[str, ClientKey] = {}


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, keep: bool = False) -> None:
    """`keep`: a file that is there already stays, whoever wrote it in the meantime. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        else:
            Path(temporary).replace(path)
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()


def check_directory(directory: Path) -> None:
    """Make the directory if it is missing. Raises `ConfigError` if files cannot be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigError(f"data_directory: {directory} cannot be written: {error.strerror}") from error


def signing_key(directory: Path) -> str:
    """The machine's own key, made at first use, readable by its owner only. Raises `ConfigError`."""
    path = directory / SIGNING_KEY
    try:
        if not path.exists():
            replace_file(path, secrets.token_hex(32).encode(), keep=True)
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the signing key cannot be read or made: {error}") from error
    if len(key) < 32:
        raise ConfigError(f"{path}: a signing key has 32 characters or more; remove the file for a new one")
    return key


def read_overrides(directory: Path) -> dict[str, int]:
    """{prompt: version}; empty if there is no file. Raises `ConfigError` if it cannot be understood."""
    path = directory / OVERRIDES
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        overrides = msgspec.json.decode(content, type=dict[str, PositiveInt])
        return {check_name(prompt, "prompt"): version for prompt, version in overrides.items()}
    except (msgspec.MsgspecError, InvalidValue) as error:
        raise ConfigError(f"{path}: expected {{prompt: version}}: {error}") from error


def write_overrides(directory: Path, overrides: dict[str, int]) -> None:
    replace_file(directory / OVERRIDES, msgspec.json.encode(overrides))


def shown_overrides(directory: Path) -> dict[str, int] | str:
    """For people: what is overridden, or what is wrong with the file."""
    try:
        return read_overrides(directory)
    except ConfigError as error:
        return error.message


def read_override_versions(directory: Path) -> list[Version]:
    """The versions that overrides name, as far as `override` could ask the store for them. Like the snapshot
    a help for bad times: empty if they cannot be read."""
    try:
        return msgspec.json.decode((directory / OVERRIDE_VERSIONS).read_bytes(), type=list[Version])
    except (OSError, msgspec.MsgspecError, InvalidValue):
        return []


def write_override_versions(directory: Path, versions: list[Version]) -> None:
    replace_file(directory / OVERRIDE_VERSIONS, msgspec.json.encode(versions))


def read_snapshot(directory: Path) -> Kept | None:
    """None if there is none or it cannot be read: it is a help for bad times, not a source of truth."""
    try:
        return msgspec.json.decode((directory / SNAPSHOT).read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def write_snapshot(directory: Path, kept: Kept) -> None:
    """For a thread of its own. It rests between pieces: encoding holds the interpreter, and 10,000
    deployments in one go would stop the event loop for 10 ms."""
    pieces: list[bytes] = []
    for index, piece in enumerate(_encoded(kept)):
        pieces.append(piece)
        if index % ENCODED_AT_ONCE == ENCODED_AT_ONCE - 1:
            time.sleep(REST)
    replace_file(directory / SNAPSHOT, b"".join(pieces))


def _encoded(kept: Kept) -> Iterator[bytes]:
    """What `msgspec.json.encode(kept)` makes, value by value."""
    encode = msgspec.json.encode
    yield b'{"deployments":{'
    for index, (prompt, deployment) in enumerate(kept.deployments.items()):
        yield b"%b%b:%b" % (b"," if index else b"", encode(prompt), encode(deployment))
    yield b'},"versions":['
    for index, version in enumerate(kept.versions):
        yield b"%b%b" % (b"," if index else b"", encode(version))
    yield b'],"client_keys":{'
    for index, (id, key) in enumerate(kept.client_keys.items()):
        yield b"%b%b:%b" % (b"," if index else b"", encode(id), encode(key))
    yield b"}}"
