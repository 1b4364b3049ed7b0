"""Glulam's client: push, trace, merge and pull LoRA adapters that are made to be stacked.

from glulam import Registry

registry = Registry()
registry.push("bob/dialogue", "./out", builds_on=["alice/instruct@1.0.0"])
registry.merge(["bob/dialogue@1.0.0", "carol/reasoning@prod"]).wait().download("./merged")
"""

from glulam.checking import Finding
from glulam.errors import (
    Conflict,
    DigestMismatch,
    Forbidden,
    GlulamError,
    Gone,
    InvalidArgument,
    Malformed,
    MergeCancelled,
    MergeFailed,
    MergeTimeout,
    NotFound,
    OverLimit,
    PlanRefused,
    Problem,
    Recalled,
    Refused,
    ResultNotThere,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from glulam.merge import Merge
from glulam.progress import Progress
from glulam.registry import Registry
from glulam.stacks import Stack
from glulam.values import Edge, File, Lineage, Parent, Plan, Repository, Version

__all__ = [
    "Conflict",
    "DigestMismatch",
    "Edge",
    "File",
    "Finding",
    "Forbidden",
    "GlulamError",
    "Gone",
    "InvalidArgument",
    "Lineage",
    "Malformed",
    "Merge",
    "MergeCancelled",
    "MergeFailed",
    "MergeTimeout",
    "NotFound",
    "OverLimit",
    "Parent",
    "Plan",
    "PlanRefused",
    "Problem",
    "Progress",
    "Recalled",
    "Refused",
    "Registry",
    "Repository",
    "ResultNotThere",
    "Stack",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "Version",
]
