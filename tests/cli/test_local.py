"""Commands that concern this machine, and what goes wrong before there is a store."""

import socket
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.cli.conftest import Cli
from tests.support.prompts import prompt_text

ROOT = Path(__file__).parents[2]


def test_config_check(local: Cli) -> None:
    good = local("config", "check", "gateway.yaml", "--json")
    assert good.json["upstreams"] == ["http://127.0.0.1:9/v1"]
    (local.folder / "bad.yaml").write_text("upstream: {base_url: nowhere}\nworkers: 0\nsurprise: 1\n")
    bad = local("config", "check", "bad.yaml")
    assert (bad.code, bad.out) == (2, "")
    for field in ("upstream.base_url", "workers", "surprise"):
        assert f"bad.yaml: {field}: " in bad.err
    assert bad.err.count("\n") == 1


def test_the_reference_is_the_page_and_as_json_a_schema(local: Cli) -> None:
    printed = local.process("config", "reference")
    assert (printed.code, printed.out) == (0, (ROOT / "docs" / "configuration.md").read_text())
    schema = local.process("config", "reference", "--json").json
    checker = jsonschema.Draft202012Validator(schema)
    checker.validate(yaml.safe_load((ROOT / "config" / "quickstart.yaml").read_text()))
    assert not checker.is_valid({"workers": "many"})


def test_a_missing_configuration_is_exit_code_2(local: Cli) -> None:
    for arguments in (("live",), ("serve",), ("rollout", "rollback", "support-agent")):
        result = local(*arguments, "--config", "none.yaml")
        assert (result.code, result.err) == (
            2,
            "error: none.yaml: cannot be read: No such file or directory\n",
        )


def test_usage_errors_are_exit_code_2(local: Cli) -> None:
    assert (local("deploy", "support-agent", "one")).code == 2
    assert (local("explode")).code == 2
    assert (local("live", "--url", "ftp://x")).code == 2
    assert (local("push", "none.prompty", "--url", "http://127.0.0.1:1")).code == 2


def test_an_admin_api_that_is_down_is_exit_code_3(local: Cli) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = local("live", "--url", url)
    assert result.code == 3
    assert result.err.startswith(f"error: the admin API {url} cannot be reached")


def test_a_store_that_cannot_be_used_says_so(on_store: Cli) -> None:
    (on_store.folder / "store").write_text("a file, not a folder")
    result = on_store("live")
    assert result.code in (2, 3)
    assert str(on_store.folder / "store") in result.err


def test_the_environment_names_configuration_and_values(
    local: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    local.write(prompt_text())
    monkeypatch.setenv("PC_TEST_FOLDER", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PROMPT_CANARY_CONFIG", "gateway.yaml")
    config = (tmp_path / "gateway.yaml").read_text().replace(f"{tmp_path}/store", "${env:PC_TEST_FOLDER}")
    (tmp_path / "gateway.yaml").write_text(config)
    assert local("push", ".").code == 0
    assert (tmp_path / "elsewhere" / "documents.db").exists()


def test_a_shell_completes_commands(local: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PROMPT_CANARY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "prompt-canary rollout p")
    monkeypatch.setenv("COMP_CWORD", "2")
    completed = local.process()
    assert completed.out.split() == ["pause", "promote"]
