"""What follows an emergency deploy: the version is evaluated afterwards, since nothing was known before.

A gate that has not passed is pending again, whatever it was, so that the suite is run as for any version; if
it fails while the version is live, that is an alert (`domain.alert`), and no rollback: a person decided.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.domain.prompt import Gate, Metadata
from gateway.domain.rollout import Deployment


def evaluated_afterwards(deployment: Deployment, version: int, metadata: Metadata) -> Deployment:
    gate = deployment.gates.get(version)
    if gate is None or gate.state == "passed" or not metadata.suite:
        return deployment
    pending = Gate("pending", suite=metadata.suite)
    return replace(deployment, gates={**deployment.gates, version: pending})
