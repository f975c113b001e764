"""What a worker's process loads; that it serves is in tests/e2e."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_loads_no_control_plane() -> None:
    """It would take 10 MB of each."""
    program = (
        "import sys, gateway.dataplane\n"
        "print([name for name in ('control', 'web', 'simulator', 'app') if f'gateway.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
