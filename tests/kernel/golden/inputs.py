"""The branches and parameters of the golden cases; small, and the same wherever torch's generator is."""

from collections.abc import Mapping
from typing import Any

from app.kernel.factors import Branch
from tests.kernel.branches import branches, fitting

golden_cases: Mapping[str, dict[str, Any]] = {
    "slerp": {"t": 0.3},
    "nuslerp": {},
    "multislerp": {},
    "karcher": {"max_iter": 10, "tol": 1e-5},
    "model_stock": {},
    "ties": {"density": 0.3, "lambda": 1.5, "convention": "mergekit"},
    "dare_linear": {"density": 0.3, "lambda": 1.5, "seed": 7, "convention": "mergekit"},
    "dare_ties": {"density": 0.3, "lambda": 1.5, "seed": 7, "convention": "mergekit"},
    "breadcrumbs": {"density": 0.3, "gamma": 0.05, "lambda": 1.5},
    "breadcrumbs_ties": {"density": 0.3, "gamma": 0.05, "lambda": 1.5, "convention": "mergekit"},
    "della": {"density": 0.4, "epsilon": 0.2, "lambda": 1.5, "seed": 7, "convention": "mergekit"},
    "della_linear": {"density": 0.4, "epsilon": 0.2, "lambda": 1.5, "seed": 7, "convention": "mergekit"},
    "sce": {"density": 0.3, "lambda": 1.0},
}
"""What mergekit 0.1.5 has, too, and with which parameters."""


def golden_branches(name: str) -> list[Branch]:
    return fitting(name, branches(12, 17, [3, 8, 5], of_weights=[0.7, 1.3, 0.5]))
