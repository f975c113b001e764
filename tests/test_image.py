"""What the image's stages do, without an engine: the same commands into an empty directory, then the entry
point from there, beside no sources. It takes a minute, most of it for installing packages."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import ask_once, free_ports
from tests.support.image import Image
from tests.support.worker import chat_body

CONFIG = """\
workers: 1
listen: {{port: {port}}}
admin: {{port: {admin}}}
store: {{kind: sqlite, directory: {folder}/data}}
data_directory: {folder}/data
simulator: {{port: {simulator}, scenario: {etc}/scenarios/quickstart.yaml}}
upstream: {{base_url: "http://127.0.0.1:{simulator}/v1"}}
seed: {{directory: {etc}/prompts, deploy: true}}
bindings: {{default: support-agent}}
"""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Interpreted, as `--build-arg PROMPT_CANARY_PURE=1` makes it: compiling is what `make deps` does."""
    built = Image(tmp_path_factory.mktemp("image"))
    built.build(PROMPT_CANARY_PURE="1")
    return built


@contextlib.contextmanager
def started(image: Image, folder: Path, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*image.entry, *arguments], cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def test_every_command_but_the_system_s_was_run(image: Image) -> None:
    assert [command.split()[0] for command in image.skipped] == ["apt-get", "useradd"]
    assert [command.split()[1] for command in image.ran] == ["-m", "install", "install"]
    assert not (image.folder / "src").exists()


def test_the_gateway_is_what_was_installed(image: Image, tmp_path: Path) -> None:
    python = image.folder / "opt" / "venv" / "bin" / "python"
    code = "import gateway, openai, uvloop; print(gateway.__file__)"
    where = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert where.stdout.startswith(str(image.folder))
    lua = list((image.folder / "opt" / "venv").glob("lib/*/site-packages/gateway/storage/lua/*.lua"))
    assert lua


def test_the_entry_point_serves_is_healthy_and_drains(image: Image, tmp_path: Path) -> None:
    port, admin, simulator = free_ports(3)
    own = tmp_path / "gateway.yaml"
    own.write_text(CONFIG.format(port=port, admin=admin, simulator=simulator, etc=image.etc, folder=tmp_path))
    healthy = [part.replace("8081", str(admin)) for part in image.healthy]
    with started(image, tmp_path, ["serve", "--config", str(own)]) as process:
        limit = time.monotonic() + 60
        while subprocess.run(healthy, check=False, stderr=subprocess.DEVNULL).returncode:
            assert process.poll() is None and time.monotonic() < limit, "it does not become healthy"
            time.sleep(0.2)
        while (
            answer := asyncio.run(ask_once(port, chat_body()))
        ).status != 200:  # its prompts are being pushed
            assert process.poll() is None and time.monotonic() < limit, answer.body
            time.sleep(0.2)
        assert answer.headers["x-prompt-name"] == "support-agent"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert image.command[0] == "serve"
    assert Path(image.command[-1]).is_file()
