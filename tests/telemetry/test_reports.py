"""Lines to the supervisor through a pipe that nobody may be reading."""

import asyncio
import os
import threading

from gateway.telemetry.reports import Reports


async def test_a_reader_that_is_late_stops_nobody_and_misses_nothing() -> None:
    read, write = os.pipe()
    reports = Reports(write)
    text = "x" * 100_000  # more than a pipe holds
    reports.tell({"text": text})
    assert reports.busy
    reports.tell({"last": True})
    got = b""
    while b"last" not in got:
        got += await asyncio.to_thread(os.read, read, 65536)
    assert not reports.busy
    assert got == b'{"text":"' + text.encode() + b'"}\n{"last":true}\n'
    os.close(read)
    reports.tell({"nobody": "reads"})
    assert not reports.busy
    os.close(write)


async def test_what_is_left_at_the_end_is_written() -> None:
    read, write = os.pipe()
    reports = Reports(write)
    reports.tell({"text": "x" * 100_000})
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(_read_all(read)))
    reading.start()
    reports.close()
    asyncio.get_running_loop().remove_writer(write)
    os.close(write)
    reading.join()
    assert len(got[0]) == len('{"text":""}\n') + 100_000
    os.close(read)


def _read_all(fd: int) -> bytes:
    got = b""
    while piece := os.read(fd, 65536):
        got += piece
    return got
