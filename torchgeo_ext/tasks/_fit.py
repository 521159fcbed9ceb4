"""Fits a task quietly, keeps its best state in memory, and can be stopped at any step."""

import logging
import math
import random
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from torchgeo_ext.errors import BadParameter, Canceled, OutOfMemory
from torchgeo_ext.progress import Progress, silent

log = logging.getLogger(__name__)

Ending = Literal['finished', 'no better', 'diverged', 'canceled']


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Args:
        number: From 1.
        train_loss: Mean over its steps.
        val_loss: Mean over the validation tiles; NaN for tasks that have none.
        figures: Scores on the hold-out by name; the first one decides which epoch is the best.
    """

    number: int
    train_loss: float
    val_loss: float
    figures: Mapping[str, float]

    @property
    def score(self) -> float:
        """The figure that decides."""
        return next(iter(self.figures.values()))


@dataclass(frozen=True)
class Fitted[S]:
    """The outcome of :func:`fit`.

    Args:
        epochs: All validated epochs.
        best: The one whose state the task has now.
        scores: On the hold-out, of that epoch.
        ending: Why it ended.
        seconds: How long it took.
    """

    epochs: tuple[Epoch, ...]
    best: Epoch
    scores: S
    ending: Ending
    seconds: float


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make everything random inside follow a seed, and leave the caller's random state alone."""
    with isolate_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (libraries still use the global generator)
        random.seed(seed)
        yield


def fit(
    task: LightningModule,
    datamodule: LightningDataModule,
    *,
    epochs: int,
    patience: int,
    device: torch.device,
    progress: Progress = silent,
) -> Fitted[Any]:
    """Fit a task of :mod:`torchgeo_ext.tasks`.

    The epoch with the highest score on the hold-out counts; the task has its state afterwards.

    Args:
        task: Gives ``val_scores()`` with ``figures``, as those with ``MaskedLabels``; the first of
            these is the score.
        datamodule: Gives training and validation batches.
        epochs: How many at most.
        patience: Ends after so many epochs without a better one; 0 never does.
        device: Where to compute.
        progress: Told after each step; when it cancels, the best epoch so far is kept.

    Raises:
        Canceled: If the user stops before the first epoch was validated.
        BadParameter: If the loss is no number before that.
        OutOfMemory: If a batch does not fit into memory.
    """
    keeper = _BestSoFar(epochs, patience, progress)
    start, canceled = time.monotonic(), False
    with tempfile.TemporaryDirectory() as folder, _quiet(), _memory_errors():
        trainer = _trainer(epochs, device, [keeper], folder)
        try:
            trainer.fit(task, datamodule=datamodule)
        except Canceled:
            if keeper.best is None:
                raise
            canceled = True
    if keeper.best is None:
        raise BadParameter(
            'learning_rate: training diverged in its first epoch (the loss is no number).',
            'Choose a lower learning_rate.',
        )
    task.load_state_dict(keeper.state)
    task.eval()
    ending = _ending(keeper, canceled)
    return Fitted(
        tuple(keeper.epochs), keeper.best, keeper.scores, ending, time.monotonic() - start
    )


def _trainer(epochs: int, device: torch.device, callbacks: list[Callback], folder: str) -> Trainer:
    """Make a trainer that writes and says nothing."""
    return Trainer(
        accelerator='gpu' if device.type == 'cuda' else device.type,
        devices=[device.index or 0] if device.type == 'cuda' else 1,
        max_epochs=epochs,
        callbacks=callbacks,
        default_root_dir=folder,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


class _BestSoFar(Callback):
    """Keeps the best state in memory and reports after each step."""

    def __init__(self, epochs: int, patience: int, progress: Progress) -> None:
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self.scores: Any
        self.state: dict[str, Tensor] = {}
        self.diverged = False
        self.number = epochs
        self._progress = progress
        self._losses: list[float] = []
        self._latest: Any
        self._patience, self._waited, self._highest = patience, 0, -math.inf

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._losses = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs['loss'])
        if not math.isfinite(loss):
            self.diverged = trainer.should_stop = True
        self._losses.append(loss)
        self._report(trainer, (batch_idx + 1) / max(1, int(trainer.num_training_batches)))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._report(trainer, 1.0)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # comes before the task's own, which starts counting anew
        self._latest = pl_module.val_scores()  # type: ignore[operator]  # not a Tensor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.diverged:
            return
        epoch = Epoch(
            trainer.current_epoch + 1,
            float(np.mean(self._losses)),
            float(trainer.callback_metrics.get('val_loss', math.nan)),
            self._latest.figures,
        )
        self.epochs.append(epoch)
        if self.best is None or _rank(epoch) > _rank(self.best):
            self.best, self.scores = epoch, self._latest
            self.state = {k: v.detach().cpu().clone() for k, v in pl_module.state_dict().items()}
        # a lower loss at the same score makes a better epoch, but is not worth waiting for
        self._waited = 0 if epoch.score > self._highest else self._waited + 1
        self._highest = max(self._highest, epoch.score)
        if self._patience and self._waited >= self._patience:
            trainer.should_stop = True

    def _report(self, trainer: Trainer, share: float) -> None:
        epoch = trainer.current_epoch
        text = f'epoch {epoch + 1}/{self.number}, loss {np.mean(self._losses):.2f}'
        if self.epochs:
            name, score = next(iter(self.epochs[-1].figures.items()))
            text += f', validation {name} {score:.2f}'
        self._progress((epoch + share) / self.number, text)


def _rank(epoch: Epoch) -> tuple[float, float]:
    return epoch.score, 0.0 if math.isnan(epoch.val_loss) else -epoch.val_loss


def _ending(keeper: '_BestSoFar', canceled: bool) -> Ending:
    """Find out why training ended, and tell the user."""
    assert keeper.best is not None
    done = f'{len(keeper.epochs)} epoch{"s" * (len(keeper.epochs) != 1)}'
    best = keeper.best.number
    if keeper.diverged:
        log.warning(
            'Training diverged after %s; the best one (%d) is kept. A lower learning_rate helps.',
            done,
            best,
        )
        return 'diverged'
    if canceled:
        log.warning('Stopped early by the user after %s; the best one (%d) is kept.', done, best)
        return 'canceled'
    log.info('Trained %s; the best one is number %d.', done, best)
    return 'finished' if len(keeper.epochs) == keeper.number else 'no better'


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's remarks about hardware, loggers and workers from the user."""
    loggers = [logging.getLogger(name) for name in ('lightning.pytorch', 'lightning.fabric')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', module=r'lightning\.')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # torch's own class for accelerators, a plain RuntimeError for main memory
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(
                'A batch does not fit into memory.', 'Choose a smaller batch_size or patch_size.'
            ) from error
        raise
