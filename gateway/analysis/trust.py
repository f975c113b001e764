"""What follows from doubts about the judge. Harm is tested all the same: a judge that is wrong is wrong of
both arms alike, so it may cost a rollback, but it promotes nothing by itself.
"""

from __future__ import annotations

from typing import Literal

from gateway.domain.policy import Policy

Doubt = Literal[
    "",
    "uncalibrated",  # nobody has shown that it agrees with people
    "drift",  # it scores the same answers differently from when it began
]
UNCALIBRATED = (
    "the judge is the only ground for this promotion, and nobody has shown that it agrees with people: run "
    "`prompt-canary judge calibrate` on labelled answers, or let the policy have other gates too"
)
DRIFT = "the judge scores its anchors differently from when it began: nothing is decided on its scores"


def forbids_more(policy: Policy, doubt: Doubt) -> str:
    """Why neither a stage nor the watch may end; "" if nothing speaks against it."""
    return DRIFT if doubt == "drift" and "judge" in policy.gates else ""


def forbids_promotion(policy: Policy, doubt: Doubt) -> str:
    """Why every gate may have passed and it is not promoted all the same; "" if nothing speaks against it."""
    return UNCALIBRATED if doubt == "uncalibrated" and set(policy.gates) == {"judge"} else ""
