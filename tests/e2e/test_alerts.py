"""A whole gateway tells people what happened, also when the process that tells them dies."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import signal
import time
from pathlib import Path

from tests.support.gateway import Gateway, descendants, make_gateway, running
from tests.support.receiver import Got, receiving

SECRET = "0123456789abcdef"
ALERTS = (
    "alerts: {{retry_first: 0.2, timeout: 1, targets: [{{name: hook, url: {url}, secrets: [{secret}]}}]}}"
)


def is_ours(got: Got) -> bool:
    at, sign = (part.partition("=")[2] for part in got.headers["x-prompt-canary-signature"].split(","))
    made = hmac.new(SECRET.encode(), at.encode() + b"." + got.raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(made, sign)


def kill_services(gateway: Gateway) -> None:
    assert gateway.process is not None
    for pid in descendants(gateway.process.pid):
        with contextlib.suppress(OSError):
            if b"\0services\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                return
    raise AssertionError("there is no services process")


async def test_rollbacks_and_emergencies_arrive(folder: Path) -> None:
    async with receiving() as receiver:
        gateway = make_gateway(folder, workers=1, extra=ALERTS.format(url=receiver.url, secret=SECRET))
        receiver.answers = [500]
        with running(gateway):
            second = await asyncio.to_thread(gateway.push, "second")
            await asyncio.to_thread(gateway.start_rollout, second, 0.5)
            await asyncio.to_thread(gateway.act, "roll_back")
            failed, arrived = await receiver.wait(2)
            assert failed.body == arrived.body
            kill_services(gateway)
            body = {"version": second, "emergency": True, "reason": "the other one is down"}
            await asyncio.to_thread(patiently, gateway, "/v1/prompts/greeter/deploy", body)
            count = 3
            while "emergency" not in {each.body["event"] for each in await receiver.wait(count)}:
                count += 1  # one that was not noted before the death comes again
        ids = dict.fromkeys(each.headers["x-prompt-canary-id"] for each in receiver.got)
        by_id = {each.headers["x-prompt-canary-id"]: each for each in receiver.got}
        got = [by_id[id] for id in ids]
        assert [each.body["event"] for each in got] == ["rollback", "emergency"]
        assert got[0].body["candidate"] == second
        assert got[1].body["reason"] == "the other one is down"
        assert all(map(is_ours, got))
        assert "Traceback" not in gateway.log()


def patiently(gateway: Gateway, path: str, body: object) -> None:
    """The admin API is started again meanwhile."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            gateway.call(path, body)
            return
        time.sleep(0.05)
    raise AssertionError("the admin API does not answer")
