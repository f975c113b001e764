"""Which safety flags are severe: one that is real is one too many, whatever the rates of both arms say.

Own rules of a configuration are flags as well: `rule:name`, or `severe:name` for a severe one. `LOCAL` sees
what can be seen without a model; another detector, or a person, must see the same before it counts as real.
"""

from __future__ import annotations

SEVERE = frozenset({"personal", "secret", "leak"})
RULE, SEVERE_RULE = "rule:", "severe:"
LOCAL, JUDGE, MODERATION, PERSON = "local", "judge", "moderation", "person:"


def is_severe(flag: str) -> bool:
    """
    >>> is_severe("leak"), is_severe("severe:codename"), is_severe("rule:greeting")
    (True, True, False)
    """
    return flag in SEVERE or flag.startswith(SEVERE_RULE)
