"""One worker: the parts of the data plane put together, and what an exchange may ask of them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from gateway.analysis.rules import Rules
from gateway.domain.judging import Item
from gateway.domain.observation import Drawn
from gateway.domain.pins import PinRules, View
from gateway.domain.prompt import Version
from gateway.domain.request_id import RANDOM_BYTES as NONCE_BYTES
from gateway.domain.request_id import signed
from gateway.domain.rollout import Rollout
from gateway.errors import ConfigError, GatewayError, MethodNotAllowed, NotFound
from gateway.evals.redaction import Redaction
from gateway.prices import PriceList
from gateway.proxy.aliases import AliasBoard
from gateway.proxy.base import Handler, Head, Link, unforeseen
from gateway.proxy.budget import BodyBudget
from gateway.proxy.choice import Choice
from gateway.proxy.clients import Clients, check_passing
from gateway.proxy.edge import Edge
from gateway.proxy.exchange import Exchange, Refusal
from gateway.proxy.feedback import PATH as FEEDBACK
from gateway.proxy.feedback import Desk, FeedbackRequest
from gateway.proxy.hotkeys import HotKeys
from gateway.proxy.judging import Doubts, Outbox, Said, looks_again, rules_of
from gateway.proxy.managed import Managed
from gateway.proxy.models import ModelList, answer_alias, asked_alias, asks_for_list
from gateway.proxy.named import Named, names_model
from gateway.proxy.pins import PinBoard
from gateway.proxy.places import place_of
from gateway.proxy.recorder import Recorder
from gateway.proxy.router import Router
from gateway.proxy.shadowing import Shadowing
from gateway.proxy.snapshots import Snapshots, Versions
from gateway.proxy.tracing import Tracing
from gateway.settings import Settings
from gateway.storage import local
from gateway.storage.base import Store
from gateway.telemetry.counts import Counts
from gateway.telemetry.delivery import resource
from gateway.telemetry.export import Exporter
from gateway.wire.routes import ROUTES, error_shape
from gateway.wire.selection import split_path

logger = logging.getLogger(__name__)

SWEEP: Final = 1.0  # s
DRAIN_STEP: Final = 0.05  # s
IDLE_GRACE: Final = 1.0  # s
OPEN_AGAIN: Final = 1.0  # s between attempts to open a store that was not there at the start
API: Final = b"/v1/"
MOST_MODELS: Final = 1000
LOOKED_AT: Final = 3600.0  # s in which a flagged answer is looked at again
KEPT: Final = 86_400.0  # s that words are kept where no judge's settings say
DEFAULT_RULES: Final = Rules()
START_PATIENCE: Final = 3.0  # s that a start waits for the store before it serves what is kept on disk


class Worker:
    def __init__(self, settings: Settings, store: Store, *, slot: int, random: Callable[[], float]) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.store = store
        self.slot = slot
        self.clock: Callable[[], float] = loop.time
        self.fine_clock: Callable[[], float] = time.monotonic  # the loop's counts whole milliseconds
        self.started = loop.time()
        self.random = random
        self.keys = tuple(key.encode() for key in settings.signing_keys)
        self._nonce = int.from_bytes(os.urandom(NONCE_BYTES), "big")  # then counted: it only keeps ids apart
        self.budget = BodyBudget(settings.limits.body_budget_bytes)
        self.hot = HotKeys(share=settings.sessions.hot_share, count=settings.sessions.hot_count)
        self.session_headers = tuple(name.lower().encode() for name in settings.sessions.headers)
        self.versions = Versions(store, settings.limits.prompt_cache)
        self.snapshots = Snapshots(store, self.versions, clock=self.clock)
        self.clients = Clients(self.snapshots) if settings.clients == "keys" else None
        self.pins = PinBoard(
            store,
            self,
            PinRules(
                settings.sessions.pin_ttl, settings.sessions.pin_max_age, settings.sessions.protect_running
            ),
            size=settings.sessions.cache,
            patience=settings.sessions.lookup_timeout,
        )
        self.aliases = AliasBoard(
            store, ttl=settings.sessions.pin_ttl, patience=settings.sessions.lookup_timeout
        )
        self.sources = {path: api.session_sources(settings.sessions.sources) for path, api in ROUTES.items()}
        self.places = {upstream.name: place_of(upstream) for upstream in settings.providers}
        self.counts = Counts(settings.limits.counted_versions, settings.limits.counted_models)
        self.prices = PriceList(settings.prices)
        self.recorder = Recorder(
            store,
            writer=f"{slot}-{os.urandom(6).hex()}",
            running=lambda: self.snapshots.measured,
            now=self.store_now,
        )
        self.pins.known = self.recorder.pinned
        self.safety_rules = rules_of(settings)
        self.doubts = Doubts()
        redaction = Redaction(() if settings.judge is None else settings.judge.redact)
        self.outbox = self._judging(store, redaction)
        self.desk = self._desk(redaction)
        self.shadowing = self._shadowing(redaction)
        self.tracing = Tracing(settings, Random(os.urandom(16))) if settings.traces.endpoint else None
        self.exporter: Exporter | None = None
        self.no_usage: set[str] = set()  # models whose provider refuses `stream_options`
        self.sessionless: dict[str, int] = {}  # requests that were assigned one by one, by cause
        self.upstream = Router(settings, clock=self.clock, random=random)
        self.edge = Edge(self.open, settings.limits, settings.timeouts, clock=self.clock, random=random)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping: asyncio.Task[None] | None = None
        self._kept_is_old = False
        self._alarmed = False
        self._override_slip = ""  # what was wrong with the file when it was read last
        self.snapshots.on_change = self._keep_view
        self.snapshots.on_forgotten = self.pins.forget

    # --- what an exchange asks

    def open(self, head: Head, link: Link) -> Handler:
        """The route of a request, as soon as its head is there."""
        try:
            path_prompt, path = split_path(head.path)
            if not path.startswith(API):
                raise NotFound(
                    f"there is nothing at {head.path[:200].decode('latin-1')}; routes begin with /v1/"
                )
            shape = error_shape(path)
            if shape is not None:
                link.speak(shape)
            client = None if self.clients is None else self.clients.admit(head)
            if path == FEEDBACK:
                if head.method != b"POST":
                    raise MethodNotAllowed("feedback is given by POST")
                return FeedbackRequest(self.desk, head, link)
            if path in ROUTES:
                if head.method != b"POST":
                    raise MethodNotAllowed("an answer of a model is asked for by POST")
                managed = Managed(self, head, link, path, path_prompt)
                managed.client = client
                return managed
            check_passing(client)
            self.counts.unmanaged += 1
            if self.upstream.wants_model(path) and names_model(head):
                return Named(self, head, link, path, path_prompt)
            bindings = self.settings.bindings
            exchange: Exchange
            if bindings.list_models and (alias := asked_alias(head, path, bindings.aliases)) is not None:
                answer_alias(head, link, alias)
                return Refusal()
            if bindings.list_models and asks_for_list(head, path):
                exchange = ModelList(self, head, link)
            else:
                exchange = Exchange(self, head, link)
            exchange.forward(path, None if head.length != 0 else (), head.length)
            return exchange
        except GatewayError as error:
            self.counts.refused(error.code)
            link.fail(error)
        except Exception:  # noqa: BLE001  (logged; the client gets an answer)
            self.counts.refused(GatewayError.code)
            link.fail(unforeseen())
        return Refusal()

    def count_sessionless(self, cause: str) -> None:
        self.sessionless[cause] = self.sessionless.get(cause, 0) + 1

    def remember_no_usage(self, model: str) -> None:
        if len(self.no_usage) >= MOST_MODELS:  # clients can make names up
            self.no_usage.clear()
        self.no_usage.add(model)

    def request_id(self, choice: Choice) -> bytes:
        now = self.snapshots.store_time(self.clock())
        session = choice.session or b""
        self._nonce = nonce = (self._nonce + 1) & 0xFFFFFFFF
        random = nonce.to_bytes(NONCE_BYTES, "big")
        return signed(choice.rollout, choice.version, choice.arm, session, now, random, self.keys[0])

    def _shadowing(self, redaction: Redaction) -> Shadowing | None:
        """Copies for shadow stages, where there is a judge for them."""
        settings = self.settings
        if settings.judge is None:
            return None
        shadowing = Shadowing(
            self.store,
            settings.shadow,
            redaction,
            keep=settings.judge.keep_seconds,
            running=lambda: self.snapshots.measured,
            now=self.store_now,
            clock=self.clock,
        )
        self.recorder.shadow = shadowing.take
        return shadowing

    def _judging(self, store: Store, redaction: Redaction) -> Outbox | None:
        judge = self.settings.judge
        if not looks_again(self.settings):
            return None
        keep = KEPT if judge is None else judge.keep_seconds
        outbox = Outbox(store, redaction=redaction, keep=keep, now=self.store_now)
        outbox.lost = lambda item, cause: self.recorder.unscored(item.rollout, item.unit, cause)
        self.recorder.doubt = self._to_triage
        if judge is not None:
            self.recorder.judge = self._to_judge
        return outbox

    def _desk(self, redaction: Redaction) -> Desk:
        max_age = self.settings.feedback.max_age
        desk = Desk(self.store, self.keys, redaction, max_age, self.store_now)
        desk.told = self.recorder.told
        return desk

    def _to_triage(self, rollout: Rollout, unit: Drawn, flags: tuple[str, ...], said: Said) -> None:
        if self.outbox is None or not self.doubts.has(rollout.id, flags, canary=unit.canary):
            return
        version = rollout.candidate if unit.canary else rollout.baseline
        due_at = self.store_now() + LOOKED_AT
        if not self.outbox.offer(Item(rollout.prompt, rollout.id, unit, due_at, *said, flags, version)):
            self.doubts.sent(rollout.id)

    def _to_judge(self, rollout: Rollout, unit: Drawn, said: Said) -> str:
        assert self.outbox is not None
        limit = rollout.rules.get("judge_limit", DEFAULT_RULES.judge_limit)
        due_at = unit.pinned_at + limit
        version = rollout.candidate if unit.canary else rollout.baseline
        return self.outbox.offer(
            Item(rollout.prompt, rollout.id, unit, due_at, *said, flags=(), version=version)
        )

    def view(self, prompt: str) -> View:
        """What is known of a prompt that has a live version, now."""
        deployment = self.snapshots.deployments[prompt]
        now = self.clock()
        assert deployment.live is not None
        return View(
            deployment.live,
            deployment.rollout,
            self.snapshots.store_time(now),
            self.snapshots.staleness(now),
        )

    def store_now(self) -> float:
        return self.snapshots.store_time(self.clock())

    # --- its life

    async def start(self, sock: socket.socket) -> None:
        """Accept connections, once there is a view. Raises `ConfigError` if the store cannot be used."""
        loop = asyncio.get_running_loop()
        self.read_overrides()
        await self._first_view()
        if self.tracing is not None:
            self.exporter = Exporter(self.settings.traces, self.tracing.queue, resource(self.settings.traces))
            self._tasks.append(loop.create_task(self.exporter.run()))
        backlog = self.settings.limits.backlog  # to be said again: listening twice takes the later number
        self._server = await loop.create_server(self.edge.protocol_factory, sock=sock, backlog=backlog)
        self._tasks += [
            loop.create_task(work)
            for work in (self.snapshots.run(), self.pins.run(), self.recorder.run(), self._sweep())
        ]
        if self.outbox is not None:
            self._tasks.append(loop.create_task(self.outbox.run()))
        if self.shadowing is not None:
            self._tasks.append(loop.create_task(self.shadowing.sender.run()))

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what ended one of the loops: a new process is better than half a worker."""
        stopped = asyncio.create_task(stop.wait())
        pending: set[asyncio.Task[Any]] = {stopped, *self._tasks}
        while not stopped.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _first_view(self) -> None:
        """The store's view; if it does not answer, the one kept on disk, which serves baselines only."""
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self.store.open()
                await self.snapshots.poll()
        except ConfigError:
            raise
        except (GatewayError, TimeoutError) as error:
            why = str(error) or f"no answer within {START_PATIENCE:g} s"
            self._restore(why)
            self._tasks.append(asyncio.create_task(self._open_later()))

    def _restore(self, why: str) -> None:
        kept = local.read_snapshot(self._directory)
        if kept is None:
            logger.error("the store is not there (%s), nor is a snapshot on disk: waiting for it", why)
            return
        logger.error("the store is not there (%s); serving baselines from the snapshot on disk", why)
        self.snapshots.restore(kept.deployments, kept.client_keys, time.time() - self.clock())
        self._add(kept.versions)

    def _add(self, versions: Iterable[Version]) -> None:
        """What was kept on disk."""
        for version in versions:
            try:
                self.versions.add(version)
            except GatewayError as error:
                logger.error("%s/%d cannot be used: %s", version.prompt, version.number, error.message)

    async def _open_later(self) -> None:
        while True:
            try:
                await self.store.open()
                return
            except ConfigError as error:
                logger.error("the store cannot be used: %s", error.message)
            except GatewayError:
                pass
            await asyncio.sleep(OPEN_AGAIN)

    def _keep_view(self) -> None:
        """One worker writes the view to disk, for a start without the store; off the loop, newest wins."""
        if self.slot != 0 or (self._keeping is not None and not self._keeping.done()):
            self._kept_is_old = True
            return
        self._kept_is_old = False
        self._keeping = asyncio.create_task(self._write_view())

    async def _write_view(self) -> None:
        """With all versions that are loaded: an override may ask for any of them in an outage."""
        view = self.snapshots
        kept = local.Kept(dict(view.deployments), self.versions.loaded(), dict(view.client_keys))
        try:
            await asyncio.to_thread(local.write_snapshot, self._directory, kept)
        except OSError as error:
            logger.error("the snapshot cannot be kept on disk: %s", error)

    @property
    def _directory(self) -> Path:
        return Path(self.settings.data_directory)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                self.sweep(self.clock())
            except Exception:  # without sweeps there are no time limits
                logger.exception("a sweep failed")

    def sweep(self, now: float) -> None:
        """Enforce every time limit; about once a second."""
        self.edge.sweep(now)
        self.upstream.sweep(now)
        self.budget.sweep(now)
        self.read_overrides()
        if self._kept_is_old:
            self._keep_view()
        if self.store.regressed and not self._alarmed:
            self._alarmed = True
            logger.critical("the store has lost commits that it had acknowledged (a failover?)")
            self.snapshots.reread()

    def read_overrides(self) -> None:
        """What cannot be understood changes nothing, and is said once."""
        overrides: Mapping[str, int]
        try:
            overrides, slip = local.read_overrides(self._directory), ""
        except ConfigError as error:
            overrides, slip = self.snapshots.overrides, error.message
        if slip and slip != self._override_slip:
            logger.error("overrides are left as they were: %s", slip)
        if overrides != self.snapshots.overrides:
            logger.warning("overrides on this machine are now %s", dict(overrides) or "none")
            self._add(local.read_override_versions(self._directory))
        self.snapshots.overrides, self._override_slip = overrides, slip

    async def drain(self, limit: float, hurry: asyncio.Event | None = None) -> None:
        """Stop accepting, finish what is in flight; after `limit` s or at `hurry` cut it.

        An idle connection may bring a last request, which its client is perhaps sending now, for `IDLE_GRACE`
        (RFC 9112, section 9.5)."""
        if self._server is not None:
            self._server.close()
        self.edge.draining = True
        started = self.clock()
        while not (hurry is not None and hurry.is_set()):
            waited = self.clock() - started
            if waited > limit:
                logger.warning("%d connections are cut after %g s", len(self.edge.connections), limit)
                break
            if waited > IDLE_GRACE:
                self.edge.drain()
            await asyncio.sleep(DRAIN_STEP)  # even if there are none: one just accepted is not among them yet
            if not self.edge.connections:
                break
        self.edge.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.upstream.close()
        await self.pins.close()
        await self.aliases.close()
        await self.desk.close()
        await self.recorder.close()
        if self.outbox is not None:
            await self.outbox.close()
        if self.shadowing is not None:
            await self.shadowing.sender.close()
        if self.exporter is not None:
            await self.exporter.close()
        await self.store.close()


def build_worker(settings: Settings, store: Store, *, slot: int, random: Callable[[], float]) -> Worker:
    return Worker(settings, store, slot=slot, random=random)
