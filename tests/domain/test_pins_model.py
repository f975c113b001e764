"""300 histories in the suite; `python -m tests.domain.pins_model_soak 10000` runs more."""

from hypothesis import HealthCheck, settings

from tests.domain.pins_model import PinsModel

TestPinsModel = PinsModel.TestCase
TestPinsModel.settings = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
