"""Random patches of places the model finds hard."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed
from torchgeo.datasets import GeoDataset

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers._patches import Cut
from torchgeo_ext.samplers._sampler import Size
from torchgeo_ext.samplers.seeded_random import SeededRandomSampler

log = logging.getLogger(__name__)


class HardExampleSampler(SeededRandomSampler):
    """Draw some patches where the loss was high in the last epoch and the others evenly.

    The first epoch is drawn evenly. Tell the losses of its patches to :meth:`update`, by the
    ``tile_id`` of each patch or by its position in the epoch, as the callback
    ``torchgeo_ext.datamodules.losses.TellLosses`` does, and the next epoch draws the share
    ``hard`` in proportion to them. A loss counts until its place is drawn again; places that were
    never drawn count as hard as the mean.

    Losses are those of cells: a patch drawn for a cell contains it, at another position each time,
    so that the model does not get to see the very same patches again.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        hard: Share of patches drawn in proportion to the loss, 0 to 1.
        power: Exponent of the losses; larger ones favour the hardest places more.
        **kwargs: Other arguments of :class:`SeededRandomSampler`.

    Attributes:
        drawn: ``tile_id`` of the patches of this process's share of the last epoch, in order.

    Raises:
        BadParameter: If ``hard`` is out of range, or as :class:`SeededRandomSampler`.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        hard: float = 0.5,
        power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if not 0 <= hard <= 1:
            raise BadParameter(f'hard: {hard} is not between 0 and 1.')
        super().__init__(dataset, size=size, **kwargs)
        self.hard = hard
        self.power = power
        self.drawn: list[int] = []
        self._losses: dict[int, float] = {}
        self._even = self._choices[0][1]

    def cuts(self) -> Iterator[Cut]:
        """Yield the exact pixels of this process's share of an epoch."""
        self.drawn = []
        if self.epoch and not self._losses:
            log.warning(
                'Epoch %d is drawn evenly: HardExampleSampler was told no losses. TellLosses does.',
                self.epoch,
            )
        for cut in super().cuts():
            self.drawn.append(cut.tile_id)
            yield cut

    def update(
        self,
        losses: Sequence[float] | torch.Tensor,
        *,
        tile_ids: Sequence[int] | torch.Tensor | None = None,
        indices: Sequence[int] | torch.Tensor | None = None,
    ) -> None:
        """Take in the losses of patches of the last epoch.

        Of several patches of one cell the mean counts. Several processes have to call it together;
        they tell each other what they found.

        Args:
            losses: (n,) finite, none negative.
            tile_ids: (n,) ``tile_id`` of the patches.
            indices: (n,) positions of the patches in this process's share of the epoch, if not
                ``tile_ids``.

        Raises:
            BadParameter: If the numbers do not fit each other, or a loss cannot be used.
        """
        values = _numbers(losses)
        if (tile_ids is None) == (indices is None):
            raise BadParameter('tile_ids: give either tile_ids or indices.')
        if tile_ids is not None:
            cells = _numbers(tile_ids)
        else:
            positions = _numbers(indices).astype(int)
            if len(positions) and not 0 <= positions.min() <= positions.max() < len(self.drawn):
                raise BadParameter(
                    f'indices: {positions.min()} to {positions.max()} are not positions among the '
                    f'{len(self.drawn)} patches of the last epoch.'
                )
            cells = np.array(self.drawn, np.int64)[positions]
        if len(cells) != len(values):
            raise BadParameter(f'losses: {len(values)} do not fit {len(cells)} patches.')
        number = sum(array.size for array in self._open)
        if len(cells) and not 0 <= cells.min() <= cells.max() < number:
            raise BadParameter(f'tile_ids: some are not between 0 and {number - 1}.')
        if not np.isfinite(values).all() or (values < 0).any():
            raise BadParameter('losses: some are negative or no numbers.')
        pairs = _of_all_processes(
            list(zip(cells.astype(int).tolist(), values.tolist(), strict=True))
        )
        found: dict[int, list[float]] = {}
        for cell, loss in pairs:
            found.setdefault(cell, []).append(loss)
        self._losses |= {cell: float(np.mean(seen)) for cell, seen in found.items()}
        self._choose()

    def state_dict(self) -> dict[str, Any]:
        """Give what has to be kept to go on later; holds plain values and tensors only."""
        return {
            'epoch': self.epoch,
            'tile_ids': torch.tensor(list(self._losses), dtype=torch.int64),
            'losses': torch.tensor(list(self._losses.values()), dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.epoch = state['epoch']
        self._losses = dict(zip(state['tile_ids'].tolist(), state['losses'].tolist(), strict=True))
        self._choose()

    def _choose(self) -> None:
        """Draw by the losses from now on, as far as there are any."""
        known = np.array(list(self._losses.values())) ** self.power
        if not len(known) or known.sum() <= 0:
            self._choices = [(1.0, self._even)]
            return
        weights = np.full(sum(array.size for array in self._open), known.mean())
        weights[list(self._losses)] = known
        cuts = np.cumsum([array.size for array in self._open])[:-1]
        parts = [
            part.reshape(array.shape)
            for part, array in zip(np.split(weights, cuts), self._open, strict=True)
        ]
        self._choices = [(self.hard, self._choice(parts)), (1 - self.hard, self._even)]


def _numbers(values: Sequence[float] | torch.Tensor | None) -> Any:
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy().ravel()
    return np.asarray(values).ravel()


def _of_all_processes(pairs: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return pairs
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, pairs)
    return [pair for part in gathered for pair in part]
