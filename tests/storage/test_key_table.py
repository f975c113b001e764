"""The table of small keys: a dictionary's answers, whatever grows, expires, waits or is killed."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, InvalidValue, StoreUnavailable
from gateway.storage.base import LATER
from gateway.storage.key_table import BUCKETS, HEADER, SLOTS, VALUE_BYTES, KeyTable, key_id

LEVEL_0 = BUCKETS * SLOTS  # keys
NEIGHBOURS = [
    key for key in map(str, range(200_000)) if int.from_bytes(key_id(key)[:4], "little") % BUCKETS < 2
]  # some hundred, which share two buckets of level 0


def opened(directory: Path, patience: float = 5.0) -> KeyTable:
    table = KeyTable(directory / "keys.table", patience)
    table.open()
    return table


@pytest.fixture
def table(tmp_path: Path) -> Iterator[KeyTable]:
    table = opened(tmp_path)
    yield table
    table.close()


def put(table: KeyTable, key: str, value: bytes = b"v", ttl: float = 60.0, now: float = 1.0) -> bytes:
    return table.set_all([(key, value, ttl)], now)[0]


Action = tuple[str, int, str, bytes, float]
actions = st.tuples(
    st.sampled_from(("set", "set_at_once", "touch", "delete", "wait")),
    st.integers(0, 1),
    st.sampled_from(NEIGHBOURS),
    st.binary(max_size=VALUE_BYTES),
    st.floats(1.0, 50.0),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(actions, max_size=120))
def test_two_views_of_one_file_answer_as_one_dictionary(done: list[Action]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        views = [opened(Path(directory)), opened(Path(directory))]
        stand: dict[str, tuple[bytes, float]] = {}
        now = 1.0
        for name, which, key, value, seconds in done:
            view = views[which]
            if name == "wait":
                now += seconds / 5
                stand = {each: kept for each, kept in stand.items() if kept[1] > now}
            elif name == "touch":
                assert view.touch_at_once([(key, seconds)], now)
                if key in stand:
                    stand[key] = stand[key][0], now + seconds
            elif name == "delete":
                view.delete(key, now)
                stand.pop(key, None)
            else:
                wins = stand.setdefault(key, (value, now + seconds))[0]
                item = (key, value, seconds)
                at_once = view.set_all_at_once([item], now) if name == "set_at_once" else LATER
                assert (wins,) == (view.set_all([item], now) if at_once is LATER else at_once)
            for other in (key, *stand):
                assert views[1 - which].get_at_once(other, now) == stand.get(other, (None,))[0]
        for view in views:
            view.close()


def test_it_grows_and_keeps_everything(table: KeyTable, tmp_path: Path) -> None:
    other = opened(tmp_path)
    count = 3 * LEVEL_0
    for number in range(count):
        assert put(table, f"k{number}", b"%d" % number) == b"%d" % number
    assert all(other.get(f"k{number}", 2.0) == b"%d" % number for number in range(count))
    assert other.get(f"k{count}", 2.0) is None
    other.close()
    assert (tmp_path / "keys.table").stat().st_size < 200 * count


def test_what_has_expired_makes_room(table: KeyTable, tmp_path: Path) -> None:
    """Age after age of other keys: the file is that of one."""
    sizes = []
    for age in range(6):
        for number in range(LEVEL_0 // 2):
            put(table, f"{age}/{number}", now=100.0 * age + 1.0)
        sizes.append((tmp_path / "keys.table").stat().st_size)
    assert sizes[-1] == sizes[0]


def test_while_another_holds_the_lock_nothing_is_had_at_once(tmp_path: Path) -> None:
    table = opened(tmp_path, patience=0.02)
    put(table, "k")
    other = os.open(tmp_path / "keys.table", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert table.get_at_once("k", 1.0) is LATER
    assert table.set_all_at_once([("k", b"", 60.0)], 1.0) is LATER
    with pytest.raises(BlockingIOError, match=r"another process holds .*keys\.table"):
        table.get("k", 1.0)
    os.close(other)
    assert table.get_at_once("k", 1.0) == b"v"
    table.close()
    assert table.get_at_once("k", 1.0) is LATER


def test_growing_is_not_done_at_once(table: KeyTable) -> None:
    for key in NEIGHBOURS:
        if table.set_all_at_once([(key, b"v", 60.0)], 1.0) is LATER:
            assert put(table, key) == b"v"
            assert table.set_all_at_once([(key, b"w", 60.0)], 1.0) == (b"v",)
            return
    raise AssertionError("the first level was never full")


def test_a_table_that_was_cut_short_is_an_error_and_holds_nobody(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    for key in NEIGHBOURS:
        put(one, key)
    os.truncate(tmp_path / "keys.table", HEADER + 1)
    for _ in range(2):
        assert other.get_at_once("k", 1.0) is LATER
        with pytest.raises(OSError, match=r"keys\.table cannot be mapped"):
            other.get("k", 1.0)
    again = opened(tmp_path)  # what is missing is made anew
    assert again.get_at_once(NEIGHBOURS[0], 1.0) is None
    assert other.get_at_once("k", 1.0) is None
    for table in (one, other, again):
        table.close()


def test_a_lock_that_is_held_while_it_is_opened_says_so(tmp_path: Path) -> None:
    opened(tmp_path).close()
    other = os.open(tmp_path / "keys.table", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(StoreUnavailable, match="another process holds"):
        opened(tmp_path, patience=0.02)
    os.close(other)


def test_a_value_that_is_too_long_is_refused(table: KeyTable) -> None:
    assert put(table, "k", b"x" * VALUE_BYTES) == b"x" * VALUE_BYTES
    assert table.set_all_at_once([("l", b"x" * (VALUE_BYTES + 1), 60.0)], 1.0) is LATER
    with pytest.raises(InvalidValue, match="40 bytes are too many for this key: 39 at most"):
        put(table, "l", b"x" * (VALUE_BYTES + 1))


@pytest.mark.parametrize("said", [b"pckeys\x00\x02", b"SQLite format 3\x00"])
def test_a_file_of_another_layout_is_refused(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "keys.table").write_bytes(said + bytes(10_000))
    with pytest.raises(ConfigError, match="is no key table that this gateway knows"):
        opened(tmp_path)


def test_a_file_whose_maker_was_killed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "keys.table").write_bytes(bytes(4096))
    table = opened(tmp_path)
    assert put(table, "k") == b"v"
    table.close()


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys\.table cannot be used"):
        opened(tmp_path / "missing")


WRITER = """
import sys
from pathlib import Path
from gateway.storage.key_table import KeyTable
table = KeyTable(Path(sys.argv[1]), 5.0)
table.open()
number = 0
while True:
    table.set_all([(f"{sys.argv[2]}/{number}", b"%d" % number, 600.0)], 1.0)
    print(number, flush=True)
    number += 1
"""


def test_what_was_put_outlives_its_process(table: KeyTable, tmp_path: Path) -> None:
    """kill -9 of two that write at once, in the middle of it, again and again."""
    delays = random.Random(1)
    for turn in range(10):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path / "keys.table"), f"{turn}{name}"],
                stdout=subprocess.PIPE,
            )
            for name in "ab"
        ]
        wanted = delays.randrange(200, 2000)
        for writer in writers:
            assert writer.stdout is not None
            for _ in range(wanted):
                writer.stdout.readline()
        for writer, name in zip(writers, "ab", strict=True):
            writer.kill()
            said = writer.communicate()[0].split(b"\n")[:-1]
            for number in range(wanted + len(said)):
                assert table.get(f"{turn}{name}/{number}", 2.0) == b"%d" % number
            after = table.get(f"{turn}{name}/{wanted + len(said)}", 2.0)
            assert after in (None, b"%d" % (wanted + len(said)))
