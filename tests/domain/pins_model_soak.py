"""`python -m tests.domain.pins_model_soak [EXAMPLES]`: the pin protocol's model, for as long as one likes."""

import sys
import time

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.domain.pins_model import PinsModel


def main() -> None:
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    started = time.monotonic()
    run_state_machine_as_test(
        PinsModel,
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{examples} histories, no counterexample, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
