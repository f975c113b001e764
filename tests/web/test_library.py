"""Differences, cards, files, policies, labels and pins by API."""

import pytest

from gateway.domain.policy import POLICIES
from gateway.evals.report import CaseResult, Report, RunResult
from gateway.storage import codec, keys
from gateway.storage.base import Put
from tests.support.prompts import described, prompt_text
from tests.web.conftest import Admin

PROMPT = "/v1/prompts/support-agent"


async def test_a_difference_is_to_the_live_version_or_to_the_one_that_is_named(admin: Admin) -> None:
    await admin.push("one", "two", "three")
    await admin.post(f"{PROMPT}/deploy", {"version": 1})
    found = (await admin.get(f"{PROMPT}/versions/3/diff")).body
    assert (found["base"], found["version"], found["same"]) == (1, 3, False)
    assert found["parts"] == [
        {
            "where": "messages[0].system",
            "change": "changed",
            "before": {"role": "system", "text": "one"},
            "after": {"role": "system", "text": "three"},
        }
    ]
    assert "-one\n+three\n" in found["text"]
    assert (await admin.get(f"{PROMPT}/versions/3/diff?base=2")).body["base"] == 2
    alone = await admin.get(f"{PROMPT}/versions/1/diff")
    assert (alone.status, alone.body["param"]) == (400, "base")
    assert (await admin.get(f"{PROMPT}/versions/1/diff?base=9")).body["code"] == "version_not_found"


async def test_a_file_is_the_same_version_when_it_is_pushed(admin: Admin) -> None:
    text = prompt_text(front=described(change="first"))
    await admin.post(f"{PROMPT}/versions", {"file": text})
    file = (await admin.get(f"{PROMPT}/versions/1/file")).body
    again = (await admin.post(f"{PROMPT}/versions", {"file": file["file"]})).body
    assert (again["version"], again["created"], again["metadata_changed"]) == (1, False, False)


async def test_a_card_tells_of_suite_and_rollouts(admin: Admin) -> None:
    await admin.post(f"{PROMPT}/versions", {"file": prompt_text("one")})
    await admin.post(f"{PROMPT}/versions", {"file": prompt_text("two", front=described(change="shorter"))})
    await admin.post(f"{PROMPT}/deploy", {"version": 1})
    started = await admin.post(f"{PROMPT}/rollouts", {"version": 2, "weight": 0.1})
    await admin.post(f"{PROMPT}/rollout/roll_back", {"reason": "too short"}, x_actor="ann")
    case = CaseResult("greets", 3, 1.0, (RunResult(1.0, True),))
    report = Report("s@sha256:0f", (case,))
    await admin.store.commit([Put(keys.evaluation("support-agent", 2), codec.encode(report), 0)])
    card = (await admin.get(f"{PROMPT}/versions/2/card")).body
    digest = card["version"]["digest"]
    assert card["uri"] == f"prompts:/support-agent/2#{digest}"
    assert card["back_to"] == 1
    assert [view["id"] for view in card["rollouts"]] == [started.body["rollout"]["id"]]
    text = card["markdown"]
    assert text.startswith("---\ntags:\n- prompt-card\n")
    for line in (
        "# support-agent/2",
        "shorter",
        "- messages[0].system changed",
        "- owner: support-team",
        "1 of 1 cases passed, mean score 1.00",
        "rolled_back by ann, against version 1 (too short)",
        "pass_rate",
    ):
        assert line in text
    assert (await admin.get(f"{PROMPT}/versions/1/card")).body["back_to"] is None


async def test_policies(admin: Admin) -> None:
    listed = (await admin.get("/v1/policies")).body["policies"]
    assert [each["name"] for each in listed] == list(POLICIES)
    one = (await admin.get("/v1/policies/careful")).body
    assert (one["built_in"], one["policy"]["min_units"]) == (True, POLICIES["careful"].min_units)
    assert (await admin.get("/v1/policies/none")).status == 404


async def test_labels_move(admin: Admin) -> None:
    await admin.push("one", "two")
    put = await admin.call("PUT", f"{PROMPT}/labels/staging", {"version": 1, "reason": "try"})
    assert (put.status, put.body["labels"]) == (200, {"staging": 1})
    stale = put.headers["etag"]
    moved = await admin.call("PUT", f"{PROMPT}/labels/staging", {"version": 2}, if_match=stale, x_actor="ann")
    assert moved.body["labels"] == {"staging": 2}
    late = await admin.call("PUT", f"{PROMPT}/labels/staging", {"version": 1}, if_match=stale)
    assert late.status == 412
    assert "since then ann: set_label" in late.body["detail"]
    assert (await admin.get(PROMPT)).body["labels"] == {"staging": 2}
    entry = (await admin.get("/v1/audit?limit=1")).body["entries"][0]
    assert (entry["before"], entry["after"]) == (
        {"label": "staging", "version": 1},
        {"label": "staging", "version": 2},
    )
    gone = await admin.call("DELETE", f"{PROMPT}/labels/staging", {})
    assert gone.body["labels"] == {}
    assert (await admin.get(f"{PROMPT}/labels")).body["labels"] == {}


@pytest.mark.parametrize(
    ("method", "label", "body", "code"),
    [
        ("PUT", "live", {"version": 1}, "transition_refused"),
        ("PUT", "staging", {"version": 9}, "version_not_found"),
        ("DELETE", "staging", {}, "not_found"),
        ("PUT", "Staging", {"version": 1}, "invalid_value"),
    ],
)
async def test_labels_that_are_refused(
    admin: Admin, method: str, label: str, body: object, code: str
) -> None:
    await admin.push("one")
    answer = await admin.call(method, f"{PROMPT}/labels/{label}", body)
    assert answer.body["code"] == code


async def test_a_prompt_has_so_many_labels(admin: Admin) -> None:
    await admin.push("one")
    for number in range(50):
        put = await admin.call("PUT", f"{PROMPT}/labels/l{number}", {"version": 1})
        assert put.status == 200
    more = await admin.call("PUT", f"{PROMPT}/labels/more", {"version": 1})
    assert (more.status, more.body["code"]) == (409, "transition_refused")


async def test_pins_need_a_signing_key(admin: Admin) -> None:
    await admin.push("one")
    answer = await admin.post(f"{PROMPT}/pins/show", {"session": "ann"})
    assert (answer.status, answer.body["param"]) == (400, "signing_keys")
