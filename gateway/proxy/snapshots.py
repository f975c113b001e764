"""A worker's view of the deployments: immutable values, replaced as the change feed tells.

Every 250 ms the worker asks the store for its revision and clock, and reads the feed only when the
revision moved; a poll misses nothing, which a subscription whose connection dies would. While the store
is down the last view serves on; `staleness` says for how long nobody has confirmed it. Versions never
change, so their compiled form is kept in a bounded cache and loaded at first use, live and candidate at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gateway.domain.client_key import ClientKey
from gateway.domain.forgetting import Forgotten
from gateway.domain.prompt import Version
from gateway.domain.rollout import Deployment, Rollout
from gateway.errors import GatewayError
from gateway.evals.detect import Probes, probes_of
from gateway.promptfiles.compiled import CompiledPrompt, compile_prompt
from gateway.proxy.base import unforeseen
from gateway.storage import codec, keys
from gateway.storage.base import Document, Documents
from gateway.wire.api import Api, Recipe

logger = logging.getLogger(__name__)

POLL_INTERVAL: Final = 0.25  # s
FOLLOWED = (keys.DEPLOYMENTS, keys.CLIENT_KEYS, keys.FORGOTTEN)
PAGE: Final = 1000  # documents of one read of the feed; decoding them holds the loop for some milliseconds

Loaded = Callable[["Prepared | GatewayError | None"], None]


class Form(NamedTuple):
    """A version in one API's shape; `own` are its messages where they need no variables of a request."""

    recipe: Recipe
    own: Any | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A version as a worker uses it; `forms` by the API's path, made at first use. `probes`: by which its own
    instructions are known again."""

    version: Version
    compiled: CompiledPrompt
    probes: Probes
    forms: dict[bytes, Form] = field(default_factory=dict)

    def form(self, api: Api[Any]) -> Form:
        """Raises `InvalidValue` for what the API cannot be given."""
        form = self.forms.get(api.PATH)
        if form is None:
            static = self.compiled.static_messages
            own = None if static is None else api.encode_messages(static)
            form = self.forms[api.PATH] = Form(api.recipe(self.version.content, self.version.prompt), own)
        return form


def prepare(version: Version) -> Prepared:
    return Prepared(version, compile_prompt(version.content), probes_of(version.content))


class Versions:
    """A bounded cache of prepared versions, least recently used first out; each is loaded once at a time."""

    def __init__(self, store: Documents, size: int) -> None:
        self._store = store
        self._size = size
        self._prepared: OrderedDict[tuple[str, int], Prepared] = OrderedDict()
        self._waiting: dict[tuple[str, int], list[Loaded]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, prompt: str, number: int) -> Prepared | None:
        key = (prompt, number)
        prepared = self._prepared.get(key)
        if prepared is not None:
            self._prepared.move_to_end(key)
        return prepared

    def loaded(self) -> list[Version]:
        return [prepared.version for prepared in self._prepared.values()]

    def add(self, version: Version) -> Prepared:
        """Raises `PromptError` if it cannot be compiled."""
        prepared = prepare(version)
        self._prepared[(version.prompt, version.number)] = prepared
        if len(self._prepared) > self._size:
            self._prepared.popitem(last=False)
        return prepared

    def load(self, prompt: str, number: int, loaded: Loaded) -> None:
        """Call `loaded` later with the version, None where there is none, or the error."""
        key = (prompt, number)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(loaded)
            return
        self._waiting[key] = [loaded]
        task = asyncio.get_running_loop().create_task(self._load(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def fetch(self, prompt: str, number: int) -> Prepared | None:
        document = await self._store.get(keys.version(prompt, number))
        if document is None:
            return None
        return self.add(codec.decode(document.value, Version, key=document.key))

    async def _load(self, key: tuple[str, int]) -> None:
        result: Prepared | GatewayError | None
        try:
            result = await self.fetch(*key)
        except GatewayError as error:
            result = error
        except Exception:  # noqa: BLE001  (logged; nobody may wait for ever)
            result = unforeseen()
        for loaded in self._waiting.pop(key):
            loaded(result)

    @property
    def room(self) -> bool:
        return len(self._prepared) < self._size


class Snapshots:
    """`deployments` by prompt; `overrides` win over them (see `proxy.local`); `measured` are the running
    rollouts under a policy, by id."""

    def __init__(self, store: Documents, versions: Versions, *, clock: Callable[[], float]) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.overrides: Mapping[str, int] = {}
        self.measured: dict[str, Rollout] = {}
        self.client_keys: dict[str, ClientKey] = {}  # by id, revoked ones too
        self.versions = versions
        self.complete = False  # every deployment has been read at least once
        self.on_change: Callable[[], None] = lambda: None
        self.on_forgotten: Callable[[Forgotten], None] = lambda told: None
        self._store = store
        self._clock = clock
        self._revision = 0
        self._offset = 0.0  # store time minus loop time
        self._confirmed = float("-inf")

    def store_time(self, loop_time: float) -> float:
        return loop_time + self._offset

    def staleness(self, loop_time: float) -> float:
        """Seconds since the store last confirmed this view; infinite if it never did."""
        return loop_time - self._confirmed

    def restore(
        self, deployments: Mapping[str, Deployment], client_keys: Mapping[str, ClientKey], offset: float
    ) -> None:
        """Take a view kept on disk: only until the store has been read."""
        self.deployments = dict(deployments)
        self.client_keys = dict(client_keys)
        self._offset = offset

    def reread(self) -> None:
        """Take everything from the store anew at the next poll."""
        self._revision = 0

    async def poll(self) -> None:
        """One look at the store. Raises `StoreUnavailable` when it cannot be reached."""
        asked = self._clock()
        tick = await self._store.tick()
        answered = self._clock()
        if tick.revision != self._revision:
            await self._follow(tick.revision)
        self._offset = tick.now - (asked + answered) / 2
        self._confirmed = asked
        self.complete = True

    async def run(self) -> None:
        failed = False
        while True:
            try:
                await self.poll()
                if failed:
                    logger.info("the store answers again")
                failed = False
            except GatewayError as error:
                if not failed:
                    logger.warning("serving on from the last snapshot: %s", error.message)
                failed = True
            except Exception:  # without polls nothing would ever change again
                logger.exception("the snapshot could not follow the store")
            await asyncio.sleep(POLL_INTERVAL)

    async def _follow(self, target: int) -> None:
        if target < self._revision:
            logger.error("the store's revision went back from %d to %d", self._revision, target)
            self._revision = 0
        while self._revision < target:
            since = self._revision
            feed = await self._store.changes(since, prefixes=FOLLOWED, limit=PAGE)
            for document in feed.documents:
                await self._apply(document)
            self._revision = max(feed.revision, since)
            if self._revision == since:
                break
        self.on_change()

    async def _apply(self, document: Document) -> None:
        if document.key.startswith(keys.CLIENT_KEYS):
            key = codec.decode_document(document, ClientKey)
            self.client_keys[key.id] = key
            return
        if document.key.startswith(keys.FORGOTTEN):
            self.on_forgotten(codec.decode_document(document, Forgotten))
            return
        deployment = codec.decode(document.value, Deployment, key=document.key)
        rollout = deployment.rollout
        wanted = (deployment.live, rollout.candidate if rollout is not None else None)
        for number in wanted:
            if number is None or not self.versions.room or self.versions.get(deployment.prompt, number):
                continue
            try:
                await self.versions.fetch(deployment.prompt, number)
            except GatewayError as error:
                logger.warning("%s/%d is loaded at first use: %s", deployment.prompt, number, error.message)
        before = self.deployments.get(deployment.prompt)
        if before is not None and before.rollout is not None:
            self.measured.pop(before.rollout.id, None)
        if rollout is not None and rollout.policy is not None:
            self.measured[rollout.id] = rollout
        self.deployments[deployment.prompt] = deployment
