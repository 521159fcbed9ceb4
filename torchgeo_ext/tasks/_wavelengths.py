"""Tells networks that know bands by their wavelengths those of each batch.

Axes: b batch, c channel.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torchgeo.tasks import BaseTask

from torchgeo_ext.errors import BadInput

#: What parts of networks that encode images are called.
_ENCODERS = ('encoder', 'backbone')
#: Arguments of builders that say the wavelengths once and for all.
_GIVEN = ('bands', 'wavelengths')
#: Of micrometres.
_DIGITS = 6


def tell_wavelengths(
    network: nn.Module, arguments: Mapping[str, Any] | None, batch: Mapping[str, Any]
) -> None:
    """Tell a network the wavelengths of a batch, if it goes by them and the batch knows them.

    Args:
        network: Any network.
        arguments: What it was built with; wavelengths that are given there stay.
        batch: May have ``wavelengths`` (b, c) in micrometres.

    Raises:
        BadInput: If images of several sensors are in one batch.
    """
    told = batch.get('wavelengths')
    if isinstance(told, Tensor) and not told.isnan().any():
        for part in _followers(network, arguments):
            part.wavelengths = _shared(told)


class FollowsWavelengths(BaseTask):
    """A task whose ``model`` is told the wavelengths of each batch before it sees it.

    Checkpoints say which ones it was told last, so that what is built from them knows its bands.
    """

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Tell the network what it is about to see."""
        tell_wavelengths(self.model, self.hparams['model_args'], batch)

    def on_validation_batch_start(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Tell the network what it is about to see."""
        self.on_train_batch_start(batch, batch_idx)

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Tell the network what it is about to see."""
        self.on_train_batch_start(batch, batch_idx)

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Tell the network what it is about to see."""
        self.on_train_batch_start(batch, batch_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down the wavelengths, where the arguments of the network do not give them."""
        super().on_save_checkpoint(checkpoint)
        arguments = self.hparams['model_args'] or {}
        for part in _followers(self.model, arguments):
            known = {**arguments, 'bands': list(part.wavelengths)}
            checkpoint['hyper_parameters'] = {
                **checkpoint['hyper_parameters'], 'model_args': known,
            }  # fmt: skip


def _followers(network: nn.Module, arguments: Mapping[str, Any] | None) -> Iterator[Any]:
    """Yield parts that go by wavelengths, unless these are given by arguments."""
    if not any((arguments or {}).get(name) is not None for name in _GIVEN):
        for name in _ENCODERS:
            part: Any = getattr(network, name, None)
            if hasattr(part, 'wavelengths'):
                yield part


def _shared(wavelengths: Tensor) -> list[float]:
    """Give the centres that all images of a batch (b, c) have."""
    first, *others = wavelengths.float().unique(dim=0)
    if others:
        raise BadInput(
            f'wavelengths: the images of a batch are of {1 + len(others)} sensors.',
            'Put images of one sensor into a batch.',
        )
    # as they were written, without what 32 bits add
    return [round(centre, _DIGITS) for centre in first.tolist()]
