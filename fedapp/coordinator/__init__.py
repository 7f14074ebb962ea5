"""The coordinator in a run: what it works with, its rounds, and the trunk that only plain aggregation leaves with it."""
