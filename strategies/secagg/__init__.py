"""Secure aggregation without input or output of its own: PROTOCOL.md in this folder as code."""
