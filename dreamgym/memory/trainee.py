"""M with the heads that only training has."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.worlds.base import Auxiliary, ModelSizes, World

__all__ = ["LABEL_DIRECTIONS", "Trainee", "make_memory"]

LABEL_DIRECTIONS: Final = "label-directions.safetensors"
"""Written beside M's weights; see :meth:`Trainee.label_directions`."""


class Trainee(nn.Module):
    """M, and the heads that only training has.

    These are for labels that the simulator gives, and for each latent's own noise.

    V blurs the grass, so on a straight nothing that M sees tells its speed; what it did does. Asked for the speed, M
    learns to keep account of it. The own noise is what the common factors leave, see
    :func:`dreamgym.memory.correlated_noise.factor_loss`. The world model is M alone.

    Args:
        world: decides the heads.
        sizes: of M; the world's when None.
    """

    def __init__(self, world: World, sizes: ModelSizes | None = None) -> None:
        super().__init__()
        self.auxiliaries = world.labels.auxiliaries
        self.memory = make_memory(world, sizes)
        # Labels may have any name, a module's attributes may not.
        self.label_heads = nn.ModuleList(
            nn.Linear(self.memory.hidden_size, each.size) for each in self.auxiliaries if not each.kept
        )
        self.own_head = nn.Linear(self.memory.hidden_size, self.memory.latent_size)

    def label_directions(self) -> Tensor:
        """Along which of h the labels are read, (n, H)."""
        return torch.cat([each.weight for each in self.label_heads if isinstance(each, nn.Linear)]).detach()

    def label(self, auxiliary: Auxiliary, h: Tensor) -> Tensor:
        """M's prediction of a label from hidden states (..., H).

        Numbers, (..., n), or the logit of an event, (...).
        """
        if auxiliary.kept:
            return self.memory.event_logit(h)
        trained = [each for each in self.auxiliaries if not each.kept]
        value: Tensor = self.label_heads[trained.index(auxiliary)](h)
        return value.squeeze(-1) if auxiliary.kind == "event" else value


def make_memory(world: World, sizes: ModelSizes | None = None) -> MDNRNN:
    """An untrained M for a world.

    Args:
        world: decides the actions and heads.
        sizes: the world's when None.
    """
    sizes = sizes or world.sizes
    return MDNRNN(
        sizes.latents,
        world.actions.size,
        sizes.hidden_units,
        sizes.mixtures,
        sizes.factors,
        reward=world.rewards.head,
        event=any(each.kept for each in world.labels.auxiliaries),
    )
