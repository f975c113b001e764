"""From YAML to settings, with errors that name the file, the field, the value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from gateway.errors import ConfigError
from gateway.settings.model import Settings

SECRET = re.compile(r"(token|key|secret)s?(\.\d+)?$")
ENVIRONMENT = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def load_settings(text: str, *, source: str, environment: Mapping[str, str]) -> Settings:
    """Parse and validate YAML; `source` is the file's name for messages. Raises `ConfigError`."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: expected a mapping of settings, got {type(raw).__name__}")
    values = _substitute(raw, source, "", environment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(source, slip) for slip in error.errors())) from error


def _substitute(value: Any, source: str, field: str, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _substitute(v, source, f"{field}.{k}".lstrip("."), environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, source, f"{field}[{i}]", environment) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise ConfigError(f"{source}: {field}: environment variable {name} is not set")
        return environment[name]

    return ENVIRONMENT.sub(lookup, value)


def _explain(source: str, slip: Any) -> str:
    field = ".".join(str(part) for part in slip["loc"]) or "(top level)"
    if slip["type"] == "extra_forbidden":
        return f"{source}: {field}: unknown field; see docs/configuration.md for what there is"
    untold = slip["type"] == "missing" or isinstance(slip["input"], dict) or SECRET.search(field)
    given = "" if untold else f" (got {slip['input']!r})"
    return f"{source}: {field}: {slip['msg']}{given}"
