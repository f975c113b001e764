"""`doctor` finds what is wrong, and says what to do."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.cli.doctor import of_clock
from tests.cli.conftest import Cli

CONFIG = """\
listen: {{port: {port}}}
admin: {{host: {host}, port: 0}}
upstream: {{base_url: "{upstream}"}}
store: {{kind: sqlite, directory: "{folder}/store"}}
data_directory: "{folder}/data"
"""


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def found(cli: Cli, **settings: Any) -> tuple[int, dict[str, tuple[str, str]]]:
    given = {"port": 0, "host": "127.0.0.1", "upstream": "http://127.0.0.1:9/v1", "folder": cli.folder}
    (cli.folder / "gateway.yaml").write_text(CONFIG.format(**given | settings))
    result = cli("doctor", "--config", "gateway.yaml", "--json")
    return result.code, {each["about"]: (each["state"], each["says"]) for each in json.loads(result.out)}


def test_all_is_well(local: Cli, listening: int) -> None:
    code, findings = found(local, upstream=f"http://127.0.0.1:{listening}/v1")
    assert code == 0
    assert findings["upstream default"] == ("ok", f"127.0.0.1:{listening} accepts connections")
    assert findings["store"][0] == "ok"
    assert {state for state, _ in findings.values()} == {"ok", "note"}


def test_what_is_wrong_is_found(local: Cli, listening: int) -> None:
    upstream = "http://127.0.0.1:9/v1"
    code, findings = found(local, port=listening, host="0.0.0.0", upstream=upstream)
    assert code == 1
    assert findings["port"] == ("note", f"127.0.0.1:{listening}: Address already in use")
    assert findings["admin API"] == ("fail", "no tokens, and admin.host is 0.0.0.0")
    assert findings["upstream default"][0] == "fail"


def test_a_store_that_cannot_be_used(local: Cli) -> None:
    (local.folder / "store").write_text("a file")
    code, findings = found(local)
    assert (code, findings["store"][0]) == (1, "fail")
    assert "clock" not in findings


def test_keys_that_others_can_read_and_overrides(local: Cli) -> None:
    data = local.folder / "data"
    data.mkdir()
    (data / "signing.key").write_text("k" * 64)
    (data / "signing.key").chmod(0o644)
    (data / "overrides.json").write_text('{"support-agent": 2}')
    _, findings = found(local)
    assert findings["signing keys"] == ("note", f"{data}/signing.key has mode 644: others can read it")
    assert findings["overrides"] == ("note", "this machine serves support-agent=2")


def test_tokens_are_seen(local: Cli) -> None:
    assert found(local)[1]["admin API"][0] == "note"
    assert local("token", "create", "root", "--config", "gateway.yaml").code == 0
    assert found(local)[1]["admin API"] == ("ok", "asks for a token")


@pytest.mark.parametrize(("ahead", "state"), [(0.2, "ok"), (-0.9, "ok"), (5.0, "note"), (-31.0, "fail")])
def test_clocks(ahead: float, state: str) -> None:
    assert of_clock(ahead).state == state
