"""Contrastive losses within groups of clips: work and traffic of a device that do not grow with the batch.

With negatives from the whole batch both grow with it (docs/scaling.md). Groups are runs of consecutive clips,
so where clips are spread over devices in order, a group is that of a few neighbouring devices, or of one.
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

from lhg_jax.contract import LossSums
from lhg_jax.losses.contrastive import ContrastiveInputs

Place = Callable[[Array], Array]  # [group, clip, ...] -> the same, where its parts belong


def in_groups(loss: Callable[..., LossSums], groups: int, place: Place) -> Callable[..., LossSums]:
    """`loss` of each of `groups` equal runs of clips as if it were the batch; its sums for all clips.

    Args:
      loss: of `losses.CONTRASTIVE`, or like one of them.
      groups: divides the number of clips.
      place: says which devices hold which part (training/sharding.py); values stay.
    """

    def grouped(x: ContrastiveInputs, **options: Any) -> LossSums:
        def split(array: Array) -> Array:
            return place(array.reshape(groups, -1, *array.shape[1:]))

        fields = (x.text_BTD, x.levels, x.anchors_BT, x.in_clip_BT, x.words_BT)
        sums = jax.vmap(lambda *own: loss(ContrastiveInputs(*own), **options))(*jax.tree.map(split, fields))
        return jax.tree.map(lambda sums_GB: sums_GB.reshape(-1), sums)

    return grouped
