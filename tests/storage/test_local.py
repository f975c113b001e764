"""Files of one machine: replaced in one step, understood or refused, never half there."""

import stat
import threading
from pathlib import Path

import msgspec
import pytest

from gateway.domain.client_key import ClientKey
from gateway.domain.prompt import Version, digest
from gateway.domain.rollout import Deployment
from gateway.errors import ConfigError
from gateway.storage import local
from gateway.storage.local import Kept
from tests.support.prompts import prompt_file


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_a_signing_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    key = local.signing_key(directory)
    assert len(key) == 64
    assert local.signing_key(directory) == key
    assert stat.S_IMODE((directory / local.SIGNING_KEY).stat().st_mode) == 0o600
    assert names(directory) == [local.SIGNING_KEY]


def test_processes_that_start_together_have_one_key(tmp_path: Path) -> None:
    keys: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        keys.append(local.signing_key(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 64])
def test_a_signing_key_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / local.SIGNING_KEY).write_bytes(content)
    with pytest.raises(ConfigError, match=r"signing\.key"):
        local.signing_key(tmp_path)


def test_a_directory_is_made_or_refused(tmp_path: Path) -> None:
    local.check_directory(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=r"data_directory: .*file.* cannot be written"):
            local.check_directory(path)
        with pytest.raises(ConfigError, match=r"signing\.key"):
            local.signing_key(path)


def test_overrides(tmp_path: Path) -> None:
    assert local.read_overrides(tmp_path) == {}
    local.write_overrides(tmp_path / "new", {"greeter": 3})
    assert local.read_overrides(tmp_path / "new") == {"greeter": 3}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"greeter": "1"}', b'{"greeter": 0}', b'{"greeter": 1.5}', b'{"no name": 1}', b"\xff"],
)
def test_overrides_that_cannot_be_understood(tmp_path: Path, content: bytes) -> None:
    (tmp_path / local.OVERRIDES).write_bytes(content)
    with pytest.raises(ConfigError, match=r"overrides\.json: expected \{prompt: version\}"):
        local.read_overrides(tmp_path)


def test_overrides_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / local.OVERRIDES).mkdir()
    with pytest.raises(ConfigError, match=r"overrides\.json: cannot be read"):
        local.read_overrides(tmp_path)


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    assert local.read_snapshot(tmp_path) is None
    kept = Kept({"greeter": Deployment("greeter", live=1)}, [version(1), version(2)])
    local.write_snapshot(tmp_path, kept)
    assert local.read_snapshot(tmp_path) == kept
    (tmp_path / local.SNAPSHOT).write_bytes(b"{half")
    assert local.read_snapshot(tmp_path) is None


@pytest.mark.parametrize("count", [0, 1, 2, 3 * local.ENCODED_AT_ONCE])
def test_a_snapshot_is_written_piece_by_piece(tmp_path: Path, count: int) -> None:
    """What other threads may come between is, byte for byte, what the encoder makes of the whole."""
    prompts = [f"prompt-{number}" for number in range(count)]
    kept = Kept(
        {name: Deployment(name, live=1) for name in prompts},
        [version(number + 1) for number in range(min(count, 3))],
        {name: ClientKey(name, name, "digest", 1.0, "me") for name in prompts},
    )
    local.write_snapshot(tmp_path, kept)
    assert (tmp_path / local.SNAPSHOT).read_bytes() == msgspec.json.encode(kept)


def version(number: int) -> Version:
    content = prompt_file(f"Version {number}.").content
    return Version("greeter", number, digest(content), content, 1.0, "a test")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = (b"a" * 200_000, b"b" * 300_000)
    local.replace_file(path, contents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            local.replace_file(path, contents[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert path.read_bytes() in contents
    writer.join()
    assert names(tmp_path) == ["file"]


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        local.replace_file(tmp_path / "taken", b"content")
    assert names(tmp_path) == ["taken"]
