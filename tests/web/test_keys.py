"""Client keys through the admin API."""

from tests.web.conftest import Admin


async def test_a_key_is_shown_once(admin: Admin) -> None:
    body = {"name": "shop", "prompts": ["support-*"], "permissions": ["preview"], "rate": 10, "reason": "new"}
    made = await admin.post("/v1/keys", body, x_actor="ann")
    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    assert made.body["key"].startswith(f"pck_{made.body['id']}_")
    listed = (await admin.get("/v1/keys")).body["keys"]
    expected = {name: value for name, value in made.body.items() if name != "key"}
    assert listed == [expected]
    assert expected["created_by"] == "ann"


async def test_a_key_is_revoked(admin: Admin) -> None:
    made = (await admin.post("/v1/keys", {"name": "shop"})).body
    revoked = await admin.post(f"/v1/keys/{made['id']}/revoke", {"reason": "left"}, x_actor="bob")
    assert (revoked.status, revoked.body["revoked_by"]) == (200, "bob")
    assert (await admin.post("/v1/keys/nobody/revoke")).body["code"] == "not_found"


async def test_what_makes_no_sense_is_refused(admin: Admin) -> None:
    for body, word in (
        ({"name": "No"}, "name"),
        ({"name": "a", "permissions": ["root"]}, "permissions"),
        ({"name": "a", "rate": 0}, "rate"),
        ({"name": "a", "ratee": 1}, "ratee"),
    ):
        answer = await admin.post("/v1/keys", body)
        assert (answer.status, answer.body["code"]) == (400, "invalid_value")
        assert word in answer.body["detail"]
