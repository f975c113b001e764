"""Files of one machine, beside the store: the signing key, overrides, the last snapshot.

All are small; they are read and written off the hot path, and replaced in one step (write, fsync, rename),
so that a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

import msgspec

from gateway.domain.names import check_name
from gateway.domain.prompt import Version
from gateway.domain.rollout import Deployment
from gateway.errors import ConfigError

SIGNING_KEY = "signing.key"
OVERRIDES = "overrides.json"
SNAPSHOT = "snapshot.json"


class Kept(msgspec.Struct, frozen=True):
    """A worker's view as kept on disk. `store_offset` is store time minus wall clock, s."""

    deployments: dict[str, Deployment]
    versions: list[Version]
    store_offset: float = 0.0


def replace_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def signing_key(directory: Path) -> str:
    """The machine's own key, made at first use, readable by its owner only."""
    path = directory / SIGNING_KEY
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
    key = path.read_text().strip()
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
    try:
        overrides = msgspec.json.decode(content, type=dict[str, int])
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}: expected {{prompt: version}}: {error}") from error
    return {check_name(prompt, "prompt"): version for prompt, version in overrides.items()}


def write_overrides(directory: Path, overrides: dict[str, int]) -> None:
    replace_file(directory / OVERRIDES, msgspec.json.encode(overrides))


def read_snapshot(directory: Path) -> Kept | None:
    """None if there is none or it cannot be read: it is a help for bad times, not a source of truth."""
    try:
        return msgspec.json.decode((directory / SNAPSHOT).read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def write_snapshot(directory: Path, kept: Kept) -> None:
    replace_file(directory / SNAPSHOT, msgspec.json.encode(kept))
