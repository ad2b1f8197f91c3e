"""Which side each unit of notes goes to: iterative stratification with capacities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


def assign_units(
    sizes: NDArray[np.int64],
    labels: csr_matrix,
    wanted: NDArray[np.int64],
    *,
    seed: int,
) -> NDArray[np.int64]:
    """Gives every unit to a side so that sides have the wanted sizes and label shares.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas, On the stratification of
    multi-label data, 2011), where a unit is not one example but all notes that must stay
    together: the rarest label's units are dealt out first, the largest of them foremost, each
    to the side that still lacks most of that label. A side is passed over while it has no room
    for the unit and another has.

    Args:
        sizes: shape (units,), how many notes each unit has.
        labels: shape (units, labels), sparse, how many notes of the unit carry the label.
        wanted: shape (sides,), how many notes each side should get.
        seed: decides ties.

    Returns:
        Shape (units,): the position of each unit's side.
    """
    rng = np.random.default_rng(seed)
    sides = np.full(len(sizes), -1, dtype=np.int64)
    room = wanted.astype(np.float64)
    by_unit, by_label = labels.tocsr(), labels.tocsc()
    left = np.asarray(by_unit.sum(axis=0)).ravel().astype(np.float64)
    lacking = np.outer(wanted / wanted.sum(), left)
    # A random order made once settles every tie; sorts below are stable.
    order = rng.permutation(len(sizes))
    position = np.empty_like(order)
    position[order] = np.arange(len(order))

    def give(unit: int, lack: NDArray[np.float64]) -> None:
        fits = room >= sizes[unit]
        # Where it fits nowhere, the side with most room is overfilled least.
        keys = (rng.random(len(room)), room, lack if fits.any() else room)
        best = np.lexsort(keys)[::-1]
        side = int(next((s for s in best if fits[s]), best[0]))
        sides[unit] = side
        room[side] -= sizes[unit]
        row = slice(by_unit.indptr[unit], by_unit.indptr[unit + 1])
        lacking[side, by_unit.indices[row]] -= by_unit.data[row]
        left[by_unit.indices[row]] -= by_unit.data[row]

    while (left > 0).any():
        label = int(np.argmin(np.where(left > 0, left, np.inf)))
        column = slice(by_label.indptr[label], by_label.indptr[label + 1])
        units, counts = by_label.indices[column], by_label.data[column]
        is_free = sides[units] < 0
        units, counts = units[is_free], counts[is_free]
        for unit in units[np.lexsort((position[units], -sizes[units], -counts))]:
            give(int(unit), lacking[:, label])
    rest = order[sides[order] < 0]
    for unit in rest[np.argsort(-sizes[rest], kind="stable")]:
        give(int(unit), room)
    return sides
