"""Several people change one thing at the same time: one wins, the others hear by whom and how."""

from __future__ import annotations

import asyncio

import pytest

from gateway.control.access import Access
from gateway.control.plan import By
from gateway.web.admin import ROUTES
from tests.web.conftest import Admin, Answer

PROMPT = "/v1/prompts/support-agent"
PEOPLE = [f"op{number}" for number in range(8)]
ASKS = {"explain_session", "explain_unnamed", "show_pin"}  # a POST that changes nothing
WITHOUT_REVISION = {  # what they make, or change, has none
    *("create_token", "create_key", "test_alert", "retry_judgment", "clear_pin", "post_evaluation"),
    *("accept_case", "reject_case", "confirm_flag", "clear_flags"),  # a second one is told of the first
}


@pytest.fixture
async def running(admin: Admin) -> str:
    """The revision of a deployment with a rollout."""
    await admin.push("one", "two", "three")
    await admin.post(f"{PROMPT}/deploy", {"version": 1})
    started = await admin.post(f"{PROMPT}/rollouts", {"version": 2, "weight": 0.1})
    etag: str = started.headers["etag"]
    return etag


def test_every_change_takes_a_key_and_a_revision() -> None:
    changing = [route for route in ROUTES if route.method != "GET" and route.name not in ASKS]
    assert [route.name for route in changing if not route.once] == []
    assert {route.name for route in changing if not route.changes} == WITHOUT_REVISION
    assert [route.name for route in changing if route.changes and not route.etag] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("rollout/promote", {}),
        ("rollout/roll_back", {"reason": "worse"}),
        ("rollout/pause", {}),
        ("rollout/weight", {"weight": 0.5}),
        ("deploy", {"version": 3, "reason": "hotfix", "emergency": True}),
    ],
)
async def test_of_eight_who_saw_the_same_one_wins(
    admin: Admin, running: str, path: str, body: object
) -> None:
    answers = await asyncio.gather(
        *(admin.post(f"{PROMPT}/{path}", body, if_match=running, x_actor=name) for name in PEOPLE)
    )
    (winner,) = [name for name, each in zip(PEOPLE, answers, strict=True) if each.status == 200]
    for each in answers:
        if each.status != 200:
            assert (each.status, each.body["code"]) == (412, "precondition_failed")
            assert f"since then {winner}: " in each.body["detail"]
    entries = (await admin.get("/v1/audit?limit=3")).body["entries"]
    assert [entry["actor"] for entry in entries].count(winner) == 1


async def test_of_eight_without_a_revision_one_ends_the_rollout(admin: Admin, running: str) -> None:
    paths = ["promote", "roll_back", "abort", "promote", "roll_back", "abort", "promote", "roll_back"]
    answers = await asyncio.gather(
        *(
            admin.post(f"{PROMPT}/rollout/{path}", {"reason": "mine"}, x_actor=name)
            for path, name in zip(paths, PEOPLE, strict=True)
        )
    )
    (index,) = [number for number, each in enumerate(answers) if each.status == 200]
    for number, each in enumerate(answers):
        if number != index:
            assert each.status == 409
            assert f"{PEOPLE[index]}: {paths[index]} (mine)" in each.body["detail"]
    assert len((await admin.get(f"{PROMPT}/rollouts")).body["rollouts"]) == 1


async def test_a_late_one_hears_who_was_faster(admin: Admin, running: str) -> None:
    await admin.post(f"{PROMPT}/rollout/pause", {"reason": "look at it"}, x_actor="ann")
    again = await admin.post(f"{PROMPT}/rollout/pause", x_actor="bob")
    assert again.status == 409
    assert again.body["detail"].endswith("the last change was ann: pause (look at it)")


async def test_a_push_of_what_was_changed_meanwhile_is_refused(admin: Admin, running: str) -> None:
    text = "---\nname: support-agent\n---\nsystem:\nfour\n"
    await admin.post(f"{PROMPT}/rollout/pause", x_actor="ann")
    late = await admin.post(f"{PROMPT}/versions", {"file": text}, if_match=running)
    assert (late.status, "since then ann: pause" in late.body["detail"]) == (412, True)
    fresh = (await admin.get(PROMPT)).headers["etag"]
    made = await admin.post(f"{PROMPT}/versions", {"file": text}, if_match=fresh)
    assert (made.status, made.headers["etag"]) == (201, f'"{made.body["revision"]}"')


async def test_tokens_have_a_revision(admin: Admin) -> None:
    secret = (await Access(admin.store).create("root", "admin", (), By("ann"))).secret
    mine = {"authorization": f"Bearer {secret}"}
    made = await admin.post("/v1/tokens", {"name": "ci", "role": "viewer"}, **mine)
    etag = made.headers["etag"]
    (listed,) = [t for t in (await admin.get("/v1/tokens", **mine)).body["tokens"] if t["name"] == "ci"]
    assert etag == f'"{listed["revision"]}"'
    answers: list[Answer] = await asyncio.gather(
        *(admin.post("/v1/tokens/ci/rotate", {}, if_match=etag, x_actor=name, **mine) for name in PEOPLE)
    )
    (won,) = [each for each in answers if each.status == 200]
    lost = [each for each in answers if each.status == 412]
    assert len(lost) == 7
    assert all("since then root (op" in each.body["detail"] for each in lost)
    gone = await admin.post("/v1/tokens/ci/revoke", {}, if_match=won.headers["etag"], **mine)
    assert gone.status == 200


async def test_keys_have_a_revision(admin: Admin) -> None:
    made = await admin.post("/v1/keys", {"name": "shop"})
    path = f"/v1/keys/{made.body['id']}/revoke"
    assert (await admin.post(path, if_match='"1234"')).status == 412
    gone = await admin.post(path, if_match=made.headers["etag"], x_actor="ann")
    assert gone.status == 200
    late = await admin.post(path, if_match=made.headers["etag"])
    assert (late.status, "since then ann: revoke_key" in late.body["detail"]) == (412, True)
    again = await admin.post(path)
    assert (again.status, again.headers["etag"]) == (200, gone.headers["etag"])
