"""Says that a published dataset is not there."""

from typing import Any

from torchgeo.datasets import DatasetNotFoundError


class PublishedNotFoundError(DatasetNotFoundError):
    """The data is not there; tells where to get it and what it must look like.

    Args:
        dataset: Has the text of its ``page`` and ``layout``, and a ``split``.
    """

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.args = (
            f'{self.args[0]} See {dataset.page}. Expected for split={dataset.split!r}: '
            f'{dataset.layout}.',
        )
