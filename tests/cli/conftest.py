"""The command line on a SQLite store, or through an admin API on a real socket: in this process where many
commands are tried, as a process of its own where that is what counts."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from gateway.cli import app
from gateway.control.administration import Own
from gateway.storage.sqlite import SqliteStore
from gateway.web import build_admin
from tests.support.stores import PATIENT

CONFIG = """\
upstream: {{base_url: "http://127.0.0.1:9/v1"}}
store: {{kind: sqlite, directory: "{folder}/store"}}
data_directory: {folder}/data
signing_keys: ["{key}"]
"""
KEY = "0123456789abcdef0123456789abcdef"
ENVIRONMENT = {"USER": "ann", "COLUMNS": "100"}


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Cli:
    folder: Path
    shared: Sequence[str] = ()

    def __call__(self, *arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments, *self.shared], env=ENVIRONMENT)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def process(self, *arguments: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, *self.shared],
            cwd=self.folder,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def write(self, text: str, name: str = "support-agent") -> str:
        path = self.folder / f"{name}.prompty"
        path.write_text(text)
        return str(path)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Without shared options: for commands that take none. The working directory is the test's own."""
    for name in ("PROMPT_CANARY_CONFIG", "PROMPT_CANARY_URL", "PROMPT_CANARY_ACTOR", "PROMPT_CANARY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(folder=tmp_path, key=KEY))
    return Cli(tmp_path)


@pytest.fixture
def on_store(local: Cli) -> Cli:
    return Cli(local.folder, ("--config", str(local.folder / "gateway.yaml")))


@pytest.fixture
def through_api(local: Cli) -> Iterator[Cli]:
    """The admin API in a thread with a loop of its own, as commands run loops of theirs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    store, runner, port = asyncio.run_coroutine_threadsafe(_serve(local.folder), loop).result()
    yield Cli(local.folder, ("--url", f"http://127.0.0.1:{port}"))
    for closing in (runner.cleanup(), store.close()):
        asyncio.run_coroutine_threadsafe(closing, loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _serve(folder: Path) -> tuple[SqliteStore, web.AppRunner, int]:
    async def readiness() -> dict[str, object]:
        return {"ready": True}

    store = SqliteStore(folder / "store", limits=PATIENT)
    await store.open()
    runner = web.AppRunner(build_admin(store, readiness, own=Own(signing_keys=(KEY,))), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return store, runner, runner.addresses[0][1]


@pytest.fixture(params=["on_store", "through_api"])
def cli(request: pytest.FixtureRequest) -> Cli:
    """Both ways to the prompts: what a test says holds for either."""
    found: Cli = request.getfixturevalue(request.param)
    return found
