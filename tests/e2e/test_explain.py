"""What `explain` says is what the data path does: of sessions before and after their first request."""

import json
import subprocess
import sys

from tests.support.gateway import Gateway, ask_once

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


async def test_explained_as_served(gateway: Gateway) -> None:
    second = gateway.push("explained")
    view = gateway.start_rollout(second, 0.5)
    gateway.act("pause")
    try:
        until_it_counts(gateway)
        versions = set()
        for number in range(12):
            body = {"session": f"s{number}"}
            before = gateway.call("/v1/prompts/greeter/explain", body)
            answer = await ask_once(gateway.port, BODY, {"x-session-id": f"s{number}"})
            after = gateway.call("/v1/prompts/greeter/explain", body)
            request = gateway.call(f"/v1/requests/{answer.headers['x-request-id']}")
            assert {before["version"], after["version"], request["version"]} == {answer.version}
            assert before["pin"] is None
            assert after["pin"]["version"] == answer.version
            assert after["session"].startswith(request["session"])
            assert (request["prompt"], request["rollout"]) == ("greeter", view["rollout"]["id"])
            unnamed = gateway.call("/v1/explain", body)
            assert unnamed["why"] == ["it names no prompt, and the default is greeter", *after["why"]]
            versions.add(answer.version)
        assert versions == {1, second}
    finally:
        gateway.act("abort")


async def test_after_its_first_pin_a_session_is_explained_and_let_go_by_the_command_line(
    gateway: Gateway,
) -> None:
    gateway.start_rollout(gateway.push("kept"), 0.5)
    asked = ("greeter", "--session", "kept-1")
    try:
        until_it_counts(gateway)
        answer = await ask_once(gateway.port, BODY, {"x-session-id": "kept-1"})
        shown = run(gateway, "pin", "show", *asked, "--json")
        assert json.loads(shown)["pin"]["version"] == answer.version
        explained = run(gateway, "explain", *asked)
        assert explained.startswith(f"greeter/{answer.version} ({answer.arm}) at ")
        assert f"it was pinned to version {answer.version}" in explained
        assert explained.endswith("it keeps the version that it has\n")
        assert "its next request draws it again" in run(gateway, "pin", "clear", *asked, "--reason", "a test")
        assert "its next request draws it by its bucket" in run(gateway, "explain", *asked)
    finally:
        gateway.act("abort")


def until_it_counts(gateway: Gateway) -> None:
    """A second until the weight does."""
    while gateway.call("/v1/prompts/greeter/rollout")["rollout"]["weight"] != 0.5:
        pass


def run(gateway: Gateway, *arguments: str) -> str:
    """From afar: through the admin API."""
    command = [sys.executable, "-m", "gateway", *arguments, "--url", f"http://127.0.0.1:{gateway.admin}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
