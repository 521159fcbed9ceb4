"""Test-time augmentation: the mean of predictions of turned and mirrored tiles."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter

#: (quarter turns, mirrored along x) of each view
_VIEWS: dict[str, Sequence[tuple[int, bool]]] = {
    'flip': [(0, False), (0, True), (2, True), (2, False)],
    'd4': [(turns, mirrored) for mirrored in (False, True) for turns in range(4)],
}


class TestTimeAugmentation(nn.Module):
    """Averages the scores a model gives to several views of its input, each turned back.

    Args:
        model: Maps (..., height, width) to scores (batch, classes, height, width).
        views: ``flip``: as it is, mirrored along x, along y and along both. ``d4``: these and the
            same turned by 90 degrees, eight views. Tiles must be square.

    Raises:
        BadParameter: If ``views`` is neither.
    """

    __test__ = False  # pytest takes the name for that of a test class

    def __init__(
        self, model: Callable[[Tensor], Tensor], views: Literal['flip', 'd4'] = 'flip'
    ) -> None:
        super().__init__()
        if views not in _VIEWS:
            raise BadParameter(
                f'augmentation: {views!r} is not a set of views.', 'Choose flip or d4.'
            )
        self.model = model
        self.views = views

    def forward(self, image: Tensor) -> Tensor:
        """Return the mean scores.

        One view after the other, since all at once would need as many times the memory.
        """
        views = _VIEWS[self.views]
        total = self._scores(image, *views[0])
        for turns, mirrored in views[1:]:
            total = total + self._scores(image, turns, mirrored)
        return total / len(views)

    def _scores(self, image: Tensor, turns: int, mirrored: bool) -> Tensor:
        view = torch.rot90(image, turns, (-2, -1))
        scores = self.model(view.flip(-1) if mirrored else view)
        return torch.rot90(scores.flip(-1) if mirrored else scores, -turns, (-2, -1))
