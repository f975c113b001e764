"""`doctor`: what a gateway needs on this machine, looked at one after the other, and what to do.

ok      as it should be
note    worth knowing
fail    does not work like this; the exit code is 1
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
import typer
from rich.console import RenderableType

from gateway.cli.output import table
from gateway.cli.session import (
    DEFAULT_CONFIG,
    REFUSED,
    ConfigOption,
    JsonOption,
    exit_on_error,
    print_value,
)
from gateway.control.access import Access
from gateway.control.registry import Registry
from gateway.errors import ConfigError, GatewayError
from gateway.settings import Settings, Upstream
from gateway.storage import keys, local
from gateway.storage.base import Store
from gateway.storage.create import store_of
from gateway.supervisor import read_settings

CLOCK_NOTE, CLOCK_FAIL = 1.0, 30.0  # s between this machine's clock and the store's
SLOW = 0.05  # s; workers give a look-up about as long
PATIENCE = 5.0  # s for an upstream to accept a connection

State = Literal["ok", "note", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """`do` is what would change it, "" where nothing need be."""

    about: str
    state: State
    says: str
    do: str = ""


class Address(NamedTuple):
    what: str
    host: str
    port: int


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: prompt-canary doctor --config config/gateway.yaml")(doctor)


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look at configuration, keys, ports, store, clock, access and upstreams; say what to do. Exit code 1 if
    something does not work."""
    with exit_on_error(as_json):
        settings = read_settings(config)
        findings = asyncio.run(examine(settings))
        print_value(findings, page, as_json)
        if any(finding.state == "fail" for finding in findings):
            raise typer.Exit(REFUSED)


def page(findings: Sequence[Finding]) -> RenderableType:
    return table(
        ("", "", "", "what to do"), [(each.state, each.about, each.says, each.do) for each in findings]
    )


async def examine(settings: Settings) -> list[Finding]:
    findings = [Finding("configuration", "ok", f"{settings.workers} workers"), *of_files(settings)]
    findings += [of_port(address) for address in addresses(settings)]
    findings += [finding async for finding in of_store(settings)]
    for upstream in settings.providers:
        found = await of_upstream(upstream)
        if found.state == "fail" and is_simulated(upstream, settings):
            found = Finding(found.about, "ok", "the simulated provider, which starts with the gateway")
        findings.append(found)
    return findings


def is_simulated(upstream: Upstream, settings: Settings) -> bool:
    simulator, parts = settings.simulator, urlsplit(upstream.base_url)
    return simulator is not None and (parts.hostname, parts.port) == (simulator.host, simulator.port)


def addresses(settings: Settings) -> list[Address]:
    found = [
        Address("port", settings.listen.host, settings.listen.port),
        Address("admin port", settings.admin.host, settings.admin.port),
    ]
    if settings.simulator is not None:
        found.append(Address("simulator port", settings.simulator.host, settings.simulator.port))
    return found


def of_files(settings: Settings) -> list[Finding]:
    directory = Path(settings.data_directory)
    try:
        local.check_directory(directory)
        overrides = local.read_overrides(directory)
    except ConfigError as error:
        return [Finding("data directory", "fail", error.message, "make it writable, or set data_directory")]
    findings = [Finding("data directory", "ok", f"{directory} can be written")]
    if overrides:
        listed = ", ".join(f"{prompt}={version}" for prompt, version in sorted(overrides.items()))
        clear = "prompt-canary override --clear PROMPT, once the store is to decide again"
        findings.append(Finding("overrides", "note", f"this machine serves {listed}", clear))
    return [*findings, of_signing_keys(settings, directory / local.SIGNING_KEY)]


def of_signing_keys(settings: Settings, path: Path) -> Finding:
    if settings.signing_keys:
        return Finding("signing keys", "ok", f"{len(settings.signing_keys)} in the configuration")
    if not path.exists():
        return Finding("signing keys", "ok", "one is made at the first start")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding(
            "signing keys", "note", f"{path} has mode {mode:o}: others can read it", f"chmod 600 {path}"
        )
    return Finding("signing keys", "ok", f"{path}")


def of_port(address: Address) -> Finding:
    """Whether it can be taken, as `serve` would."""
    what, host, port = address
    if port == 0:
        return Finding(what, "ok", "a free one is taken")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            says = f"{host}:{port}: {error.strerror}"
            return Finding(what, "note", says, "nothing, if the gateway runs; else choose another")
    return Finding(what, "ok", f"{host}:{port} is free")


async def of_store(settings: Settings) -> AsyncIterator[Finding]:
    kind = settings.store.kind
    store = store_of(settings, patient=True)
    try:
        await store.open()
    except GatewayError as error:
        yield Finding("store", "fail", f"{kind}: {error.message}", "see `store` in the configuration")
        return
    try:
        started = time.monotonic()
        tick = await store.tick()
        took = time.monotonic() - started
        slow = "workers give a look-up sessions.lookup_timeout" if took > SLOW else ""
        says = f"{kind} answers in {took * 1000:.0f} ms, revision {tick.revision}"
        yield Finding("store", "note" if slow else "ok", says, slow)
        yield of_clock(tick.now - time.time())
        yield await of_access(settings, store)
        yield await of_prompts(store)
        if settings.alerts.targets:
            yield await of_alerts(settings, store)
    except GatewayError as error:
        yield Finding("store", "fail", f"{kind}: {error.message}", "see `store` in the configuration")
    finally:
        await store.close()


def of_clock(ahead: float) -> Finding:
    says = f"{abs(ahead):.1f} s from the store's"
    if abs(ahead) < CLOCK_NOTE:
        return Finding("clock", "ok", "as the store's")
    state: State = "fail" if abs(ahead) >= CLOCK_FAIL else "note"
    return Finding("clock", state, says, "run an NTP client on every machine")


async def of_access(settings: Settings, store: Store) -> Finding:
    is_open = await Access(store, settings.admin.bootstrap_token).is_open()
    if not is_open:
        return Finding("admin API", "ok", "asks for a token")
    make = "prompt-canary token create NAME --role admin"
    if settings.admin.is_loopback:
        return Finding("admin API", "note", "no tokens: it answers everybody on this machine", make)
    return Finding("admin API", "fail", f"no tokens, and admin.host is {settings.admin.host}", make)


async def of_prompts(store: Store) -> Finding:
    deployments = await Registry(store).deployments()
    live = [deployment for deployment in deployments if deployment.live is not None]
    running = [deployment for deployment in deployments if deployment.rollout is not None]
    says = f"{len(live)} of {len(deployments)} are live, {len(running)} rollouts run"
    if not live:
        return Finding("prompts", "note", says, "prompt-canary push PATH, then deploy PROMPT VERSION")
    return Finding("prompts", "ok", says)


async def of_alerts(settings: Settings, store: Store) -> Finding:
    waiting, claimed, dead = await store.depth(keys.ALERTS)
    says = f"{len(settings.alerts.targets)} targets, {waiting + claimed} on their way, {dead} given up"
    return Finding("alerts", "note" if dead else "ok", says, "prompt-canary alerts list" if dead else "")


async def of_upstream(upstream: Upstream) -> Finding:
    """Whether a connection, with TLS where it has one, can be opened; no request is sent."""
    about, parts = f"upstream {upstream.name}", urlsplit(upstream.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        context = None
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=upstream.ca_file)
            if not upstream.verify_tls:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    except TimeoutError:
        return Finding(about, "fail", f"{parts.netloc} does not answer", "look at firewalls and proxies")
    except OSError as error:
        why = error.strerror or str(error)
        return Finding(about, "fail", f"{parts.netloc}: {why}", "look at base_url, the network and ca_file")
    return Finding(about, "ok", f"{parts.netloc} accepts connections")
