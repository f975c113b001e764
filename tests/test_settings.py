"""Configuration errors name the file, the field, the value and what is allowed."""

import pytest

from gateway.errors import ConfigError
from gateway.settings import RedisSettings, Settings, load_settings

UPSTREAM = "upstream: {base_url: 'http://127.0.0.1:1/v1'}\n"
GIVEN = "upstream: {base_url: 'http://127.0.0.1:1/v1', "


def load(text: str, **environment: str) -> Settings:
    return load_settings(text, source="gateway.yaml", environment=environment)


def test_the_least_that_works() -> None:
    settings = load(UPSTREAM)
    assert (settings.listen.port, settings.admin.port, settings.workers) == (8080, 8081, 2)


def test_the_environment_fills_strings() -> None:
    settings = load(UPSTREAM + "data_directory: '${env:HOME_OF_DATA}/x'", HOME_OF_DATA="/srv")
    assert settings.data_directory == "/srv/x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("upstream: [", "gateway.yaml: not YAML"),
        ("- 1", "gateway.yaml: expected a mapping"),
        ("workers: 2", "Value error, name one provider as `upstream: {base_url: …}` or several"),
        (UPSTREAM + "upstreams: [{base_url: 'http://a'}]", "several as `upstreams: [{name: …, base_url: …}"),
        ("upstreams: [{base_url: 'http://a'}, {base_url: 'http://b'}]", "the name 'default' is there twice"),
        ("upstreams: [{base_url: 'a'}]", "gateway.yaml: upstreams.0.base_url: Value error, must be http"),
        (GIVEN + "paths: {chat: /x}}", "upstream.paths: Value error, route 'chat' must start with /"),
        (
            GIVEN + "paths: {/chat: /x/*}}",
            "path '/x/*' must start with /; its * stands",
        ),
        (GIVEN + "paths: {/chat: '/{deployment}'}}", "only {model} is known in braces"),
        (GIVEN + "headers: {Host: x}}", "upstream.headers: Value error, host cannot be set"),
        (GIVEN + 'headers: {x-a: "b\\r\\nc"}}', "upstream.headers.x-a: String should match pattern"),
        (GIVEN + "key_header: 'a b'}", "upstream.key_header: String should match pattern"),
        (GIVEN + "weight: 0}", "upstream.weight: Input should be greater than 0"),
        (UPSTREAM + "worker: 2", "gateway.yaml: worker: unknown field"),
        (
            UPSTREAM + "workers: 0",
            "gateway.yaml: workers: Input should be greater than or equal to 1 (got 0)",
        ),
        (UPSTREAM + "workers: many", "gateway.yaml: workers: Input should be a valid integer"),
        (UPSTREAM + "listen: {port: 70000}", "gateway.yaml: listen.port: Input should be less than or equal"),
        (UPSTREAM + "admin: {bootstrap_token: short}", "admin.bootstrap_token: String should have at least"),
        ("upstream: {base_url: api.example}", "gateway.yaml: upstream.base_url: Value error, must be http"),
        (UPSTREAM + "bindings: {default: 'No Name'}", "gateway.yaml: bindings.default: String should match"),
        (UPSTREAM + "data_directory: '${env:NOT_THERE}'", "environment variable NOT_THERE is not set"),
        (UPSTREAM + "store: {kind: mongo}", "gateway.yaml: store"),
        (UPSTREAM + "store: {kind: redis, url: 'redis://x'}", "signing_keys is needed with a Redis store"),
    ],
)
def test_an_error_says_where_and_what(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert says in caught.value.message


def test_redis_is_told_by_its_kind() -> None:
    settings = load(UPSTREAM + f"store: {{kind: redis, url: 'redis://x'}}\nsigning_keys: ['{'k' * 32}']")
    assert isinstance(settings.store, RedisSettings)


def test_secrets_are_not_shown() -> None:
    settings = load(UPSTREAM + f"signing_keys: ['{'k' * 32}']")
    assert "k" * 32 not in repr(settings)


def test_a_policy_with_a_shadow_stage_needs_a_judge() -> None:
    policy = "policies: {mine: {extends: standard, stages: [shadow, 0.05, 0.5]}}\n"
    with pytest.raises(ConfigError, match=r"policies\.mine: a shadow stage .* add the section judge"):
        load(UPSTREAM + policy)
    settings = load(UPSTREAM + policy + "judge: {base_url: 'http://127.0.0.1:1/v1', model: m}")
    assert settings.shadow.per_minute == 4.0
