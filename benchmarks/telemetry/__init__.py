"""What a collector that is slow, hangs or is down does to requests: `python -m benchmarks.telemetry`."""
