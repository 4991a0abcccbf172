"""A day of many mailboxes, simulated by the app's own decisions. `python -m benchmarks.simulate` runs it."""
