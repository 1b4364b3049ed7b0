"""From recipe to plan: pure, without torch, database or files."""

kernel_revision = "2"
"""Changes with every change of the kernel that changes a bit of a result; part of each recipe's digest."""
