"""Who may ask: programs of this machine, and no other site's page in a browser on it."""

import pytest

from tests.web.conftest import Admin

DEPLOY = "/v1/prompts/support-agent/deploy"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::2]", "a@127.0.0.1"]
)
async def test_other_names_for_this_machine_are_refused(admin: Admin, host: str) -> None:
    answer = await admin.get("/v1/live", host=host)
    assert (answer.status, answer.body["code"]) == (403, "forbidden")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "[::1]:8081"])
async def test_loopback_names_are_answered(admin: Admin, host: str) -> None:
    assert (await admin.get("/v1/live", host=host)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
async def test_requests_of_other_pages_are_refused(admin: Admin, headers: dict[str, str]) -> None:
    await admin.push("one")
    answer = await admin.post(DEPLOY, {"version": 1}, **headers)
    assert (answer.status, answer.body["code"]) == (403, "forbidden")


async def test_our_own_page_may_ask(admin: Admin) -> None:
    await admin.push("one")
    headers = {"origin": admin.url, "sec_fetch_site": "same-origin"}
    assert (await admin.post(DEPLOY, {"version": 1}, **headers)).status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_simple_requests_of_browsers_are_refused(admin: Admin, kind: str) -> None:
    async with admin.session.post(
        admin.url + DEPLOY, data=b'{"version": 1}', headers={"content-type": kind}
    ) as response:
        body = await response.json(content_type=None)
        assert (response.status, body["code"]) == (415, "unsupported_media_type")
