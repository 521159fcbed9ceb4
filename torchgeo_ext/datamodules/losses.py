"""Tells a sampler of hard examples how well the model did on each patch.

In a YAML file for ``torchgeo-ext fit``::

    trainer:
      callbacks: [torchgeo_ext.datamodules.losses.TellLosses]
    data:
      class_path: GeoTIFFDataModule
      init_args:
        sampler: {class_path: HardExampleSampler, init_args: {hard: 0.5}}
"""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers import HardExampleSampler


class TellLosses(Callback):
    """Gives the loss of each training patch to the :class:`HardExampleSampler` that drew it.

    Losses are those of the task's ``criterion``, taken again patch by patch from what the model
    has predicted; the model does not run a second time. Patches whose loss is no number, as of
    those without label, are left out. What the sampler knows goes into checkpoints, so that a
    training that goes on draws what it would have drawn.
    """

    def __init__(self) -> None:
        self._sampler: HardExampleSampler | None = None
        self._handle: RemovableHandle | None = None
        self._batch: list[Tensor] = []
        self._epoch: list[Tensor] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the sampler and the loss.

        Raises:
            BadParameter: If there is no :class:`HardExampleSampler`, or the task has no
                ``criterion``.
        """
        if stage != 'fit':
            return
        sampler = getattr(getattr(trainer, 'datamodule', None), 'train_sampler', None)
        if not isinstance(sampler, HardExampleSampler):
            raise BadParameter(
                f'TellLosses tells a HardExampleSampler, but patches are drawn by '
                f'{type(sampler).__name__}.',
                'Give the data module that sampler, or leave the callback out.',
            )
        criterion = getattr(pl_module, 'criterion', None)
        if not isinstance(criterion, nn.Module):
            raise BadParameter(
                f'TellLosses takes the losses of criterion, but {type(pl_module).__name__} has '
                'none.',
                'Choose another task, or tell the losses by HardExampleSampler.update.',
            )
        self._sampler = sampler
        self._handle = criterion.register_forward_hook(self._listen)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the task as it was."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with no losses."""
        self._epoch = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin with no losses of the batch; validation may have been in between."""
        self._batch = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the losses of a batch, and tell all of them after the last one."""
        assert self._sampler is not None
        # of several losses of a step the sum counts
        self._epoch.append(torch.stack(self._batch).sum(0))
        if batch_idx + 1 == trainer.num_training_batches:
            # before validation, which writes checkpoints
            losses = torch.cat(self._epoch)
            known = losses.isfinite().nonzero().ravel()
            self._sampler.update(losses[known].clamp(min=0), indices=known)

    def state_dict(self) -> dict[str, Any]:
        """Give what the sampler knows, as plain values and tensors."""
        return {} if self._sampler is None else self._sampler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the sampler know it again."""
        if self._sampler is not None and state_dict:
            self._sampler.load_state_dict(state_dict)

    def _listen(self, criterion: nn.Module, arguments: tuple[Any, ...], loss: Tensor) -> None:
        """Take a loss again, patch by patch."""
        if not criterion.training or not torch.is_grad_enabled():
            return
        if not all(isinstance(argument, Tensor) for argument in arguments):
            raise BadParameter(
                f'TellLosses takes losses of tensors, but {type(criterion).__name__} is given '
                f'{" and ".join(type(argument).__name__ for argument in arguments)}.',
                'Choose another task, or tell the losses by HardExampleSampler.update.',
            )
        with torch.no_grad():
            patches = zip(*(argument.split(1) for argument in arguments), strict=True)
            losses = [criterion(*patch) for patch in patches]
        self._batch.append(torch.stack(losses).float().cpu())
