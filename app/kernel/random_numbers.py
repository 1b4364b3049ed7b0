"""Random numbers that are a function of where they stand: the same for every tiling, number of threads and device."""

from hashlib import sha256

import torch
from torch import Tensor

words = 0xFFFFFFFF


def key_of(seed: int, identity: str) -> tuple[int, int]:
    """Of Philox, from the first 8 bytes of a sha256: a seed gives every adapter and module its own numbers."""
    digest = sha256(f"{seed}\n{identity}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def uniform(key: tuple[int, int], first: int, count: int, device: torch.device) -> Tensor:
    """Numbers `first` to `first + count` of a key's sequence, in [0, 1) as multiples of 2⁻³²; [count], float64.

    Number e is word e mod 4 of Philox-4x32-10 at counter e div 4.
    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """
    start = first // 4
    counters = torch.arange(start, (first + count + 3) // 4, dtype=torch.int64, device=device)
    c0, c1 = counters & words, counters >> 32
    c2, c3 = torch.zeros_like(c0), torch.zeros_like(c0)
    k0, k1 = key
    for _ in range(10):
        # 32 by 32 bits fill 64, and the sign is only the uppermost of them
        product0, product1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0 = (product1 >> 32).bitwise_and_(words).bitwise_xor_(c1).bitwise_xor_(k0)
        c2 = (product0 >> 32).bitwise_and_(words).bitwise_xor_(c3).bitwise_xor_(k1)
        c1, c3 = product1.bitwise_and_(words), product0.bitwise_and_(words)
        k0, k1 = (k0 + 0x9E3779B9) & words, (k1 + 0xBB67AE85) & words
    numbers = torch.stack([c0, c1, c2, c3], dim=1).flatten()
    return numbers[first - 4 * start : first - 4 * start + count].double().mul_(2.0**-32)
