"""The supervisor: owns the listening sockets and the child processes, and nothing else.

It binds one SO_REUSEPORT socket for each worker slot and hands it down, so that a restarted worker inherits
its predecessor's accept queue (closing a listener resets the connections waiting in it). It first takes the
port once without SO_REUSEPORT, so that a second gateway on the same port fails instead of sharing it.

    SIGTERM, SIGINT   readiness off, listeners closed, streams finish, exit; a second one cuts it short
    SIGHUP            re-read the configuration; if it is valid and its processes become ready, they succeed
                      the old ones on the same sockets, and those drain; else nothing changes
    SIGHUP because    the terminal it was started in is gone: as SIGTERM, so that nothing is left behind
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gateway.child import Child
from gateway.errors import ConfigError
from gateway.settings import Settings, load_settings
from gateway.storage import local
from gateway.telemetry.logs import configure
from gateway.telemetry.metrics import Sample
from gateway.telemetry.tally import Tally, together

logger = logging.getLogger(__name__)

Role = Literal["all", "worker", "control", "judge"]
ROLES: dict[Role, tuple[str, ...]] = {
    "all": ("worker", "services", "controller", "judge", "simulator"),
    "worker": ("worker", "health"),
    "control": ("services", "controller", "judge", "simulator"),
    "judge": ("judge",),
}
SILENT = ("controller", "judge")  # nobody connects to them: one process each, no socket
TELLS = ("services", "health")  # they answer /readyz, so they hear how the others are
STAYS = ("simulator",)  # as a real provider would while the gateway changes its configuration
SUCCESSION_LIMIT = 30.0  # s until the processes of a new configuration are ready


class Supervisor:
    def __init__(self, settings: Settings, config_path: Path, role: Role) -> None:
        self._settings = settings
        self._config_path = config_path
        self._role: Role = role
        self._sockets: dict[str, list[socket.socket]] = {}
        self._children: list[Child] = []  # who serves
        self._coming: list[Child] = []  # their successors, not all ready yet
        self._running: dict[Child, asyncio.Task[None]] = {}  # these and predecessors that still drain
        self._tally = Tally(settings.limits.counted_versions, settings.limits.counted_models)
        self._since = time.time_ns()
        self._news = asyncio.Event()
        self._stopping = False
        self._reload = False
        self._announced = False
        self._in_terminal = False

    async def run(self) -> None:
        """Until SIGTERM or SIGINT and everything has drained. Raises `ConfigError`."""
        self._settings = prepare(self._settings)
        if self._role == "judge" and not has_judge(self._settings):
            raise ConfigError("the configuration has no section judge or evals, so there is nothing to serve")
        self._sockets = bind_all(self._settings, ROLES[self._role])
        self._listen_to_signals()
        async with asyncio.TaskGroup() as tasks:
            self._children = self._spawn(tasks, self._settings, self._roles(self._settings))
            while await self._until(lambda: self._reload or bool(_refusals(self._children))):
                if _refusals(self._children):
                    break
                self._reload = False
                await self._succeed(tasks)
            await self._shut_down()
        for refusal in _refusals(self._children):
            raise ConfigError(refusal)

    def _spawn(self, tasks: asyncio.TaskGroup, settings: Settings, roles: Iterable[str]) -> list[Child]:
        children = []
        for role in roles:
            sockets: list[socket.socket] | list[None] = [None] if role in SILENT else self._sockets[role]
            for slot, sock in enumerate(sockets):
                child = Child(role, slot, sock, settings, self._changed)
                child.counted, child.asked = self._tally.add, self._tell_metrics
                self._running[child] = tasks.create_task(child.run())
                self._running[child].add_done_callback(partial(self._ended, child))
                children.append(child)
        return children

    def _roles(self, settings: Settings) -> list[str]:
        """Those that a configuration has."""
        there = {*self._sockets, *(role for role in SILENT if role != "judge" or has_judge(settings))}
        return [role for role in ROLES[self._role] if role in there]

    def _ended(self, child: Child, task: asyncio.Task[None]) -> None:
        del self._running[child]

    async def _until(self, check: Callable[[], bool]) -> bool:
        """Wait for `check`; False once the gateway is to stop."""
        while not self._stopping and not check():
            self._news.clear()
            await self._news.wait()
        return not self._stopping

    # --- signals

    def _listen_to_signals(self) -> None:
        self._in_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and has_terminal()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def _told_to_stop(self) -> None:
        if self._stopping:
            logger.warning("told to stop again: what is in flight is cut")
            for child in self._running:
                child.hurry()
        self._stopping = True
        self._news.set()

    def _hung_up(self) -> None:
        if self._in_terminal and not has_terminal():
            self._stopping = True
        self._reload = True
        self._news.set()

    # --- what /readyz knows

    def _changed(self) -> None:
        children = {child.name: _status(child) for child in self._children if child.role not in TELLS}
        seeded = any(child.been_ready for child in self._children if child.role in TELLS)
        for child in (*self._children, *self._coming):
            if child.role in TELLS:
                child.tell({"children": children, "seeded": seeded, "stopping": self._stopping})
        if (
            not (self._announced or self._stopping)
            and self._children
            and all(child.ready for child in self._children)
        ):
            self._announced = True
            for line in welcome(self._settings, self._sockets):
                print(line, flush=True)
        self._news.set()

    # --- what /metrics knows

    def _tell_metrics(self, child: Child) -> None:
        """Counts since this supervisor began, and how its processes stand, those that drain too."""
        processes: list[Sample] = [
            ("processes", (each.role, str(each.ready).lower()), (1,)) for each in self._running
        ]
        gauges = [sample for each in self._running for sample in each.gauges]
        child.tell({"metrics": [*self._tally, *together(gauges + processes)], "since": self._since})

    # --- a new configuration

    async def _succeed(self, tasks: asyncio.TaskGroup) -> None:
        """Successors on the same sockets, then the old ones drain. All of it or nothing."""
        try:
            settings = prepare(read_settings(self._config_path))
            check_fixed(self._settings, settings)
        except ConfigError as error:
            _not_taken("; ".join(error.message.splitlines()))
            return
        replaced = [role for role in self._roles(settings) if role not in STAYS]
        coming = self._coming = self._spawn(tasks, settings, replaced)
        try:
            async with asyncio.timeout(SUCCESSION_LIMIT):
                ready = await self._until(lambda: _all_ready(coming) or any(c.failed for c in coming))
        except TimeoutError:
            ready = True
        if not ready:
            return  # the shutdown ends them
        self._coming = []
        if not _all_ready(coming):
            _not_taken(_why_not(coming))
            _stop(coming)
            return
        old = [child for child in self._children if child.role not in STAYS]
        self._settings = settings
        self._tally.size = settings.limits.counted_versions
        self._tally.models = settings.limits.counted_models
        self._children = coming + [child for child in self._children if child.role in STAYS]
        self._changed()
        logger.info("the configuration was re-read; the processes before it drain")
        _stop(old)

    # --- the end

    async def _shut_down(self) -> None:
        """Workers first: admin and simulator answer until the last stream has ended."""
        self._stopping = True
        self._changed()
        for sock in self._sockets.get("worker", ()):
            sock.close()
        for first in (True, False):
            ending = [child for child in self._running if (child.role == "worker") is first]
            _stop(ending)
            await asyncio.gather(*(self._running[child] for child in ending))


def has_judge(settings: Settings) -> bool:
    """Whether there is work for the judge's process."""
    return settings.judge is not None or settings.evals is not None or settings.safety.moderation is not None


def _status(child: Child) -> dict[str, Any]:
    status: dict[str, Any] = {"ready": child.ready, "restarts": child.restarts, "pid": child.pid}
    return status | ({"upstreams": child.upstreams} if child.role == "worker" else {})


def _all_ready(children: Iterable[Child]) -> bool:
    return all(child.ready for child in children)


def _stop(children: Iterable[Child]) -> None:
    for child in children:
        child.stop()


def _refusals(children: Iterable[Child]) -> list[str]:
    return [child.refusal for child in children if child.refusal is not None]


def _why_not(children: Iterable[Child]) -> str:
    refusals = _refusals(children)
    if refusals:
        return refusals[0]
    names = ", ".join(child.name for child in children if not child.ready)
    return f"{names} could not start with it; the log before this line says why"


def _not_taken(why: str) -> None:
    logger.error("the new configuration is not taken over, nothing changes: %s", why)


def has_terminal() -> bool:
    """Whether the process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


# --- sockets


def bind_all(settings: Settings, roles: Iterable[str]) -> dict[str, list[socket.socket]]:
    """By role, one socket for each process; roles that this configuration does not have are left out.
    Raises `ConfigError`."""
    places: dict[str, tuple[str, int, int]] = {
        "worker": (settings.listen.host, settings.listen.port, settings.workers),
        "services": (settings.admin.host, settings.admin.port, 1),
        "health": (settings.admin.host, settings.admin.port, 1),
    }
    if settings.simulator is not None:
        places["simulator"] = (settings.simulator.host, settings.simulator.port, 1)
    return {role: bind(*places[role], role, settings.limits.backlog) for role in roles if role in places}


def bind(host: str, port: int, slots: int, what: str, backlog: int) -> list[socket.socket]:
    """One listening socket for each slot, all on one port. Raises `ConfigError`, as when it is taken."""
    sockets: list[socket.socket] = []
    try:
        with _socket(host) as probe:
            probe.bind((host, port))
            port = probe.getsockname()[1]
        for _ in range(slots):
            sock = _socket(host)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, port))
            sock.listen(backlog)
            sock.setblocking(False)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise ConfigError(f"{what}: cannot listen on {host}:{port}: {error.strerror}") from error
    return sockets


def _socket(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def welcome(settings: Settings, sockets: dict[str, list[socket.socket]]) -> list[str]:
    """Where it listens, and one line to try that works as it stands."""
    lines = []
    if "worker" in sockets:
        lines.append(f"gateway    http://{_address(sockets['worker'][0])}/v1  ({settings.workers} workers)")
    if "services" in sockets:
        lines.append(f"admin      http://{_address(sockets['services'][0])}")
    if "health" in sockets:
        lines.append(f"health     http://{_address(sockets['health'][0])}/readyz")
    lines += [f"upstream   {upstream.base_url}" for upstream in settings.providers]
    if "worker" in sockets:
        body = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}'
        url = f"http://{_address(sockets['worker'][0])}/v1/chat/completions"
        lines += ["", "try it:", f"  curl -i {url} -H 'content-type: application/json' -d '{body}'"]
    return lines


# --- settings


def read_settings(path: Path) -> Settings:
    """Read a configuration file with the process's environment. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {why}") from error
    return load_settings(text, source=str(path), environment=os.environ)


def prepare(settings: Settings) -> Settings:
    """With a usable data directory and a signing key: the configured ones, or this machine's own.
    Raises `ConfigError`."""
    directory = Path(settings.data_directory)
    local.check_directory(directory)
    if settings.signing_keys:
        return settings
    return settings.model_copy(update={"signing_keys": (local.signing_key(directory),)})


def check_fixed(before: Settings, after: Settings) -> None:
    """Raises `ConfigError` for what the sockets and the simulated provider hold on to."""
    fixed = ("listen", "admin", "workers", "simulator")
    changed = [name for name in fixed if getattr(before, name) != getattr(after, name)]
    if changed:
        raise ConfigError(f"{', '.join(changed)}: changes only with a restart")


def run(settings: Settings, config_path: Path, role: Role = "all") -> None:
    """`prompt-canary serve`: blocks until SIGTERM or SIGINT and everything has drained."""
    configure(settings.logs)
    take_descriptors(settings.limits.connections)
    asyncio.run(Supervisor(settings, config_path, role).run())


def take_descriptors(connections: int) -> None:
    """Raise the soft limit on open files, often 1024, to the hard one, for this process and its children:
    each client connection may need another to a provider. Says so where even that is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard not in (resource.RLIM_INFINITY, -1) and hard < connections:
        logger.warning(
            "a process may open %d files, and limits.connections is %d: raise the system's limit "
            "(ulimit -Hn, LimitNOFILE) or lower limits.connections",
            hard,
            connections,
        )
