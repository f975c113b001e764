"""The story of `prompt-canary demo`: a gateway with the simulated provider, real traffic through the OpenAI
SDK, a version that is better and one that breaks. Only the provider and a hurried policy are staged.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import openai
from openai import AsyncOpenAI

from gateway.cli.api import AdminApi
from gateway.cli.remote import RemoteAdministration, RemoteOperations
from gateway.control.plan import By
from gateway.control.rollouts import Start
from gateway.control.views import RolloutView
from gateway.errors import GatewayError

PROMPT = "support-agent"
USERS = 6  # conversations at once
PAUSE = 0.05  # s between two messages of a conversation
PATIENCE = 90.0  # s for a gateway to start, and for each rollout to end
BY = By("demo", "the demo")

CONFIG = """\
workers: 2
listen: {{port: {port}}}
admin: {{port: {admin}}}
simulator: {{port: {provider}, scenario: {folder}/scenario.yaml}}
upstream: {{name: simulated, base_url: "http://127.0.0.1:{provider}/v1"}}
store: {{kind: sqlite, directory: {folder}/store}}
data_directory: {folder}/data
bindings: {{default: support-agent}}
policies:
  hurried:
    stages: [20%, 50%]
    min_bake: [5s, 5s]
    max_bake: 1h
    min_units: 20
    tolerance: {{errors: 20%, p50: 50%, p90: 50%, tokens: 50%, cost: 50%}}
    gates: [errors]
    holdback: {{share: .1, watch: 8s}}
evidence: {{watermark: 1, judge_limit: 1, event_window: 1, upstream_limit: 1, latency_warmup: 0}}
"""
SCENARIO = """\
default: {first_token_ms: 5, gap_ms: 0, tokens: 12}
rules:
  - {name: breaks, contains: Answer in XML, behaviour: {error_rate: 0.5, error_status: 422}}
"""
VERSION = """\
---
name: support-agent
metadata: {{change: {change}}}
model: {{id: gpt-4o-mini}}
---
system:
{text}
"""
VERSIONS = (
    ("first", "You help customers."),
    ("kinder", "You help customers, and you are kind."),
    ("machine-readable answers", "You help customers. Answer in XML."),
)


class Story:
    def __init__(self, folder: Path, as_json: bool) -> None:
        self.folder = folder
        self.as_json = as_json
        self.port, self.admin, self.provider = free_ports(3)
        api = AdminApi(f"http://127.0.0.1:{self.admin}")
        self.operations, self.administration = RemoteOperations(api), RemoteAdministration(api)
        self.answered: Counter[int] = Counter()  # by version
        self.failed = 0
        self.last_session = ""
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        after = time.monotonic() - self._began
        step = (
            json.dumps({"seconds": round(after, 1), "says": text})
            if self.as_json
            else f"{after:5.1f} s  {text}"
        )
        print(step, flush=True)

    # --- the gateway

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        config = self.folder / "gateway.yaml"
        fields = {"port": self.port, "admin": self.admin, "provider": self.provider, "folder": self.folder}
        config.write_text(CONFIG.format(**fields))
        (self.folder / "scenario.yaml").write_text(SCENARIO)
        with (self.folder / "log.txt").open("wb") as log:
            command = (sys.executable, "-m", "gateway", "serve", "--config", str(config))
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            await self._until_up(process)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

    async def _until_up(self, process: Process) -> None:
        async with asyncio.timeout(PATIENCE):
            while process.returncode is None:
                with contextlib.suppress(GatewayError):
                    await self.operations.prompts()
                    return
                await asyncio.sleep(0.1)
        raise SystemExit(f"the gateway ended at its start:\n{(self.folder / 'log.txt').read_text()}")

    # --- traffic

    async def users(self, stop: asyncio.Event) -> None:
        """Conversations of two messages, one after the other, through the official client."""
        url = f"http://127.0.0.1:{self.port}/v1"
        client = AsyncOpenAI(base_url=url, api_key="unused", max_retries=0)
        async with client, asyncio.TaskGroup() as tasks:
            for user in range(USERS):
                tasks.create_task(self._converse(client, user, stop))

    async def _converse(self, client: AsyncOpenAI, user: int, stop: asyncio.Event) -> None:
        for conversation in itertools.count():
            session = f"user-{user}-{conversation}"
            for _ in range(2):
                if stop.is_set():
                    return
                await self._ask(client, session)
                await asyncio.sleep(PAUSE)

    async def _ask(self, client: AsyncOpenAI, session: str) -> None:
        try:
            answer = await client.chat.completions.with_raw_response.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"I am {session}. Where is my parcel?"}],
                extra_headers={"x-session-id": session},
            )
        except openai.APIStatusError:
            self.failed += 1
            return
        self.answered[int(answer.headers["x-prompt-version"])] += 1
        self.last_session = session

    # --- what people do

    async def push(self, number: int) -> None:
        change, text = VERSIONS[number - 1]
        pushed = await self.operations.push(VERSION.format(change=change, text=text), "demo", BY)
        self.say(f"pushed {PROMPT}/{pushed.version}: {change!r}")

    async def roll_out(self, number: int) -> RolloutView:
        """Start it, tell what happens, and return it once it has ended."""
        await self.push(number)
        await self.operations.start(PROMPT, Start(number, policy="hurried"), BY)
        self.say("its rollout started under the policy 'hurried': from here on nobody touches it")
        told = ""
        async with asyncio.timeout(PATIENCE):
            while True:
                view = (await self.operations.rollouts(PROMPT))[0]
                now = stage_of(view)
                if now != told:
                    self.say(now)
                    told = now
                if view.phase in ("promoted", "rolled_back", "aborted"):
                    return view
                await asyncio.sleep(0.2)


def stage_of(view: RolloutView) -> str:
    if view.phase == "rolled_back":
        return f"ROLLED BACK by {view.ended_by}: {view.end_reason}"
    if view.phase != "progressing":
        return f"{view.phase.upper()} by {view.ended_by}"
    if view.hold is not None:
        return f"it holds ({view.hold.reason}): {view.hold.detail}"
    if view.watch:
        return f"version {view.candidate} is live; 10 % stay on version {view.baseline} while it is watched"
    return f"stage {view.stage + 1} of {view.stages}: {view.weights[-1].value:.0%} of new sessions"


async def tell(story: Story, check: Callable[[bool, str], None]) -> None:
    story.say(f"gateway http://127.0.0.1:{story.port}/v1, admin API http://127.0.0.1:{story.admin}")
    await story.push(1)
    await story.operations.deploy(PROMPT, 1, BY)
    story.say("version 1 is live")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(story.users(stop))
        try:
            good = await story.roll_out(2)
            check(good.phase == "promoted", "the good version went to everyone by itself")
            bad = await story.roll_out(3)
            check(bad.phase == "rolled_back", "the broken version was rolled back by itself")
            await asyncio.sleep(1.0)  # after which no request is answered by the canary
            before = story.answered[3]
            await asyncio.sleep(2.0)
            check(story.answered[3] == before, "nobody got it any more a second later")
            await explain(story)
        finally:
            stop.set()
    for view in (good, bad):
        replayed = await story.operations.replay(view.id)
        count, version = replayed.decisions, view.candidate
        check(replayed.agree, f"{count} decisions on version {version} were reached again from the evidence")
    proof = await story.operations.verify_audit()
    check(proof.ok, f"the audit log's {proof.entries} entries are a whole chain")
    counts = ", ".join(f"version {version}: {count}" for version, count in sorted(story.answered.items()))
    story.say(f"answers: {counts}; {story.failed} failed under version 3, as the provider was told to")


async def explain(story: Story) -> None:
    found = await story.administration.explain_session(PROMPT, story.last_session, "header", "")
    story.say(f"session {story.last_session} gets version {found.version}: {found.why[-1]}")


async def main(as_json: bool) -> int:
    failures = 0

    with tempfile.TemporaryDirectory(prefix="prompt-canary-demo-") as folder:
        story = Story(Path(folder), as_json)

        def check(holds: bool, what: str) -> None:
            nonlocal failures
            failures += not holds
            story.say(f"{'✓' if holds else '✗ NOT'} {what}")

        story.say("starting a gateway with two workers, SQLite and a simulated provider")
        async with story.gateway():
            await tell(story, check)
    story.say("done" if not failures else f"{failures} of the story's claims did not hold")
    return 1 if failures else 0


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


if __name__ == "__main__":
    sys.exit(asyncio.run(main("--json" in sys.argv)))
