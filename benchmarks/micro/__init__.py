"""What single functions cost: pytest-benchmark, compared with a stored baseline as ratios.

    test_hot      splice, select, assign, SSE scan, observe, fold, decide, render, and the yardstick
    baseline      least times to ratios of the yardstick, compared with `baseline.json`
    __main__      `python -m benchmarks.micro` (make micro)

The yardstick is plain Python that nobody changes, measured in the same run: what a faster or busier machine
changes cancels out. Compiled and interpreted code have baselines of their own.
"""
