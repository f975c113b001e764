"""Regression cases through the admin API."""

from __future__ import annotations

from gateway.control.cases import CaseBook
from gateway.domain.case import Words, case_id
from gateway.domain.observation import Drawn, Flagged, decode_batch
from gateway.storage import keys
from tests.web.conftest import Admin

CASES = "/v1/prompts/support-agent/cases"
UNIT = Drawn(b"a session's hash", True, 0.5, 1.0, 1.0, 0.0)


async def started(admin: Admin) -> str:
    """A rollout, and a case of its canary."""
    await admin.push("one", "two")
    assert (await admin.post("/v1/prompts/support-agent/deploy", {"version": 1})).status == 200
    begun = await admin.post("/v1/prompts/support-agent/rollouts", {"version": 2, "policy": "standard"})
    rollout = begun.body["rollout"]["id"]
    words = Words("user: Hello?", "It is [secret].")
    await CaseBook(admin.store).quarantine("support-agent", 2, rollout, UNIT, words, ("secret",), None)
    return case_id(rollout, UNIT.session)


async def test_a_case_is_shown_and_accepted(admin: Admin) -> None:
    id = await started(admin)
    (case,) = (await admin.get(CASES)).body["cases"]
    assert (case["id"], case["flags"]) == (id, ["secret"])
    view = (await admin.get(f"{CASES}/{id}")).body
    assert (view["question"], view["answer"]) == ("user: Hello?", "It is [secret].")
    accepted = await admin.post(f"{CASES}/{id}/accept", {"assert": [{"type": "no-secret"}]}, x_actor="ann")
    assert (accepted.status, accepted.body["case"]["state"]) == (200, "accepted")
    refused = await admin.post(f"{CASES}/{id}/accept", {"assert": [{"type": "magic"}]})
    assert (refused.status, refused.body["code"]) == (400, "invalid_value")
    rejected = await admin.post(f"{CASES}/{id}/reject", {"reason": "it was a test"})
    assert rejected.body["case"]["state"] == "rejected"
    assert (await admin.get(f"{CASES}/0123456789ab-0123456789ab")).status == 404


async def test_a_person_confirms_and_clears(admin: Admin) -> None:
    id = await started(admin)
    assert (await admin.post(f"{CASES}/{id}/confirm", {"flag": "leak"})).body["param"] == "flag"
    assert (await admin.post(f"{CASES}/{id}/confirm", {"flag": "secret"}, x_actor="ann")).status == 200
    assert (await admin.post(f"{CASES}/{id}/clear", x_actor="bob")).status == 200
    rollout = id.partition("-")[0]
    log = await admin.store.read(keys.evidence(rollout), after=0)
    told = [record for entry in log for record in decode_batch(entry.value).records]
    assert [(each.by, each.cleared) for each in told if isinstance(each, Flagged)] == [
        ("person:ann", False),
        ("person:bob", True),
    ]
    await admin.post("/v1/prompts/support-agent/rollout/abort")
    late = await admin.post(f"{CASES}/{id}/clear")
    assert (late.status, late.body["code"]) == (409, "transition_refused")
