"""What the rows of an update give away: which bits were trained, and which compounds those spell out.

Rows of bits that one compound alone holds are twins (see `row_guard`), so two twin rows and a list of candidates name a compound: the
only one that holds both bits. With plain gradient descent twins are equal; with Adam and weight decay they are not, since decay pulls
every weight towards zero by a step that depends on its sign. Whoever knows the trunk before the update knows the signs, and compares
two rows only where these agree: there decay is the same for both.

A partner runs this on its own update before it is masked, and the audit on sums.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.85  # cosine of twins within a candidate's bits; in demo federations their median is 0.94 to 1, others reach 0.82
EQUAL = 0.99  # the same where every row is compared with every other
RAREST = 12  # bits of a candidate that are compared: those that the fewest candidates hold
FEW = 2048  # rows of which all pairs are compared at once
COMMON, CROWD = 3, 32  # directions that are taken off all rows, one for each so many candidates at most
GLANCE, MARGIN = 96, 0.25  # columns that decide which candidates are worth a closer look, and how far the cosine over them may fall short
TABLES = 12  # hash tables of `twin_groups`, of 16 bits each
NEIGHBOURS = 3  # rows that a row is compared with in each table
CHUNK = 64  # candidates, or 16 times as many pairs, that are compared at a time: what fits the processor's cache


@dataclass(frozen=True)
class Library:
    """Candidates' fingerprints, n in all; equal ones are never told apart, so the caller leaves one of each.

    Attributes:
        indptr, indices: CSR, int64 [n + 1] and int32; each on bit occurs once.
        bits: Fingerprint length.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    bits: int

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """Candidate of each entry of `indices`."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Candidates that hold each bit: int64 [bits]."""
        return np.bincount(self.indices, minlength=self.bits)

    @cached_property
    def _inverted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each bit's holders begin, int64 [bits + 1], and holders bit after bit, ascending."""
        return np.concatenate([[0], np.cumsum(self.counts)]), self.owner[np.argsort(self.indices, kind="stable")]

    def holders(self, bit: int) -> NDArray[np.int64]:
        """Candidates that hold a bit, ascending."""
        starts, holders = self._inverted
        return holders[starts[bit] : starts[bit + 1]]

    def candidates(self, bits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Candidates that hold all of these bits, at least one, ascending."""
        first, *others = sorted(bits.tolist(), key=lambda bit: self.counts[bit])
        left = self.holders(first)
        for bit in others:
            left = np.intersect1d(left, self.holders(bit), assume_unique=True)
        return left


def present_rows(update: NDArray[np.floating], zero: float = 0.0) -> NDArray[np.bool_]:
    """Rows with a value beyond ±zero: bool [bits]."""
    return np.asarray((np.maximum(update.max(axis=1), -update.min(axis=1))) > zero)


def identify(groups: list[NDArray[np.int64]], library: Library, visible: NDArray[np.bool_]) -> dict[int, NDArray[np.int64]]:
    """Candidates that twin rows name: each of them alone holds all bits of a group.

    Args:
        groups: Bits of twin rows.
        visible: Bits that can appear at all, bool [bits]; a group is judged by those alone, two of them at least.
    Returns:
        Candidate to the bits that named it.
    """
    named: dict[int, NDArray[np.int64]] = {}
    for group in groups:
        judged = group[visible[group]]
        left = library.candidates(judged) if len(judged) > 1 else judged[:0]
        if len(left) == 1:
            named.setdefault(int(left[0]), judged)
    return named


def twins_within(
    update: NDArray[np.float32],
    library: Library,
    visible: NDArray[np.bool_],
    before: NDArray[np.float32] | None = None,
    alike: float = ALIKE,
) -> list[NDArray[np.int64]]:
    """Groups of twin rows among the rarest visible bits of each candidate: bits, ascending, each group once.

    Rows that no candidate holds together can name nobody. To leave them out makes the search short, and it may be lenient: chance
    has few pairs to strike. What many rows have in common, such as what actives send back, is taken off first: it
    makes rows of other compounds alike, and names wrong ones.

    Args:
        update: Change of the first layer, [bits, width].
        before: That layer before it, of the same shape; without it only updates without weight decay are judged right.
        visible: Rows that are compared, if present: bool [bits].
        alike: Least cosine of twins.
    """
    seen = visible & present_rows(update)
    chosen = rarest_bits(library, seen)
    chosen = chosen[chosen[:, 1] >= 0]
    rows = without_common(update, seen, min(COMMON, (len(library.indptr) - 1) // CROWD))
    few, place = seen.sum() <= FEW, np.cumsum(seen) - 1
    table = all_cosines(rows, before, seen) if few else np.empty((0, 0), dtype=np.float32)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(chosen), CHUNK):
        bits, candidates = chosen[start : start + CHUNK], np.arange(start, min(start + CHUNK, len(chosen)))
        if few:
            close = close_among(table[place[bits][:, :, None], place[bits][:, None, :]], bits, alike)
        else:
            glance = close_pairs(rows[:, :GLANCE], before if before is None else before[:, :GLANCE], bits, alike - MARGIN)
            candidates = candidates[glance.any(axis=(1, 2))]
            close = close_pairs(rows, before, chosen[candidates], alike)
        nearby, one, other = np.nonzero(close)
        pairs.append(np.stack([one, other], axis=1) + (candidates[nearby] * RAREST)[:, None])
    groups: dict[bytes, NDArray[np.int64]] = {}
    for nodes in components(np.concatenate(pairs), chosen.size):  # a node is a place in `chosen`: no two candidates are ever connected
        group = np.sort(chosen.reshape(-1)[nodes])
        groups.setdefault(group.tobytes(), group)
    return list(groups.values())


def all_cosines(rows: NDArray[np.float32], before: NDArray[np.float32] | None, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Cosine of any two of the rows `seen`, [rows, rows]: where these are few, it takes less than a candidate at a time."""
    (table,) = cosines(rows[seen][None], None if before is None else before[seen][None])
    return np.asarray(table)


def without_common(update: NDArray[np.float32], seen: NDArray[np.bool_], count: int) -> NDArray[np.float32]:
    """The rows of `seen` without their part along the `count` directions that they have most in common; all others zero."""
    rows = update[seen]
    if count:
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        common = np.linalg.eigh(unit.T @ unit)[1][:, -count:]
        rows = rows - (rows @ common) @ common.T
    cleaned = np.zeros_like(update)
    cleaned[seen] = rows
    return cleaned


def close_pairs(rows: NDArray[np.float32], before: NDArray[np.float32] | None, bits: NDArray[np.int64], alike: float) -> NDArray[np.bool_]:
    """Which two of a candidate's rows have at least that cosine: [candidates, RAREST, RAREST]; none with itself, none where bits are -1."""
    return close_among(cosines(rows[bits], None if before is None else before[bits]), bits, alike)


def close_among(table: NDArray[np.float32], bits: NDArray[np.int64], alike: float) -> NDArray[np.bool_]:
    """As `close_pairs`, of cosines [candidates, RAREST, RAREST]."""
    close = table >= alike
    close &= (bits >= 0)[:, :, None] & (bits >= 0)[:, None, :] & ~np.eye(RAREST, dtype=np.bool_)
    return close


def rarest_bits(library: Library, visible: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each candidate's visible bits that the fewest candidates hold, rarest first: int64 [n, RAREST], -1 where there are fewer."""
    kept = visible[library.indices]
    owner, bits = library.owner[kept], library.indices[kept]
    order = np.lexsort((bits, library.counts[bits], owner))
    owner, bits = owner[order], bits[order]
    first = np.searchsorted(owner, np.arange(len(library.indptr) - 1))
    place = np.arange(len(owner)) - first[owner]
    table = np.full((len(library.indptr) - 1, RAREST), -1, dtype=np.int64)
    rare = place < RAREST
    table[owner[rare], place[rare]] = bits[rare]
    return table


def cosines(rows: NDArray[np.float32], before: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Cosine of any two of a batch's rows, taken over the columns where their weights had the same sign: [batch, rows, rows].

    Args:
        rows: float32 [batch, rows, width].
        before: The weights, of the same shape; None takes all columns.
    """
    signs = np.ones_like(rows) if before is None else np.where(before < 0, np.float32(-1), np.float32(1))
    signed, squares = rows * signs, rows * rows
    # (1 + s s') / 2 is 1 where signs agree and 0 elsewhere, which makes matrix products of the sums.
    products = rows @ rows.swapaxes(-1, -2) + signed @ signed.swapaxes(-1, -2)
    norms = squares.sum(-1, keepdims=True) + (squares * signs) @ signs.swapaxes(-1, -2)
    scale = np.sqrt(np.maximum(norms * norms.swapaxes(-1, -2), 0.0))
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def twin_groups(update: NDArray[np.float32], before: NDArray[np.float32] | None = None, alike: float = EQUAL) -> list[NDArray[np.int64]]:
    """Groups of two or more rows that are nearly one, by anybody without candidates: bits, ascending.

    Locality-sensitive hashing: rows on the same side of 16 random planes are neighbours. Of rows with a cosine of 0.99 it finds nearly
    all, of those with one below 0.9 few. Zero rows belong to no group.

    Args:
        update, before: As for `twins_within`.
        alike: Least cosine of twins.
    Source: M. Charikar, STOC 2002, section 3.
    """
    rows = np.flatnonzero(present_rows(update))
    planes = np.random.default_rng(0).standard_normal((update.shape[1], 16 * TABLES), dtype=np.float32)
    if len(rows) < 2:
        return []
    values = update[rows]
    keys = np.packbits((values - values.mean(axis=0)) @ planes > 0, axis=1).view(np.uint16)
    pairs = neighbours(keys)
    kept = [pairs[:0]]
    for start in range(0, len(pairs), 16 * CHUNK):
        part = pairs[start : start + 16 * CHUNK]
        both = rows[part]
        near = cosines(update[both], None if before is None else before[both])[:, 0, 1] >= alike
        kept.append(part[near])
    return [rows[group] for group in components(np.concatenate(kept), len(rows))]


def neighbours(keys: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Pairs of rows that lie side by side in some table and differ in a quarter of all hashed bits at most: int64 [pairs, 2]."""
    candidates = []
    for key in keys.T:
        order = np.argsort(key, kind="stable")
        for step in range(1, NEIGHBOURS + 1):
            one, other = order[:-step], order[step:]
            same = key[one] == key[other]
            candidates.append(np.stack([one[same], other[same]], axis=1))
    pairs = np.concatenate(candidates)
    codes = np.unique(pairs.min(axis=1) * len(keys) + pairs.max(axis=1))
    one, other = np.divmod(codes, len(keys))
    differing = np.bitwise_count(keys[one] ^ keys[other]).sum(axis=1)
    near = differing <= 4 * TABLES
    return np.stack([one[near], other[near]], axis=1)


def components(pairs: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """Connected groups of two or more of `count` nodes, each ascending, the group of the smallest node first.

    Args:
        pairs: Edges, [pairs, 2]; one from a node to itself connects nothing.
    """
    if not len(pairs):
        return []
    # Imported where it is needed: most messages of a round, and most updates under a row guard, have nothing to connect.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    crowded = np.flatnonzero(np.bincount(labels)[labels] > 1)
    order = crowded[np.argsort(labels[crowded], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    return sorted(groups, key=lambda group: int(group[0]))
