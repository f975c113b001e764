"""Tokens on the command line, on the store and through an admin API that comes to ask for them."""

import re

from tests.cli.conftest import Cli


def test_tokens(cli: Cli) -> None:
    made = cli("token", "create", "ci", "--role", "admin", "--prompts", "support-*", "--prompts", "faq")
    assert made.code == 0
    text = re.fullmatch(
        r"token ci is admin of support-\*, faq\n\n(pct_ci\.[\w-]{43})\n\nIt is shown this once\.\n", made.out
    )
    assert text is not None


def test_a_life_on_the_store(on_store: Cli) -> None:
    assert "no tokens" in on_store("token", "list").out
    first = on_store("token", "create", "ci", "--json").json
    assert first["token"]["role"] == "viewer"
    again = on_store("token", "create", "ci")
    assert (again.code, "names are not used again" in again.err) == (1, True)
    second = on_store("token", "rotate", "ci", "--grace", "60", "--json").json
    assert second["secret"] != first["secret"]
    assert on_store("token", "revoke", "ci", "-r", "left").out.startswith("token ci is revoked since 20")
    (listed,) = on_store("token", "list", "--json").json
    assert (listed["name"], listed["revoked_by"]) == ("ci", "ann")
    entries = on_store("audit", "list", "--json").json["entries"]
    assert [(entry["action"], entry["reason"]) for entry in entries] == [
        *(("revoke_token", "left"), ("rotate_token", ""), ("create_token", "")),
    ]


def test_an_admin_api_that_asks_for_tokens(through_api: Cli) -> None:
    admin = through_api("token", "create", "root", "--role", "admin", "--json").json["secret"]
    without = through_api("live")
    assert (without.code, without.out) == (1, "")
    assert without.err.startswith("error: a token is needed")
    viewer = through_api("token", "create", "eve", "--token", admin, "--json").json["secret"]
    assert through_api("live", "--token", viewer).code == 0
    refused = through_api("rollout", "abort", "support-agent", "--token", viewer)
    assert (refused.code, refused.err) == (
        1,
        "error: abort needs the role operator; token eve is viewer\n",
    )
    assert through_api("live", "--token", "pct_ü.x").code == 2
    environment = through_api.process("token", "list", "--token", admin)
    assert (environment.code, environment.err) == (0, "")
    assert re.search(r"eve +viewer +all prompts +\d{4}", environment.out)
