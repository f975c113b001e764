"""A burst of connections waits for a busy worker."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from tests.support.backlog import backlog_of
from tests.support.scripted_provider import on_uvloop
from tests.support.worker import worker_stage


@on_uvloop
async def test_the_worker_lets_as_many_wait_as_it_may(tmp_path: Path) -> None:
    async with worker_stage(tmp_path, limits={"backlog": 300}) as stage:
        server: Any = stage.worker._server
        with socket.socket(fileno=os.dup(server.sockets[0].fileno())) as listener:
            assert backlog_of(listener) == 300
