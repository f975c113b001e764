"""Decision quality: simulated sessions through the real sampling, fold and decide, beside other rules."""
