"""Merge methods on tensors: torch and nothing else. `reference` is their meaning, `vectorized` is what runs."""

revision = "3"
"""Part of every recipe's digest: raised by a change that can change one bit of a result."""
