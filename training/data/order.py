"""The order of samples and all chance in it, as pure functions of (seed, epoch, position).

Nothing here is drawn from a process's generator, so nothing depends on how many ranks and workers
there are, on who reads what, or on what was read before.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import numpy as np

NUM_ROUNDS = 8
MIN_HALF_BITS = 3
"""A network over fewer bits has too few permutations; smaller sizes walk a little longer."""
MASK_64 = (1 << 64) - 1


def key_of(*words: int | str) -> bytes:
    """16 bytes that are others for other words: [1, 23] is not [12, 3]."""
    return hashlib.blake2b(json.dumps(words).encode(), digest_size=16).digest()


class Permutation:
    """A permutation of 0 .. size - 1 in constant memory.

    A balanced Feistel network over the least even number of bits that holds `size`, applied again
    while it leads outside ("cycle walking": Black and Rogaway, Ciphers with Arbitrary Finite
    Domains, 2002); fewer than four times on average, for sizes above 16. It mixes well; it keeps
    no secret.
    """

    def __init__(self, size: int, key: bytes) -> None:
        """`key` is up to 64 bytes. Raises ValueError for a size below 1."""
        if size < 1:
            raise ValueError(f"{size} samples have no order: there must be at least one")
        self.size = size
        self._half_bits = max(MIN_HALF_BITS, ((size - 1).bit_length() + 1) // 2)
        self._round_keys = [
            int.from_bytes(hashlib.blake2b(bytes([number]), key=key, digest_size=8).digest(), "big")
            for number in range(NUM_ROUNDS)
        ]

    def __call__(self, position: int) -> int:
        """What stands at a position. Raises IndexError outside 0 .. size - 1."""
        if not 0 <= position < self.size:
            raise IndexError(f"position {position} is not in 0 .. {self.size - 1}")
        while True:
            position = self._network(position)
            if position < self.size:
                return position

    def _network(self, value: int) -> int:
        mask, drop = (1 << self._half_bits) - 1, 64 - self._half_bits
        left, right = value >> self._half_bits, value & mask
        for key in self._round_keys:
            left, right = right, left ^ (_mixed(right ^ key) >> drop)
        return left << self._half_bits | right


def _mixed(value: int) -> int:
    """64 bits, each of which depends on all of `value` (the end of SplitMix64; Steele et al.,
    Fast Splittable Pseudorandom Number Generators, 2014)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK_64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK_64
    return value ^ value >> 31


@lru_cache(maxsize=64)
def epoch_order(size: int, seed: int, corpus: int, epoch: int) -> Permutation:
    """The order of a corpus's samples in one of its epochs; `corpus` is its place in the mixture,
    so that a folder may be renamed."""
    return Permutation(size, key_of("order", seed, corpus, epoch))


def sample_at(size: int, seed: int, corpus: int, epoch: int, position: int) -> int:
    """The number of the sample at a position of an epoch."""
    return epoch_order(size, seed, corpus, epoch)(position)


def generator(
    seed: int, corpus: int, epoch: int, position: int, purpose: str = ""
) -> np.random.Generator:
    """Chance for what is done to one sample in one epoch: crops, flips, noise.

    Each `purpose` has a stream of its own, so that a new augmentation changes no other's draws.
    """
    key = key_of("draw", seed, corpus, epoch, position, purpose)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big")))


def rank_positions(first: int, num_rows: int, rank: int, world_size: int) -> range:
    """The rows of a global batch that a rank takes: every `world_size`-th, from its own on."""
    return range(first + rank, first + num_rows, world_size)


def pass_steps(step: int, num_rows: int, global_batch: int, first_row: int = 0) -> range:
    """The steps of the pass over `num_rows` positions that holds `step`.

    Step g has positions first_row + g B .. first_row + (g + 1) B. A step belongs to the pass in
    which its first row lies; its last rows may begin the next pass, so that no row is dropped,
    repeated or padded.
    """
    number = (first_row + step * global_batch) // num_rows
    first, end = (
        max(0, -((first_row - border * num_rows) // global_batch))
        for border in (number, number + 1)
    )
    return range(first, end)
