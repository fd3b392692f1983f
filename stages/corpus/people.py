"""Which vectors are one person: average linkage cut at a distance, of any number of them.

Two groups join at a mean distance of at most `limit`, so that some pair between them is as near. A
group of the exact method therefore lies in one component of the graph of such pairs, and each
component is linked by itself, with the outcome of the whole. Pairs are found in blocks, in single
precision and a little beyond the limit: one too many costs a comparison and changes nothing. What
decides is computed in double precision and in one order, so that neither the number of threads nor
the library of matrix products shows in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

BLOCK = 2048
SLACK = 1e-3
"""Share of the limit, and of the longest vector, by which pairs found in single precision may be
too far."""
MOST_DENSE = 4000
"""Vectors of a component whose distances are all held: 64 MB; a larger one is linked by its near
pairs."""


def groups(vectors: np.ndarray, limit: float) -> np.ndarray:
    """int64 [N]: the group of each of `vectors` (float64 [N, D]), numbered by their first members.

    Equal to SciPy's `fcluster(linkage(vectors, "average"), limit, "distance")` up to the numbers.
    """
    found = np.zeros(len(vectors), np.int64)
    next_group = 0
    for members in by_label(components(vectors, limit)):
        linked = (_dense if len(members) <= MOST_DENSE else _sparse)(vectors[members], limit)
        found[members] = linked + next_group
        next_group += int(linked.max()) + 1
    return _numbered(found)


def components(vectors: np.ndarray, limit: float) -> np.ndarray:
    """int64 [N]: vectors that a chain of pairs within `limit` joins have one number."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(vectors)
    labels = np.arange(count)
    for first, second in near_pairs(vectors, vectors, limit, is_same=True):
        one, two = labels[first], labels[second]
        edges = np.unique(one[one != two] * count + two[one != two])
        if len(edges):
            ends = (edges // count, edges % count)
            graph = coo_matrix((np.ones(len(edges), bool), ends), (count, count))
            labels = connected_components(graph, directed=False)[1].astype(np.int64)[labels]
    return _numbered(labels)


def near_pairs(
    left: np.ndarray, right: np.ndarray, limit: float, *, is_same: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices into `left` and `right` of all pairs within `limit`, block by block, and of some a
    little beyond. `is_same`: both are one array, and each pair comes once."""
    one, two = left.astype(np.float32), right.astype(np.float32)
    ones, twos = (one**2).sum(1), (two**2).sum(1)
    longest = float(max(ones.max(initial=0), twos.max(initial=0)))
    most = np.float32((limit * (1 + SLACK)) ** 2 + SLACK * SLACK * longest)
    for low in range(0, len(one), BLOCK):
        rows = slice(low, low + BLOCK)
        for start in range(low if is_same else 0, len(two), BLOCK):
            columns = slice(start, start + BLOCK)
            gaps = one[rows] @ two[columns].T
            gaps *= -2
            gaps += ones[rows, None]
            gaps += twos[None, columns]
            first, second = np.nonzero(gaps <= most)
            first, second = first + low, second + start
            if is_same:
                first, second = first[first < second], second[first < second]
            if len(first):
                yield first, second


def mean_distance(left: np.ndarray, right: np.ndarray) -> float:
    """Mean Euclidean distance of all pairs."""
    total = sum(
        float(np.linalg.norm(left[i : i + 256, None] - right[None, j : j + 256], axis=-1).sum())
        for i in range(0, len(left), 256)
        for j in range(0, len(right), 256)
    )
    return total / (len(left) * len(right))


def _dense(vectors: np.ndarray, limit: float) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) == 1:
        return np.zeros(1, np.int64)
    return _numbered(fcluster(linkage(vectors, "average"), limit, "distance"))


def _sparse(vectors: np.ndarray, limit: float) -> np.ndarray:
    """`_dense` without all distances: of two groups the mean distance is known where some pair of
    theirs is near, for no others can ever join."""
    means = _near_means(vectors, limit)
    members: dict[int, list[int]] = {i: [i] for i in range(len(vectors))}
    heap = [(mean, i, j) for i, others in means.items() for j, mean in others.items() if i < j]
    heapq.heapify(heap)
    serial = len(vectors)
    while heap:
        mean, i, j = heapq.heappop(heap)
        if mean > limit:
            break
        if i not in members or j not in members:
            continue
        one, two = members.pop(i), members.pop(j)
        ones, twos = means.pop(i), means.pop(j)
        joined: dict[int, float] = {}
        for other in sorted((ones.keys() | twos.keys()) - {i, j}):
            there = members[other]
            to_one, to_two = (
                m[other] if other in m else mean_distance(vectors[group], vectors[there])
                for m, group in ((ones, one), (twos, two))
            )
            both = (to_one * len(one) + to_two * len(two)) / (len(one) + len(two))
            joined[other] = both
            around = means[other]
            around.pop(i, None)
            around.pop(j, None)
            around[serial] = both
            if both <= limit:
                heapq.heappush(heap, (both, other, serial))
        members[serial], means[serial] = one + two, joined
        serial += 1
    labels = np.zeros(len(vectors), np.int64)
    for number, group in enumerate(members.values()):
        labels[group] = number
    return _numbered(labels)


def _near_means(vectors: np.ndarray, limit: float) -> dict[int, dict[int, float]]:
    means: dict[int, dict[int, float]] = {i: {} for i in range(len(vectors))}
    for first, second in near_pairs(vectors, vectors, limit, is_same=True):
        gaps = np.linalg.norm(vectors[first] - vectors[second], axis=1)
        for i, j, gap in zip(first.tolist(), second.tolist(), gaps.tolist(), strict=True):
            means[i][j] = means[j][i] = gap
    return means


def by_label(labels: np.ndarray) -> list[np.ndarray]:
    """Indices of each label, in the order of the labels."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []


def _numbered(labels: np.ndarray) -> np.ndarray:
    """The same groups, numbered from 0 by their first members."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
