"""Random numbers that are a function of where they stand: the same for every tiling, number of threads and device."""

from collections.abc import Sequence
from hashlib import sha256
from math import prod

import torch
from torch import Tensor

words = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Four words of 32 bits from a counter and a key: Philox-4x32 with 10 rounds.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (product1 >> 32) ^ c1 ^ k0, product1 & words, (product0 >> 32) ^ c3 ^ k1, product0 & words
        k0, k1 = (k0 + 0x9E3779B9) & words, (k1 + 0xBB67AE85) & words
    return c0, c1, c2, c3


def uniform(seed: int, identity: str, shape: Sequence[int]) -> Tensor:
    """In [0, 1), float64: element e of the flattened matrix is word e mod 4 at counter e div 4, over 2³².

    The key is the first 8 bytes of sha256 of seed and identity.
    """
    key = sha256(f"{seed}\n{identity}".encode()).digest()
    k0, k1 = int.from_bytes(key[:4], "little"), int.from_bytes(key[4:8], "little")
    numbers: list[int] = []
    for counter in range((prod(shape) + 3) // 4):
        numbers += philox((counter & words, counter >> 32, 0, 0), (k0, k1))
    return torch.tensor(numbers[: prod(shape)], dtype=torch.float64).reshape(tuple(shape)) / 2**32
