"""Differential privacy alone: noise, what it costs, and what is left of a budget."""
