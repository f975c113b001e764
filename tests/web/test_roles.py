"""Every operation declares its role, and refuses whoever has a lower one."""

from dataclasses import dataclass

import pytest

from gateway.control.access import Access
from gateway.control.plan import By
from gateway.domain.access import RANKS, Role
from gateway.web.admin import ROUTES
from gateway.web.route import Route
from tests.web.conftest import Admin, Answer

BY = By("ann")
GUARDED = [route for route in ROUTES if route.role is not None]
OF_PROMPTS = [route for route in GUARDED if "{prompt}" in route.path or route.fleet]
PUBLIC = [route for route in ROUTES if route.role is None]
PLACES = {
    "{prompt}": "support-agent",
    "{version}": "1",
    "{rollout}": "0123456789ab",
    "{token}": "none",
    "{policy}": "standard",
    "{label}": "staging",
    "{delivery}": "1-none",
    "{request}": "pc1." + "A" * 52,
    "{id}": "aB3dEf6hIj9k",
    "{case}": "aB3dEf6hIj9k",
}


def path_of(route: Route, prompt: str = "support-agent") -> str:
    path = route.path
    for place, value in (PLACES | {"{prompt}": prompt}).items():
        path = path.replace(place, value)
    return path + ("?wait=0" if route.name == "events" else "")


@dataclass
class Shut:
    """An admin API that has tokens: one of each role, and an operator's for some prompts."""

    admin: Admin
    secrets: dict[str, str]

    async def call(self, route: Route, token: str | None, prompt: str = "support-agent") -> Answer:
        headers = {} if token is None else {"authorization": f"Bearer {self.secrets[token]}"}
        body = None if route.method == "GET" else {}
        return await self.admin.call(route.method, path_of(route, prompt), body, **headers)

    async def last(self) -> dict[str, object]:
        headers = {"authorization": f"Bearer {self.secrets['viewer']}"}
        entry: dict[str, object] = (await self.admin.get("/v1/audit?limit=1", **headers)).body["entries"][0]
        return entry


@pytest.fixture
async def shut(admin: Admin) -> Shut:
    await admin.push("one")
    access = Access(admin.store)
    roles: tuple[Role, ...] = ("viewer", "operator", "admin")
    secrets = {role: (await access.create(role, role, (), BY)).secret for role in roles}
    secrets["limited"] = (await access.create("limited", "admin", ("support-*",), BY)).secret
    return Shut(admin, secrets)


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_a_lower_role_is_refused_and_written_down(shut: Shut, route: Route) -> None:
    assert route.role is not None
    lower = [None, *(role for role in RANKS if RANKS[role] < RANKS[route.role])]
    for role in lower:
        answer = await shut.call(route, role)
        expected = (401, "invalid_api_key") if role is None else (403, "forbidden")
        assert (answer.status, answer.body["code"]) == expected
        entry = await shut.last()
        assert (entry["action"], entry["actor"]) == ("refused", role or "anonymous")
        assert entry["after"] == {"operation": route.name, "needs": route.role, "code": expected[1]}
        assert entry["subject"] == ("support-agent" if "{prompt}" in route.path else "")


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_the_role_that_is_asked_for_is_enough(shut: Shut, route: Route) -> None:
    answer = await shut.call(route, route.role)
    assert answer.status not in (401, 403, 500)


@pytest.mark.parametrize("route", PUBLIC, ids=lambda route: route.name)
async def test_health_and_documentation_need_no_token(shut: Shut, route: Route) -> None:
    assert (await shut.call(route, None)).status == 200


@pytest.mark.parametrize(
    "route",
    [route for route in GUARDED if "{prompt}" in route.path or route.fleet],
    ids=lambda route: route.name,
)
async def test_a_limited_token_stays_within_its_prompts(shut: Shut, route: Route) -> None:
    refused = await shut.call(route, "limited", prompt="billing")
    assert (refused.status, refused.body["code"]) == (403, "forbidden")
    if not route.fleet:
        assert (await shut.call(route, "limited")).status not in (401, 403, 500)


async def test_a_limited_token_sees_its_prompts_only(admin: Admin) -> None:
    await admin.push("one")
    other = {"file": "---\nname: billing\n---\nsystem:\nBill.\n"}
    assert (await admin.post("/v1/prompts/billing/versions", other)).status == 201
    for prompt in ("billing", "support-agent"):
        await admin.post(f"/v1/prompts/{prompt}/deploy", {"version": 1})
        await admin.post(f"/v1/prompts/{prompt}/versions", {"file": other["file"].replace("Bill.", "Bi.")})
    started = await admin.post("/v1/prompts/billing/rollouts", {"version": 2, "weight": 0.1})
    issued = await Access(admin.store).create("some", "viewer", ("support-*",), BY)
    headers = {"authorization": f"Bearer {issued.secret}"}
    for path in ("/v1/live", "/v1/prompts"):
        page = await admin.get(path, **headers)
        assert [each["prompt"] for each in page.body["prompts"]] == ["support-agent"]
    entries = (await admin.get("/v1/audit", **headers)).body["entries"]
    assert {entry["subject"] for entry in entries} == {"support-agent"}
    refused = await admin.get(f"/v1/rollouts/{started.body['rollout']['id']}/replay", **headers)
    assert refused.status == 403


@pytest.mark.parametrize(
    "value", ["Basic YTpi", "Bearer", "Bearer  ", "pct_ci.x", "Bearer pct_ci.x", "Bearer \xff"]
)
async def test_bad_credentials(shut: Shut, value: str) -> None:
    answer = await shut.admin.get("/v1/live", authorization=value)
    assert (answer.status, answer.body["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_actor_is_the_token(shut: Shut) -> None:
    headers = {"authorization": f"Bearer {shut.secrets['operator']}"}
    path = "/v1/prompts/support-agent/deploy"
    await shut.admin.post(path, {"version": 1}, x_actor="eve", **headers)
    entry = await shut.last()
    assert (entry["action"], entry["actor"]) == ("deploy", "operator (eve)")


async def test_tokens_by_api(shut: Shut) -> None:
    headers = {"authorization": f"Bearer {shut.secrets['admin']}"}
    made = await shut.admin.post("/v1/tokens", {"name": "new", "role": "viewer"}, **headers)
    assert made.status == 201
    for _ in range(2):
        new = {"authorization": f"Bearer {made.body['secret']}"}
        assert (await shut.admin.get("/v1/live", **new)).status == 200
        made = await shut.admin.post("/v1/tokens/new/rotate", {}, **headers)
        assert (await shut.admin.get("/v1/live", **new)).status == 401
    listed = (await shut.admin.get("/v1/tokens", **headers)).body["tokens"]
    assert [each["name"] for each in listed] == ["admin", "limited", "new", "operator", "viewer"]
    assert not any("hash" in each for each in listed)
    gone = await shut.admin.post("/v1/tokens/new/revoke", {"reason": "not needed"}, **headers)
    assert gone.body["revoked_by"] == "admin"


async def test_refusals_fill_no_store(shut: Shut) -> None:
    for _ in range(70):
        await shut.admin.get("/v1/live")
    headers = {"authorization": f"Bearer {shut.secrets['viewer']}"}
    entries = (await shut.admin.get("/v1/audit?limit=1000", **headers)).body["entries"]
    assert len([entry for entry in entries if entry["action"] == "refused"]) == 60


async def test_another_name_of_this_machine_is_answered_with_a_token(shut: Shut) -> None:
    headers = {"authorization": f"Bearer {shut.secrets['viewer']}", "host": "admin.internal"}
    assert (await shut.admin.get("/v1/live", **headers)).status == 200
    assert (await shut.admin.get("/v1/live", host="admin.internal")).status == 403
