"""The admin API over a real socket: what each route answers, and every error as problem details."""

import io
import json

import pytest

from gateway.control.judging.budget import Spent
from gateway.domain.feedback import Feedback, encode_feedback
from gateway.evals.rubric import Bench, Criterion, Rubric, rubric_digest
from gateway.storage import codec, keys
from gateway.storage.base import Put
from tests.support.prompts import described, prompt_text
from tests.web.conftest import Admin

PROMPT = "/v1/prompts/support-agent"


async def deployed(admin: Admin) -> None:
    await admin.push("one", "two")
    assert (await admin.post(f"{PROMPT}/deploy", {"version": 1})).status == 200


async def test_health_and_readiness(admin: Admin) -> None:
    assert (await admin.get("/healthz")).body == {"status": "ok"}
    assert (await admin.get("/readyz")).status == 200
    admin.status["ready"] = False
    answer = await admin.get("/readyz")
    assert (answer.status, answer.body) == (503, {"ready": False})


async def test_push_is_idempotent(admin: Admin) -> None:
    first = await admin.post(f"{PROMPT}/versions", {"file": prompt_text()}, x_actor="ann")
    again = await admin.post(f"{PROMPT}/versions", {"file": prompt_text()})
    assert (first.status, again.status) == (201, 200)
    assert (first.body["version"], again.body["version"]) == (1, 1)
    listed = await admin.get(f"{PROMPT}/versions")
    assert [item["created_by"] for item in listed.body["versions"]] == ["ann"]
    detail = await admin.get(f"{PROMPT}/versions/1")
    assert detail.body["version"]["state"] == "ready"
    assert detail.body["content"]["messages"][0]["role"] == "system"
    assert detail.body["metadata_history"][0]["by"] == "ann"


async def test_a_rollout_from_start_to_promotion(admin: Admin) -> None:
    await deployed(admin)
    started = await admin.post(f"{PROMPT}/rollouts", {"version": 2, "weight": 0.1, "reason": "try"})
    assert started.status == 201
    assert started.headers["etag"] == f'"{started.body["revision"]}"'
    assert started.body["rollout"]["announced"] == 0.1
    assert "salt" not in started.body["rollout"]
    for path, body in (("pause", {}), ("resume", {}), ("weight", {"weight": 0.5}), ("promote", {})):
        answer = await admin.post(f"{PROMPT}/rollout/{path}", body, x_actor="ann")
        assert answer.status == 200, answer.body
    assert (answer.body["live"], answer.body["rollout"]) == (2, None)
    history = (await admin.get(f"{PROMPT}/rollouts")).body["rollouts"]
    assert [(item["phase"], item["ended_by"]) for item in history] == [("promoted", "ann")]
    assert [item["value"] for item in history[0]["weights"]] == [0.1, 0.5]
    assert (await admin.get(f"{PROMPT}/rollout")).body["rollout"] is None


@pytest.mark.parametrize(("path", "phase"), [("roll_back", "rolled_back"), ("abort", "aborted")])
async def test_ways_back(admin: Admin, path: str, phase: str) -> None:
    await deployed(admin)
    await admin.post(f"{PROMPT}/rollouts", {"version": 2, "weight": 0.1})
    answer = await admin.post(f"{PROMPT}/rollout/{path}", {"reason": "worse"})
    assert (answer.status, answer.body["live"], answer.body["rollout"]) == (200, 1, None)
    history = (await admin.get(f"{PROMPT}/rollouts")).body["rollouts"]
    assert [item["phase"] for item in history] == [phase]


async def test_live_and_prompts(admin: Admin) -> None:
    await admin.push("one")
    assert (await admin.get("/v1/live")).body == {"prompts": [], "next": None}
    assert [item["live"] for item in (await admin.get("/v1/prompts")).body["prompts"]] == [None]
    await admin.post(f"{PROMPT}/deploy", {"version": 1})
    (view,) = (await admin.get("/v1/live")).body["prompts"]
    assert (view["prompt"], view["live"]) == ("support-agent", 1)
    assert view["digest"].startswith("sha256:")
    whole = await admin.get(PROMPT)
    assert [item["state"] for item in whole.body["versions"]] == ["live"]
    assert whole.headers["etag"] == f'"{view["revision"]}"'


async def test_a_gate_opens_the_way(admin: Admin) -> None:
    text = prompt_text(front=described(suite="evals/s.yaml"))
    await admin.post(f"{PROMPT}/versions", {"file": text})
    refused = await admin.post(f"{PROMPT}/deploy", {"version": 1})
    assert (refused.status, refused.body["code"]) == (409, "gate_not_passed")
    gate = {"state": "passed", "suite": "sha256:0f", "detail": "9 of 9"}
    recorded = await admin.call("PUT", f"{PROMPT}/versions/1/gate", gate)
    assert (recorded.status, recorded.body["state"]) == (200, "ready")
    assert (await admin.post(f"{PROMPT}/deploy", {"version": 1})).status == 200


async def test_if_match_refuses_what_was_changed_meanwhile(admin: Admin) -> None:
    await deployed(admin)
    etag = (await admin.get(PROMPT)).headers["etag"]
    body = {"version": 2, "weight": 0.1}
    assert (await admin.post(f"{PROMPT}/rollouts", body, if_match=etag, x_actor="ann")).status == 201
    answer = await admin.post(f"{PROMPT}/rollout/promote", if_match=etag)
    assert (answer.status, answer.body["code"]) == (412, "precondition_failed")
    assert "since then ann: start" in answer.body["detail"]
    assert (await admin.post(f"{PROMPT}/rollout/promote", if_match="*")).status == 200


async def test_audit_pages_and_proof(admin: Admin) -> None:
    await deployed(admin)
    page = (await admin.get("/v1/audit?limit=2&prompt=support-agent")).body
    assert [entry["action"] for entry in page["entries"]] == ["deploy", "push"]
    rest = (await admin.get(f"/v1/audit?before={page['next']}")).body
    assert [entry["sequence"] for entry in rest["entries"]] == [1]
    assert rest["next"] is None
    proof = (await admin.get("/v1/audit/verify")).body
    assert (proof["ok"], proof["entries"]) == (True, 3)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("DELETE", PROMPT, {}, 405, "method_not_allowed"),
        ("GET", "/v1/prompts/nobody", None, 404, "prompt_not_found"),
        ("GET", "/v1/prompts/a%2Fb", None, 400, "invalid_value"),
        ("GET", f"{PROMPT}/versions/9", None, 404, "version_not_found"),
        ("GET", f"{PROMPT}/versions/two", None, 400, "invalid_value"),
        ("GET", f"{PROMPT}/versions/0", None, 400, "invalid_value"),
        ("GET", "/v1/audit?limit=0", None, 400, "invalid_value"),
        ("GET", "/v1/audit?before=-1", None, 400, "invalid_value"),
        ("POST", f"{PROMPT}/versions", {}, 400, "invalid_value"),
        ("POST", f"{PROMPT}/versions", {"file": "no front matter"}, 400, "invalid_prompt_file"),
        ("POST", f"{PROMPT}/versions", {"file": prompt_text(name="other")}, 400, "invalid_value"),
        ("POST", f"{PROMPT}/deploy", {"version": "1"}, 400, "invalid_value"),
        ("POST", f"{PROMPT}/deploy", {"version": 1, "surprise": 1}, 400, "invalid_value"),
        ("POST", f"{PROMPT}/deploy", [], 400, "invalid_value"),
        ("POST", f"{PROMPT}/deploy", {"version": 2}, 409, "transition_refused"),
        ("POST", f"{PROMPT}/rollouts", {"version": 2, "weight": 2}, 400, "invalid_value"),
        ("POST", f"{PROMPT}/rollouts", {"version": 1, "weight": 0.1}, 409, "transition_refused"),
        ("POST", f"{PROMPT}/rollout/promote", {}, 409, "transition_refused"),
        ("POST", f"{PROMPT}/rollout/explode", {}, 404, "not_found"),
        ("PUT", f"{PROMPT}/versions/1/gate", {"state": "maybe", "suite": "x"}, 400, "invalid_value"),
    ],
)
async def test_errors_are_problem_details(
    admin: Admin, method: str, path: str, body: object, status: int, code: str
) -> None:
    await deployed(admin)
    before = (await admin.store.tick()).revision
    answer = await admin.call(method, path, body)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.body["status"], answer.body["type"]) == (status, "about:blank")
    assert answer.body["detail"]
    refused = code in ("transition_refused", "gate_not_passed") and method != "GET"
    assert (await admin.store.tick()).revision == before + refused  # it is in the audit log


@pytest.mark.parametrize("raw", [b"{", b'{"version": 1', b"\xff", b'{"reason": "\xff"}', b"[" * 100_000])
async def test_what_is_not_json_is_refused(admin: Admin, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    async with admin.session.post(
        f"{admin.url}{PROMPT}/rollout/promote", data=raw, headers=headers
    ) as response:
        code = (await response.json(content_type=None))["code"]
        assert (response.status, code) in ((400, "invalid_json"), (400, "invalid_value"))


async def test_a_body_that_is_too_large_is_refused(admin: Admin) -> None:
    body = io.BytesIO(b'{"file": "' + b"x" * 3_000_000 + b'"}')
    headers = {"content-type": "application/json"}
    async with admin.session.post(f"{admin.url}{PROMPT}/versions", data=body, headers=headers) as response:
        code = (await response.json(content_type=None))["code"]
        assert (response.status, code) == (413, "body_too_large")


@pytest.mark.parametrize(
    "headers", [{"if_match": "12"}, {"if_match": 'W/"12"'}, {"if_match": '"1", "2"'}, {"x_actor": "x" * 201}]
)
async def test_bad_headers_are_refused(admin: Admin, headers: dict[str, str]) -> None:
    await deployed(admin)
    answer = await admin.post(f"{PROMPT}/deploy", {"version": 2, "reason": "x"}, **headers)
    assert (answer.status, answer.body["code"]) == (400, "invalid_value")


async def test_a_store_that_is_down_is_unavailable(admin: Admin) -> None:
    await admin.store.close()
    answer = await admin.get("/v1/prompts")
    assert (answer.status, answer.body["code"]) == (503, "store_unavailable")
    assert (await admin.get("/healthz")).status == 200


async def test_answers_are_not_kept(admin: Admin) -> None:
    answer = await admin.get("/v1/live")
    assert answer.headers["cache-control"] == "no-store"
    assert json.dumps(answer.body)


async def test_quality_of_a_rollout_is_the_judge_s_work_and_what_users_said(admin: Admin) -> None:
    await deployed(admin)
    started = await admin.post("/v1/prompts/support-agent/rollouts", {"version": 2, "weight": 0.5})
    id = started.body["rollout"]["id"]
    empty = await admin.get(f"/v1/rollouts/{id}/quality")
    assert (empty.status, empty.body["judge"], empty.body["feedback"]) == (200, None, {})
    told = Feedback("pc1.x", 2, True, b"12345678", 1.0, 2.0, "resolved", 1.0)
    await admin.store.append(keys.feedback(id), [encode_feedback(told)])
    bench = Bench("judge-model", Rubric("helpful", (Criterion("a", "?", ("n", "y")),)), "p")
    spent = Spent(usd=0.5, calls=3, scored=2, unscored={"late": 1})
    await admin.store.commit(
        [Put(keys.bench(id), codec.encode(bench), 0), Put(keys.spend(id), codec.encode(spent), 0)]
    )
    await admin.store.enqueue(keys.JUDGING, "x", b"")
    found = (await admin.get(f"/v1/rollouts/{id}/quality")).body
    assert found["judge"] == {
        "model": "judge-model",
        "rubric": "helpful",
        "digest": bench.digest,
        "rubric_digest": rubric_digest(bench.rubric)[:16],
        "prompt_digest": "p",
        "calibration": None,
        "anchors": None,
    }
    assert found["spent"] == {"usd": 0.5, "calls": 3, "unpriced": 0, "scored": 2, "unscored": {"late": 1}}
    assert found["today"]["calls"] == 0
    assert found["pace"] == {"share": 1.0, "why": ""}
    assert (found["waiting"], found["under_way"], found["dead"]) == (1, 0, 0)
    assert found["feedback"] == {"resolved": {"canary": {"answers": 1, "mean": 1.0, "bad": 0}}}
    assert (await admin.get("/v1/rollouts/unknown/quality")).status == 404


async def test_the_judge_s_queue_and_its_dead_letters(admin: Admin) -> None:
    await admin.store.enqueue(keys.JUDGING, "r/s", b"")
    await admin.store.claim(keys.JUDGING, "judge", limit=1, lease=60)
    await admin.store.bury(keys.JUDGING, "judge", "r/s", "cannot be read")
    found = (await admin.get("/v1/judge/queue")).body
    assert (found["waiting"], found["under_way"], found["dead"]) == (0, 0, 1)
    assert [(each["id"], each["reason"], each["attempts"]) for each in found["letters"]] == [
        ("r/s", "cannot be read", 1)
    ]
    again = (await admin.post("/v1/judge/queue/retry", {"id": "r/s"}, x_actor="ann")).body
    assert (again["waiting"], again["dead"], again["letters"]) == (1, 0, [])
    assert (await admin.post("/v1/judge/queue/retry", {"id": "r/s"})).status == 404
    entry = (await admin.get("/v1/audit?limit=1")).body["entries"][0]
    assert (entry["action"], entry["actor"], entry["after"]) == ("retry_judgment", "ann", {"item": "r/s"})
