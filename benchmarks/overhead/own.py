"""This gateway, in five amounts of what it does.

pass      no prompt applies: the body is looked at and passes unchanged
managed   a prompt is injected; no rollout
by hand   a rollout by hand at 10 %: pins
rollout   a rollout under a policy at 10 %: pins, evidence, the fold and the decisions on it
all       the same, and one request in a hundred is traced to a collector
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.overhead import cpu
from benchmarks.overhead.peers import START_LIMIT, Peer, Upstream, free_port, process

MODES = ("pass", "managed", "by hand", "rollout", "all")
LEAD = 2.0  # s; a weight takes effect one second after its commit

CONFIG = """\
workers: {workers}
listen: {{port: {port}}}
admin: {{port: {admin}}}
store: {{kind: sqlite, directory: {folder}/data}}
data_directory: {folder}/data
upstream: {{base_url: "{scheme}://localhost:{upstream}/v1", verify_tls: false}}
limits: {{requests_per_connection: 1000000, prompt_cache: 4096}}
# Fixed at 10 %, and too patient to decide: what is measured stays what it is.
policies: {{bench: {{extends: fast, stages: [0.1], min_bake: [6h], gates: [errors]}}}}
{extra}
"""

PROMPT = """\
---
name: {name}
model: {{id: gpt-4o-mini, options: {{temperature: 0.1}}}}
---
system:
You are a support agent. Answer in at most three sentences and ask back when unsure. {edition}
"""


@contextlib.contextmanager
def gateway(
    folder: Path,
    upstream: Upstream,
    mode: str,
    *,
    workers: int = 1,
    prepare: Callable[[Path], None] | None = None,
    collector: int = 0,
    pinned: bool = True,
) -> Iterator[tuple[Peer, int]]:
    """The peer and its admin port. `prepare` fills the store's folder before the start."""
    folder.mkdir(parents=True, exist_ok=True)
    port, admin, config, log = free_port(), free_port(), folder / "gateway.yaml", folder / "gateway.log"
    values = {"port": port, "admin": admin, "folder": folder, "upstream": upstream.port, "workers": workers}
    extra = _extra(folder, mode, collector)
    config.write_text(CONFIG.format(extra=extra, scheme=upstream.scheme, **values))
    if prepare is not None:
        prepare(folder / "data")
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    with process(command, log) as started:
        wait_until_ready(admin, log)
        if mode in ("by hand", "rollout", "all"):
            start_rollout(admin, by_hand=mode == "by hand")
        children = call(admin, "/readyz")["children"]
        if pinned:
            cpu.pin_tree(started.pid, cpu.MEASURED)
        yield Peer(f"gateway, {mode}", port, started.pid, children["worker-0"]["pid"]), admin


def _extra(folder: Path, mode: str, collector: int) -> str:
    if mode == "pass":
        return ""
    prompts = folder / "prompts"
    prompts.mkdir(exist_ok=True)
    (prompts / "bench.prompty").write_text(PROMPT.format(name="bench", edition="First edition."))
    lines = [f"seed: {{directory: {prompts}, deploy: true}}", "bindings: {default: bench}"]
    if mode == "all":
        lines.append(f'traces: {{endpoint: "http://127.0.0.1:{collector}", sample: 0.01}}')
    return "\n".join(lines)


def workers_of(admin: int) -> list[int]:
    children = call(admin, "/readyz")["children"]
    return [child["pid"] for name, child in sorted(children.items()) if name.startswith("worker-")]


def wait_until_ready(admin: int, log: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            if call(admin, "/readyz")["ready"]:
                return
        time.sleep(0.05)
    raise TimeoutError(f"the gateway is not ready: {log.read_text(errors='replace')[-2000:]}")


def call(admin: int, path: str, body: object = None) -> Any:
    """One request to the admin API, JSON in and out."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}{path}", data, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 503:
            raise
        raise RuntimeError(f"{path}: {error.read()[:500]!r}") from error


def text(admin: int, path: str) -> str:
    """What the admin port answers there, in words."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}{path}", timeout=10) as answer:
        found: str = answer.read().decode()
    return found


def start_rollout(admin: int, prompt: str = "bench", *, by_hand: bool = False) -> None:
    text = PROMPT.format(name=prompt, edition=f"Edition of {time.monotonic_ns()}.")
    version = call(admin, f"/v1/prompts/{prompt}/versions", {"file": text})["version"]
    how = {"weight": 0.1} if by_hand else {"policy": "bench"}
    body = {"version": version, "reason": "benchmark", **how}
    call(admin, f"/v1/prompts/{prompt}/rollouts", body)
    time.sleep(LEAD)
