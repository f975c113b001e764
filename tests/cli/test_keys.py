"""`prompt-canary keys`, on the store and through the admin API alike."""

from tests.cli.conftest import Cli


def test_a_key_s_life(cli: Cli) -> None:
    assert "no keys yet" in cli("keys", "list").out
    made = cli(
        "keys", "create", "shop", "--prompt", "a*", "--prompt", "b", "--allow", "preview", "--rate", "5"
    )
    assert made.code == 0, made.err
    key = made.out.split()[0]
    assert key.startswith("pck_")
    id = key[4:16]
    assert f"(id {id})" in made.out
    [listed] = cli("keys", "list", "--json").json
    assert (listed["id"], listed["prompts"], listed["permissions"]) == (id, ["a*", "b"], ["preview"])
    table = cli("keys", "list").out
    assert "a* b" in table
    assert "5/s" in table
    assert key not in table
    revoked = cli("keys", "revoke", id, "--reason", "left", "--actor", "bob", "--json").json
    assert revoked["revoked_by"] == "bob"
    [entry, _] = cli("audit", "list", "--json").json["entries"]
    assert (entry["action"], entry["reason"]) == ("revoke_key", "left")


def test_slips_are_named(cli: Cli) -> None:
    wrong = cli("keys", "create", "shop", "--allow", "root")
    assert (wrong.code, "explicit_versions, preview, unmanaged" in wrong.err) == (1, True)
    assert cli("keys", "create", "No Name").code == 1
    missing = cli("keys", "revoke", "nobody")
    assert (missing.code, missing.err) == (1, "error: there is no client key 'nobody'\n")
