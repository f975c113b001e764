"""Typed settings of config/*.yaml: every field is declared, documented and limited here, once.

`load_settings` is pure: the caller reads the file and passes the environment. `${env:NAME}` is allowed in
string values and nowhere else. An error names the file, the field, the value and what is allowed.

    alerts      who is told of what
    base        words for all sections
    providers   upstreams, breakers, prices
    judge       the judge's model, rubrics and limits
    safety      own rules, moderation, cases
    shadow      copies of stable requests for a shadow stage
    telemetry   traces, metrics, logs
    model       every section, and the whole
    load        YAML to settings
"""

from gateway.settings.alerts import Alerts, AlertTarget
from gateway.settings.base import KIB, MIB, Section
from gateway.settings.judge import EvalSettings, JudgeSettings
from gateway.settings.load import load_settings
from gateway.settings.model import (
    Admin,
    Bindings,
    EvidenceSettings,
    FeedbackSettings,
    Limits,
    Listen,
    RedisSettings,
    Seed,
    Sessions,
    SessionSource,
    Settings,
    SimulatorSettings,
    SqliteSettings,
    Timeouts,
    policies_of,
)
from gateway.settings.providers import Breaker, Price, Upstream
from gateway.settings.safety import Moderation, SafetyRule, SafetySettings
from gateway.settings.shadow import ShadowSettings
from gateway.settings.telemetry import Logs, Metrics, Traces

__all__ = [
    "KIB",
    "MIB",
    "Admin",
    "AlertTarget",
    "Alerts",
    "Bindings",
    "Breaker",
    "EvalSettings",
    "EvidenceSettings",
    "FeedbackSettings",
    "JudgeSettings",
    "Limits",
    "Listen",
    "Logs",
    "Metrics",
    "Moderation",
    "Price",
    "RedisSettings",
    "SafetyRule",
    "SafetySettings",
    "Section",
    "Seed",
    "SessionSource",
    "Sessions",
    "Settings",
    "ShadowSettings",
    "SimulatorSettings",
    "SqliteSettings",
    "Timeouts",
    "Traces",
    "Upstream",
    "load_settings",
    "policies_of",
]
