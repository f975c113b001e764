"""Suites that ran elsewhere, through the admin API."""

from __future__ import annotations

from typing import Any

from gateway.control.plan import By
from gateway.control.registry import Registry
from gateway.domain.prompt import Gate
from tests.web.conftest import Admin

RUNS = "/v1/prompts/support-agent/versions/1/eval-runs"


def run(*cases: dict[str, Any], suite: str = "support@1f") -> dict[str, Any]:
    return {"runner": "promptfoo 0.121, job 812", "suite": suite, "cases": cases}


GOOD: dict[str, Any] = {"name": "a return", "passed": True}
BAD: dict[str, Any] = {"name": "a parcel", "passed": False, "why": "too long"}


async def pending(admin: Admin) -> None:
    await admin.push("one")
    await Registry(admin.store).record_gate("support-agent", 1, Gate("pending", "support"), By("ann"))


async def state(admin: Admin) -> tuple[str, str]:
    (version,) = (await admin.get("/v1/prompts/support-agent")).body["versions"]
    return version["state"], version["gate"].get("detail", "")


async def test_a_run_that_passed_opens_the_gate_and_says_who_ran_it(admin: Admin) -> None:
    await pending(admin)
    assert (await admin.get(RUNS)).body["code"] == "not_found"
    made = await admin.post(RUNS, run(GOOD), x_actor="ci")
    assert (made.status, made.body["state"], made.body["by"]) == (201, "passed", "ci")
    assert await state(admin) == (
        "ready",
        "1 of 1 cases passed, mean score 1.00 (run by promptfoo 0.121, job 812)",
    )
    assert (await admin.get(RUNS)).body == made.body
    (entry, *_) = (await admin.get("/v1/audit?limit=1")).body["entries"]
    assert (entry["actor"], entry["action"]) == ("ci", "record_gate")
    assert entry["reason"] == "suite support@1f run by promptfoo 0.121, job 812"


async def test_a_run_that_failed_rejects_and_the_refusal_names_the_case(admin: Admin) -> None:
    await pending(admin)
    assert (await admin.post(RUNS, run(GOOD, BAD))).body["state"] == "failed"
    assert (await state(admin))[0] == "rejected"
    refused = await admin.post("/v1/prompts/support-agent/deploy", {"version": 1})
    assert (refused.status, refused.body["code"]) == (409, "gate_not_passed")
    assert "a parcel (too long)" in refused.body["detail"]


async def test_no_data_leaves_the_gate_as_it_is(admin: Admin) -> None:
    await pending(admin)
    made = await admin.post(RUNS, run(GOOD, {**GOOD, "error": "503"}))
    assert made.body["state"] == "incomplete"
    assert (await state(admin))[0] == "pending_eval"


async def test_another_suite_does_not_open_it(admin: Admin) -> None:
    await pending(admin)
    for suite in ("easy", ""):
        answer = await admin.post(RUNS, run(GOOD, suite=suite))
        assert (answer.status, answer.body["param"]) == (400, "suite")
    assert (await state(admin))[0] == "pending_eval"
    stale = await admin.post(RUNS, run(GOOD), if_match='"1"')
    assert stale.status == 412
    missing = await admin.post(RUNS.replace("/1/", "/7/"), run(GOOD))
    assert missing.status == 404
