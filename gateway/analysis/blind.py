"""Gates that can never pass, because the sessions bring nothing for them: no judge, no price."""

from __future__ import annotations

from gateway.analysis.state import State
from gateway.domain.policy import Policy

ENOUGH = 30  # sessions of an arm, final: if none of them brought anything, none will
ARMS = ("stable's", "the canary's")


def without_data(policy: Policy, state: State) -> tuple[str, ...]:
    """A warning for each such gate. The other gates are fed by every session."""
    final = state.comparisons["errors"].effect.units  # those that reached the model
    found = []
    if "judge" in policy.gates and final[1] >= ENOUGH and not sum(state.completeness.sampled):
        found.append(
            f"judge: none of the canary's {final[1]} sessions was judged; configure `judge`, or leave "
            "the gate out of the policy: it cannot pass without"
        )
    arms = [arm for arm in (0, 1) if final[arm] >= ENOUGH and _unpriced(arm, state)]
    if "cost" in policy.gates and arms:
        found.append(
            f"cost: none of {ARMS[arms[0]]} {final[arms[0]]} sessions has a known price; name the model's "
            "under `prices`, or leave the gate out of the policy: it cannot pass without"
        )
    return tuple(found)


def _unpriced(arm: int, state: State) -> bool:
    """Before the threshold is frozen the canary's costs are not used, so nothing is known of them."""
    if "cost" not in state.frozen:
        return arm == 0 and not state.samples["cost"]
    return not state.comparisons["cost"].effect.units[arm]
