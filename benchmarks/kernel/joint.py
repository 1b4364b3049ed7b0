"""`core_ties` and `tsv` of one module, beside what the authors of Core Space published.

Their repository cannot be installed as a package, so the peer is their published steps written with torch: singular vectors
of the joined factors and of each factor in float64, cores between them, the method on the cores, the dense product. The rank
of the dense delta that they compute for a report is left out.
Source: Core Space, arXiv:2509.17786, and github.com/apanariello4/core-space-merging.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from app.kernel import reference
from app.kernel.methods import arguments, merge_factors
from benchmarks.kernel.inputs import branches
from benchmarks.kernel.report import Line, require
from benchmarks.kernel.sides import Prepared, measure
from benchmarks.machine import product_rate

bars = {("core_ties", 4, 16): 10, ("core_ties", 8, 64): 4, ("tsv", 4, 16): 5, ("tsv", 8, 64): 2}
density = 0.2
allowed_error = {"core_ties": 1e-2, "tsv": 1e-6}
"""Between the two sides, relative: in a core that has equal singular values the basis is a matter of rounding, and with it
what is trimmed."""


def parameters_of(method: str) -> dict[str, Any]:
    return {"lambda": 1.0} | ({"density": density} if method == "core_ties" else {})


def ours(method: str, adapters: int, rank: int) -> Prepared:
    found = branches("q_proj", adapters, rank)
    results: dict[str, Tensor] = {}

    def work() -> None:
        (factors,) = merge_factors(method, found, parameters_of(method))
        results["a"], results["b"] = factors.a, factors.b

    return work, lambda: {"delta": (results["b"] @ results["a"]).float()}


def authors(method: str, adapters: int, rank: int) -> Prepared:
    found = branches("q_proj", adapters, rank)
    # theirs know no alpha and no weights: what we multiply by goes into the factor, but for the trimming, which has none
    pairs = [(branch.delta.a, branch.delta.b * branch.delta.gain) for branch in found]
    weights = [branch.weight for branch in found]
    results: list[Tensor] = []
    merge_cores: Callable[[list[Tensor], list[float]], Tensor] = {"core_ties": their_ties, "tsv": their_tsv}[method]

    def work() -> None:
        right = torch.linalg.svd(torch.cat([a for a, _ in pairs]).double(), full_matrices=False)[2]
        left = torch.linalg.svd(torch.cat([b for _, b in pairs], dim=1).double(), full_matrices=False)[0]
        cores = []
        for a, b in pairs:
            u_a, s_a, vh_a = torch.linalg.svd(a.double(), full_matrices=False)
            u_b, s_b, vh_b = torch.linalg.svd(b.double(), full_matrices=False)
            middle = torch.diag(s_b) @ (vh_b @ u_a) @ torch.diag(s_a)
            cores.append((left.mT @ u_b) @ middle @ (vh_a @ right.mT))
        results[:] = [left @ merge_cores(cores, weights) @ right]

    return work, lambda: {"delta": results[0].float()}


def their_ties(cores: list[Tensor], weights: list[float]) -> Tensor:
    """The largest of each, a sign by the sum, the mean of those who have it."""
    flat = torch.stack([core.flatten() for core in cores])
    kept = int(density * flat.shape[1])
    thresholds = flat.abs().kthvalue(flat.shape[1] - kept + 1, dim=1, keepdim=True).values
    trimmed = torch.where(flat.abs() >= thresholds, flat, 0.0) * torch.tensor(weights, dtype=flat.dtype)[:, None]
    agrees = trimmed.sign() == trimmed.sum(dim=0).sign()
    kept_values = trimmed * agrees
    merged = kept_values.sum(dim=0) / (kept_values != 0).sum(dim=0).clamp(min=1)
    return merged.view(cores[0].shape)


def their_tsv(cores: list[Tensor], weights: list[float]) -> Tensor:
    share = len(cores[0]) // len(cores)
    us, ss, vs = [], [], []
    for core, weight in zip(cores, weights, strict=True):
        u, s, vh = torch.linalg.svd(weight * core, full_matrices=False)
        us.append(u[:, :share])
        ss.append(s[:share])
        vs.append(vh[:share])
    u_u, _, vh_u = torch.linalg.svd(torch.cat(us, dim=1), full_matrices=False)
    u_v, _, vh_v = torch.linalg.svd(torch.cat(vs), full_matrices=False)
    merged: Tensor = torch.linalg.multi_dot((u_u, vh_u, torch.diag(torch.cat(ss)), u_v, vh_v))
    return merged


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def lines() -> Iterator[Line]:
    product = product_rate(torch.float64)
    for (method, adapters, rank), bar in bars.items():
        case: dict[str, Any] = {"method": method, "adapters": adapters, "rank": rank}
        own, theirs = measure("joint", "ours", **case), measure("joint", "authors", **case, repeats=1)
        between = difference(own.result["delta"], theirs.result["delta"])
        require(between <= allowed_error[method], f"{method} and the authors' differ by {between:.1e}")
        small = branches("k_proj", 2, 4)
        expected = reference.methods[method](small, **arguments(parameters_of(method)))
        to_reference = difference(reference.linear(merge_factors(method, small, parameters_of(method))), expected)
        require(to_reference <= 1e-9, f"{method} is {to_reference:.1e} off its reference")
        joined = adapters * rank
        # two Gram matrices, the product back on both sides, three decompositions
        operations = 2 * 4096 * (joined**2 + 2 * joined**2) + 3 * 10 * joined**3
        yield Line(
            what=f"{method} of {adapters} × rank {rank}, q_proj",
            peer="the authors' steps",
            own=own,
            theirs=theirs,
            bar=bar,
            error=f"{between:.0e} apart, {to_reference:.0e} off the reference",
            limit=f"{operations / own.cpu_seconds / product:.0%} of the float64 product",
        )
