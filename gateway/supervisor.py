"""The supervisor: owns the listening sockets and the child processes, and nothing else.

It binds one SO_REUSEPORT socket for each worker slot and hands it down, so that a restarted worker inherits
its predecessor's accept queue (closing a listener resets the connections waiting in it). It first takes the
port once without SO_REUSEPORT, so that a second gateway on the same port fails instead of sharing it.

A child reads its settings from the first line of its standard input and takes the end of that stream for
the death of the supervisor. It reports on a pipe: one JSON line when it is ready.

Signals: SIGTERM and SIGINT drain (stop accepting, finish what is in flight, exit); SIGHUP re-reads the
configuration and, if it is valid, replaces every child on the same sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Literal

import orjson

from gateway.errors import ConfigError
from gateway.settings import Settings, load_settings
from gateway.storage.local import signing_key

logger = logging.getLogger(__name__)

Role = Literal["all", "worker", "control"]
BACKLOG = 2048
RESTART_FIRST, RESTART_MOST = 0.2, 10.0  # s, doubling
STABLE_AFTER = 30.0  # s of life after which the backoff starts anew
KILL_GRACE = 5.0  # s beyond the drain limit
CONFIG_EXIT = 2  # a child's exit code for a configuration that cannot work


def bind(host: str, port: int, slots: int) -> list[socket.socket]:
    """One listening socket for each slot, all on one port. Raises `ConfigError` if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        port = probe.getsockname()[1]
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; is it in use?") from error
    finally:
        probe.close()
    sockets = []
    for _ in range(slots):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


class Child:
    """One process of a slot, restarted with backoff when it dies unasked."""

    def __init__(self, role: str, slot: int, sock: socket.socket | None, changed: Callable[[], None]) -> None:
        self.name = f"{role}-{slot}" if role == "worker" else role
        self.role = role
        self.slot = slot
        self.sock = sock
        self.ready = asyncio.Event()
        self.restarts = 0
        self.been_ready = False
        self.refused = False  # its configuration cannot work
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def run(self, settings: Settings) -> None:
        """Keep the process alive until `stop`."""
        loop = asyncio.get_running_loop()
        backoff = RESTART_FIRST
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run_once(settings)
            if self._stopping.is_set():
                return
            if loop.time() - started > STABLE_AFTER:
                backoff = RESTART_FIRST
            if code == CONFIG_EXIT and not self.been_ready:
                self.refused = True
                self._changed()
                return
            self.restarts += 1
            logger.error("%s ended with code %s; starting it again in %.1f s", self.name, code, backoff)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
            backoff = min(2 * backoff, RESTART_MOST)

    async def _run_once(self, settings: Settings) -> int:
        read_end, write_end = os.pipe()
        inherited = [write_end] + ([self.sock.fileno()] if self.sock is not None else [])
        listener = self.sock.fileno() if self.sock is not None else -1
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.app", self.role, str(self.slot), str(listener), str(write_end)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=inherited,
            start_new_session=True,
        )
        os.close(write_end)
        self._process = process
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(settings_line(settings))
            await process.stdin.drain()
        reports = asyncio.ensure_future(self._read_reports(read_end))
        code = await process.wait()
        await reports
        self.ready.clear()
        self._changed()
        return code

    async def _read_reports(self, read_end: int) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(read_end, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        async for line in reader:
            if orjson.loads(line).get("ready"):
                self.been_ready = True
                self.ready.set()
                self._changed()
        transport.close()

    def tell(self, message: object) -> None:
        """One JSON line on the child's standard input."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            process.stdin.write(orjson.dumps(message) + b"\n")

    async def stop(self, grace: float) -> None:
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            logger.error("%s did not end within %.0f s and is killed", self.name, grace)
            process.kill()
            await process.wait()


def settings_line(settings: Settings) -> bytes:
    return settings.model_dump_json().encode() + b"\n"


class Supervisor:
    def __init__(self, settings: Settings, config_path: Path, role: Role) -> None:
        self._settings = settings
        self._config_path = config_path
        self._role: Role = role
        self._children: list[Child] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._stop = asyncio.Event()
        self._failed = False
        self._reload = asyncio.Event()

    async def run(self) -> None:
        self._settings = ensure_signing_key(self._settings)
        self._bind()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        self._children = self._spawn(self._settings)
        await self._serve()
        await self._shut_down()
        if self._failed:
            raise ConfigError("a process could not start with this configuration; it says why above")

    async def _serve(self) -> None:
        announced = asyncio.create_task(self._announce())
        stop = asyncio.create_task(self._stop.wait())
        while not stop.done():
            reload = asyncio.create_task(self._reload.wait())
            await asyncio.wait((stop, reload), return_when=asyncio.FIRST_COMPLETED)
            reload.cancel()
            if self._reload.is_set() and not stop.done():
                self._reload.clear()
                await self._replace()
        announced.cancel()

    def _bind(self) -> None:
        settings = self._settings
        if self._role != "control":
            listen = settings.listen
            self._sockets["worker"] = bind(listen.host, listen.port, settings.workers)
        if self._role != "worker":
            self._sockets["services"] = bind(settings.admin.host, settings.admin.port, 1)
            if settings.simulator is not None:
                simulator = settings.simulator
                self._sockets["simulator"] = bind(simulator.host, simulator.port, 1)

    def _spawn(self, settings: Settings) -> list[Child]:
        children = []
        for role, sockets in self._sockets.items():
            for slot, sock in enumerate(sockets):
                child = Child(role, slot, sock, self._status_changed)
                self._watch(child.run(settings))
                children.append(child)
        return children

    def _watch(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _status_changed(self) -> None:
        """The services process answers /readyz, so it hears how the others are."""
        if any(child.refused for child in self._children):
            self._failed = True
            self._stop.set()
        children = {
            child.name: {"ready": child.ready.is_set(), "restarts": child.restarts, "pid": child.pid}
            for child in self._children
            if child.role != "services"
        }
        for child in self._children:
            if child.role == "services":
                child.tell({"children": children, "stopping": self._stop.is_set()})

    async def _announce(self) -> None:
        await asyncio.gather(*(child.ready.wait() for child in self._children))
        for line in welcome(self._settings, self._sockets):
            print(line, flush=True)

    async def _replace(self) -> None:
        """SIGHUP: new children on the same sockets, then the old ones drain."""
        try:
            settings = read_settings(self._config_path)
        except ConfigError as error:
            logger.error("the configuration is not taken over: %s", error.message)
            return
        if (settings.listen, settings.admin, settings.workers, settings.simulator) != (
            *(self._settings.listen, self._settings.admin, self._settings.workers),
            self._settings.simulator,
        ):
            logger.error("addresses and the number of workers change only with a restart; not taken over")
            return
        old, self._settings = self._children, ensure_signing_key(settings)
        self._children = self._spawn(self._settings)
        await asyncio.gather(*(child.ready.wait() for child in self._children))
        logger.info("the configuration was re-read")
        for child in old:
            self._watch(child.stop(self._settings.timeouts.drain + KILL_GRACE))

    async def _shut_down(self) -> None:
        """Workers first: admin and simulator answer until the last stream has ended."""
        grace = self._settings.timeouts.drain + KILL_GRACE
        self._status_changed()
        for sock in self._sockets.get("worker", ()):
            sock.close()
        await _stop_all([child for child in self._children if child.role == "worker"], grace)
        await _stop_all([child for child in self._children if child.role != "worker"], KILL_GRACE)
        await asyncio.gather(*self._tasks)


async def _stop_all(children: Sequence[Child], grace: float) -> None:
    await asyncio.gather(*(child.stop(grace) for child in children))


def welcome(settings: Settings, sockets: dict[str, list[socket.socket]]) -> list[str]:
    """Where it listens, and one line to try that works as it stands."""
    lines = []
    if "worker" in sockets:
        host, port = sockets["worker"][0].getsockname()[:2]
        lines.append(f"gateway    http://{host}:{port}/v1  ({settings.workers} workers)")
    if "services" in sockets:
        host, port = sockets["services"][0].getsockname()[:2]
        lines.append(f"admin      http://{host}:{port}")
    lines.append(f"upstream   {settings.upstream.base_url}")
    if "worker" in sockets:
        host, port = sockets["worker"][0].getsockname()[:2]
        body = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}'
        lines += [
            "",
            "try it:",
            f"  curl -i http://{host}:{port}/v1/chat/completions -H 'content-type: application/json' "
            f"-d '{body}'",
        ]
    return lines


def ensure_signing_key(settings: Settings) -> Settings:
    """Settings with a key: the configured ones, or this machine's own."""
    if settings.signing_keys:
        return settings
    return settings.model_copy(update={"signing_keys": (signing_key(Path(settings.data_directory)),)})


def read_settings(path: Path) -> Settings:
    """Read a configuration file with the process's environment. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return load_settings(text, source=str(path), environment=os.environ)


def run(settings: Settings, config_path: Path, role: Role = "all") -> None:
    """`prompt-canary serve`: blocks until SIGTERM or SIGINT and everything has drained."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(Supervisor(settings, config_path, role).run())
