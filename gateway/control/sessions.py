"""What people do with one session's pin: look it up, clear it.

To clear is to delete the pin, then to tell workers by a document (`domain.forgetting`): one that forgets
finds no pin. Look-ups that were asked before are void by their time, so it is read once the pin is gone.
"""

from __future__ import annotations

import msgspec

from gateway.control.changes import Entry, record
from gateway.control.explain import Explainer, Place, StoredPin
from gateway.control.plan import By
from gateway.domain.forgetting import Forgotten, with_cleared
from gateway.errors import TransitionRefused
from gateway.storage import codec, keys
from gateway.storage.base import Put, Store


class PinView(msgspec.Struct, frozen=True):
    """`session`: the keyed hash. `rollout`, `pin`: null where no rollout runs, or the session has no pin in
    it. `cleared`: this request removed one."""

    prompt: str
    session: str
    rollout: str | None
    pin: StoredPin | None
    cleared: bool = False


class Sessions:
    def __init__(self, store: Store, explainer: Explainer) -> None:
        self._store = store
        self._explainer = explainer

    async def pin(self, place: Place) -> PinView:
        """Raises `PromptNotFound`, `InvalidValue`."""
        session, rollout, pin = await self._explainer.pin(place)
        return PinView(place.prompt, session.hex(), None if rollout is None else rollout.id, pin)

    async def clear(self, place: Place, by: By) -> PinView:
        """Its next request draws it again. Raises `TransitionRefused` where no rollout runs."""
        session, rollout, pin = await self._explainer.pin(place)
        if rollout is None:
            raise TransitionRefused(f"no rollout of {place.prompt} runs: there are no pins", param="prompt")
        shown = PinView(place.prompt, session.hex(), rollout.id, pin, cleared=pin is not None)
        if pin is None:
            return shown
        await self._store.delete_key(keys.pin(rollout.id, session.hex()))

        async def planned(now: float) -> Entry | None:
            document = await self._store.get(keys.forgotten(place.prompt))
            before = None if document is None else codec.decode_document(document, Forgotten)
            after = with_cleared(before, place.prompt, rollout.id, session.hex(), now)
            revision = 0 if document is None else document.revision
            put = Put(keys.forgotten(place.prompt), codec.encode(after), revision)
            told = {"rollout": rollout.id, "session": session.hex()}
            return Entry("clear_pin", place.prompt, told | {"pin": msgspec.to_builtins(pin)}, told, (put,))

        await record(self._store, by, planned)
        return shown
