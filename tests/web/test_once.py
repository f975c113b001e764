"""A create that is sent again under the same key is done once."""

import asyncio

import pytest

from gateway.control.access import Access
from gateway.control.plan import By
from tests.web.conftest import Admin

PROMPT = "/v1/prompts/support-agent"
BODY = {"version": 2, "weight": 0.1}


@pytest.fixture
async def ready(admin: Admin) -> Admin:
    await admin.push("one", "two")
    await admin.post(f"{PROMPT}/deploy", {"version": 1})
    return admin


async def test_the_same_request_is_answered_again(ready: Admin) -> None:
    first = await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="a")
    again = await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="a")
    assert (again.status, again.body, again.headers["etag"]) == (201, first.body, first.headers["etag"])
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert (await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="b")).status == 409
    assert len((await ready.get(f"{PROMPT}/rollouts")).body["rollouts"]) == 1


async def test_another_request_under_the_key_is_refused(ready: Admin) -> None:
    await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="a")
    other = await ready.post(f"{PROMPT}/rollouts", BODY | {"weight": 0.2}, idempotency_key="a")
    assert (other.status, other.body["code"]) == (422, "idempotency_mismatch")
    elsewhere = await ready.post(f"{PROMPT}/deploy", {"version": 2, "reason": "x"}, idempotency_key="a")
    assert elsewhere.status == 200


async def test_an_error_is_not_kept(ready: Admin) -> None:
    body = {"version": 3, "weight": 0.1}
    assert (await ready.post(f"{PROMPT}/rollouts", body, idempotency_key="a")).status == 404
    await ready.push("three")
    assert (await ready.post(f"{PROMPT}/rollouts", body, idempotency_key="a")).status == 201


async def test_of_many_at_once_one_is_done(ready: Admin) -> None:
    answers = await asyncio.gather(
        *(
            ready.post(f"{PROMPT}/deploy", {"version": 2, "reason": "x"}, idempotency_key="a")
            for _ in range(10)
        )
    )
    assert {answer.status for answer in answers} <= {200, 409}
    done = [answer for answer in answers if answer.status == 200]
    assert len({answer.body["revision"] for answer in done}) == 1
    waiting = [answer for answer in answers if answer.status == 409]
    assert {answer.body["code"] for answer in waiting} <= {"idempotency_conflict"}
    assert all(answer.headers["retry-after"] == "1" for answer in waiting)
    entries = (await ready.get("/v1/audit")).body["entries"]
    assert [entry["action"] for entry in entries].count("deploy") == 2  # the first is the fixture's


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_keys_that_are_none(ready: Admin, key: str) -> None:
    answer = await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key=key)
    assert (answer.status, answer.body["param"]) == (400, "idempotency-key")


async def test_keys_of_two_people_are_two(ready: Admin) -> None:
    access = Access(ready.store)
    headers = []
    for name in ("ann", "bob"):
        secret = (await access.create(name, "operator", (), By("root"))).secret
        headers.append({"authorization": f"Bearer {secret}", "idempotency_key": "k"})
    ann, bob = [await ready.post(f"{PROMPT}/rollouts", BODY, **each) for each in headers]
    assert (ann.status, bob.status, bob.body["code"]) == (201, 409, "transition_refused")


async def test_a_secret_is_shown_once_and_kept_nowhere(ready: Admin) -> None:
    made = await ready.post("/v1/keys", {"name": "shop"}, idempotency_key="a")
    again = await ready.post("/v1/keys", {"name": "shop"}, idempotency_key="a")
    assert again.body == made.body | {"key": ""}
    assert made.body["key"].startswith("pck_")
    issued = await ready.post("/v1/tokens", {"name": "ci", "role": "admin"}, idempotency_key="b")
    headers = {"authorization": f"Bearer {issued.body['secret']}"}
    for _ in range(2):
        rotated = await ready.post("/v1/tokens/ci/rotate", {"grace": 60}, idempotency_key="c", **headers)
    assert (rotated.body["secret"], rotated.headers["idempotency-replayed"]) == ("", "true")


async def test_a_change_of_a_rollout_is_done_once(ready: Admin) -> None:
    await ready.post(f"{PROMPT}/rollouts", BODY)
    first = await ready.post(f"{PROMPT}/rollout/pause", idempotency_key="p")
    again = await ready.post(f"{PROMPT}/rollout/pause", idempotency_key="p")
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert (await ready.post(f"{PROMPT}/rollout/pause")).status == 409


async def test_another_revision_is_another_request(ready: Admin) -> None:
    etag = (await ready.get(PROMPT)).headers["etag"]
    await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="a", if_match=etag)
    other = await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="a", if_match='"1"')
    assert (other.status, other.body["code"]) == (422, "idempotency_mismatch")
    wrong = await ready.post(f"{PROMPT}/rollouts", BODY, idempotency_key="a", if_match="")
    assert wrong.status == 422
