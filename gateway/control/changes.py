"""One change of a prompt is one commit: its deployment, what is archived, and the audit entry, or nothing.

Commits are compare-and-set on the deployment and on the audit log's head. Whoever loses a race reads again
and plans again, as long as what the person saw is what still stands: a `promote` meant for one rollout must
not hit the next one. The head is shared by all prompts, so a loser waits for a random moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from gateway.control import audit
from gateway.control.audit import Head
from gateway.control.plan import By
from gateway.domain.audit import AuditEntry
from gateway.domain.names import check_name
from gateway.domain.rollout import Deployment, Rollout
from gateway.errors import Conflict, InvalidValue, PreconditionFailed, StoreRevised, Unavailable
from gateway.storage import codec, keys
from gateway.storage.base import Document, Documents, Fence, Put

ATTEMPTS = 100  # one of all racers wins each round, so only that many racers at once could lose
BACKOFF = 0.02  # s, the most that a loser waits after its first loss
BACKOFF_MOST = 0.2  # s
REPORTED = 5  # audit entries named in a conflict
LOOKED_AT = 100  # for them, among those of refusals
REFUSED = "refused"  # the action of an entry that tells of no change
MAX_ACTOR, MAX_REASON = 200, 2000  # characters


class Current(NamedTuple):
    """What a plan is made from. `revision` 0: the prompt is new. `now` is the store's time, s."""

    deployment: Deployment
    revision: int
    now: float


class Change(NamedTuple):
    """What to commit. `before` and `after` go to the audit log, with the `evidence` that it rests on; `puts`
    stand beside the deployment."""

    deployment: Deployment
    action: str
    before: Any
    after: Any
    puts: tuple[Put, ...] = ()
    evidence: Any = None


class Done(NamedTuple):
    deployment: Deployment
    revision: int


class Recorded(NamedTuple):
    """The entry's number in the audit log and the commit's revision; zeros where nothing was written."""

    entry: int
    revision: int


Plan = Callable[[Current], Awaitable[Change | None]]
Standing = Callable[[Deployment], object]


async def read_deployment(store: Documents, prompt: str) -> tuple[Deployment, int]:
    """An empty one with revision 0 if the prompt has never been seen."""
    document = await store.get(keys.deployment(check_name(prompt, "prompt")))
    if document is None:
        return Deployment(prompt), 0
    return codec.decode_document(document, Deployment), document.revision


async def commit(
    store: Documents,
    prompt: str,
    by: By,
    plan: Plan,
    *,
    expected: int | None = None,
    steady: bool = True,
    standing: Standing | None = None,
    fence: Fence | None = None,
) -> Done:
    """Carry out `plan`; None from it changes nothing. `expected` is the revision of the deployment that the
    person saw; `steady` refuses if what `standing` tells of it (None: live version and rollout) changed
    between two attempts; under a `fence` only the lease's holder commits.

    Raises `FenceLost`, `PreconditionFailed` or `Conflict` that tell what happened meanwhile, and whatever
    `plan` raises.
    """
    check_by(by)
    seen: tuple[object, int] | None = None
    tell = standing or holders
    for attempt in range(ATTEMPTS):
        current, head = await _read(store, prompt)
        if expected is not None and current.revision != expected:
            raise PreconditionFailed(await told_since(store, prompt, current.revision, expected))
        stands = tell(current.deployment)
        if steady and seen is not None and seen[0] != stands:
            raise Conflict(
                "somebody else was faster: look at it, then try again; "
                + await told_since(store, prompt, current.revision, seen[1])
            )
        seen = stands, seen[1] if seen is not None else current.revision
        change = await plan(current)
        if change is None:
            return Done(current.deployment, current.revision)
        try:
            return Done(change.deployment, await store.commit(_puts(current, change, head, by), fence=fence))
        except StoreRevised:
            await _back_off(attempt)
    raise Unavailable(
        f"{prompt}: {ATTEMPTS} others were faster; nothing was changed, try again", retry_after=1
    )


class Entry(NamedTuple):
    """An entry of the audit log that is of no prompt's deployment, and what is written with it."""

    action: str
    subject: str
    before: Any = None
    after: Any = None
    puts: tuple[Put, ...] = ()


async def record(store: Documents, by: By, plan: Callable[[float], Awaitable[Entry | None]]) -> Recorded:
    """Write what `plan` makes of the store's time, in one commit. Of two writers one plans again; a `plan`
    whose own documents moved finds out when it reads them. None from it writes nothing."""
    check_by(by)
    for attempt in range(ATTEMPTS):
        head, tick = await asyncio.gather(audit.read_head(store), store.tick())
        entry = await plan(tick.now)
        if entry is None:
            return Recorded(0, 0)
        told = audit.appended(
            head,
            at=tick.now,
            by=by,
            action=entry.action,
            subject=entry.subject,
            before=entry.before,
            after=entry.after,
        )
        try:
            revision = await store.commit([*entry.puts, *told])
            return Recorded(1 if head.entry is None else head.entry.sequence + 1, revision)
        except StoreRevised:
            await _back_off(attempt)
    raise Unavailable(f"{ATTEMPTS} others were faster; nothing was changed, try again", retry_after=1)


def archived(ended: Rollout | None) -> tuple[Put, ...]:
    """A rollout that a change ends, under its own key."""
    return () if ended is None else (Put(keys.rollout(ended.prompt, ended.id), codec.encode(ended), 0),)


def ending(ended: Rollout | None) -> dict[str, Any]:
    """The same for the audit log."""
    if ended is None:
        return {}
    return {"ended": {"id": ended.id, "candidate": ended.candidate, "phase": ended.phase}}


def summary(deployment: Deployment) -> dict[str, Any]:
    """What a deployment serves, short enough for the audit log."""
    told = {"live": deployment.live, "rollout": rollout_summary(deployment.rollout)}
    if deployment.expiry is not None:
        told["expiry"] = {"at": deployment.expiry.at, "back_to": deployment.expiry.back_to}
    if deployment.emergency is not None:
        told["emergency"] = msgspec.to_builtins(deployment.emergency)
    return told


def rollout_summary(rollout: Rollout | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {
        "id": rollout.id,
        "candidate": rollout.candidate,
        "baseline": rollout.baseline,
        "phase": rollout.phase,
        **_under_policy(rollout),
        "weight": rollout.weights[-1].value,
        "effective_at": rollout.weights[-1].effective_at,
    }


def _under_policy(rollout: Rollout) -> dict[str, Any]:
    if rollout.policy is None:
        return {}
    hold = None if rollout.hold is None else rollout.hold.reason
    stage: int | str = "watch" if rollout.in_watch else "shadow" if rollout.in_shadow else rollout.stage
    return {"policy": rollout.policy_name, "stage": stage, "hold": hold, "raises": rollout.raises}


def check_by(by: By) -> None:
    if not by.actor or len(by.actor) > MAX_ACTOR or not by.actor.isprintable():
        raise InvalidValue(
            f"an actor is 1 to {MAX_ACTOR} printable characters, not {by.actor!r:.300}", param="actor"
        )
    if len(by.reason) > MAX_REASON:
        raise InvalidValue(
            f"a reason has at most {MAX_REASON} characters, not {len(by.reason)}", param="reason"
        )


async def _back_off(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, min(BACKOFF * (attempt + 1), BACKOFF_MOST)))


async def _read(store: Documents, prompt: str) -> tuple[Current, Head]:
    # The clock is read with the state, so that an `effective_at` lies its whole lead after the plan.
    (deployment, revision), head, tick = await asyncio.gather(
        read_deployment(store, prompt), audit.read_head(store), store.tick()
    )
    return Current(deployment, revision, tick.now), head


def _puts(current: Current, change: Change, head: Head, by: By) -> list[Put]:
    prompt = change.deployment.prompt
    deployment = Put(keys.deployment(prompt), codec.encode(change.deployment), current.revision)
    entry = audit.appended(
        head,
        at=current.now,
        by=by,
        action=change.action,
        subject=prompt,
        before=change.before,
        after=change.after,
        evidence=change.evidence,
    )
    return [deployment, *change.puts, *entry]


def holders(deployment: Deployment) -> object:
    return deployment.live, None if deployment.rollout is None else deployment.rollout.id


def position(deployment: Deployment) -> object:
    """All of a rollout that one person may change while another looks at it."""
    rollout = deployment.rollout
    if rollout is None:
        return holders(deployment)
    weight = rollout.weights[-1]
    return holders(deployment), rollout.phase, rollout.stage, rollout.in_watch, weight.value


def check_revision(found: Document | None, expected: int | None) -> bool:
    """Whether a document is at the revision that a person saw (None: whichever it is)."""
    return expected is None or (0 if found is None else found.revision) == expected


async def told_since(store: Documents, subject: str, revision: int, expected: int) -> str:
    """Who changed `subject` since revision `expected`, and how."""
    page = await audit.read_page(store, limit=LOOKED_AT, subject=subject)
    lines = [
        said(entry)
        for entry in [entry for entry in page.entries if entry.action != REFUSED][:REPORTED]
        if (document := await store.get(keys.audit(entry.sequence))) and document.revision > expected
    ]
    since = f"; since then {'; '.join(reversed(lines))}" if lines else ""
    return f"{subject} is at revision {revision}, not {expected}{since}"


async def last_change(store: Documents, prompt: str) -> str:
    """The newest change of a prompt, in words; "" without any."""
    page = await audit.read_page(store, limit=LOOKED_AT, subject=prompt)
    done = [entry for entry in page.entries if entry.action != REFUSED]
    return f"the last change was {said(done[0])}" if done else ""


def said(entry: AuditEntry) -> str:
    return f"{entry.actor}: {entry.action}" + (f" ({entry.reason})" if entry.reason else "")
