"""What `explain` says is what the data path does: of sessions before and after their first request."""

from tests.support.gateway import Gateway, ask_once

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


async def test_explained_as_served(gateway: Gateway) -> None:
    second = gateway.push("explained")
    view = gateway.start_rollout(second, 0.5)
    gateway.act("pause")
    try:
        while gateway.call("/v1/prompts/greeter/rollout")["rollout"]["weight"] != 0.5:
            pass  # a second until the weight counts
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
            versions.add(answer.version)
        assert versions == {1, second}
    finally:
        gateway.act("abort")
