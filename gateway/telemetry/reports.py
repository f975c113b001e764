"""JSON lines from a process to its supervisor through a pipe that is never waited for: a supervisor that is
stopped or busy must not stop a worker."""

from __future__ import annotations

import asyncio
import contextlib
import os

import orjson


class Reports:
    """`fd`: the writing end of a pipe. To be used in a running loop."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._left = b""
        self._waiting = False

    @property
    def busy(self) -> bool:
        """What was told before is still on its way: what can wait should."""
        return bool(self._left)

    def tell(self, message: object) -> None:
        self._left += orjson.dumps(message) + b"\n"
        self._push()

    def close(self) -> None:
        """Wait for what is left: the process ends."""
        with contextlib.suppress(OSError):
            os.set_blocking(self._fd, True)
            while self._left:
                self._left = self._left[os.write(self._fd, self._left) :]

    def _push(self) -> None:
        try:
            while self._left:
                self._left = self._left[os.write(self._fd, self._left) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # the supervisor is gone, as the lifeline will tell
            self._left = b""
        if bool(self._left) != self._waiting:
            self._waiting = bool(self._left)
            loop = asyncio.get_running_loop()
            if self._waiting:
                loop.add_writer(self._fd, self._push)
            else:
                loop.remove_writer(self._fd)
