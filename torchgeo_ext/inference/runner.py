"""Running a model on batches of tiles, on whatever device, within its memory."""

import copy
import ctypes
import logging
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter, OutOfMemory
from torchgeo_ext.inference.device import automatic_batch_size, is_out_of_memory

logger = logging.getLogger(__name__)

#: Maps (b, c, h, w), or (b, t, c, h, w) for several rasters, to scores (b, k, h, w).
Model = Callable[[Tensor], Tensor]

#: Maps (b, c, h, w) to what is known of the objects of each image.
Detector = Callable[[Tensor], Sequence[Mapping[str, Tensor]]]


class Runner[Result](ABC):
    """Runs a model on batches; may be called from as many threads as it has workers.

    A network on a CPU gets two workers with half of PyTorch's threads each: while one waits for
    something (another thread's turn, a Python step), the other one computes, and no pair of
    threads spins for a third one that reading or writing keeps from its core. On two busy cores
    this is the difference between no loss and a tenfold one. One of the workers is the thread
    that would otherwise wait for the results: the heap of another thread holds a network's
    tensors with much waste.

    Convolutions are fastest with channels last in memory on CPUs and on CUDA's tensor cores (half
    the time of channels first for a ResNet-18 U-Net on a CPU), so that is how tiles are laid out
    for networks with 2-D convolutions.

    Args:
        model: The model; a module is moved to the device and used in evaluation mode.
        device: Where to compute.
        batch_size: Tiles at once; 0 chooses.
        tile_size: Height and width of tiles in pixels.

    Attributes:
        batch_size: Tiles at once, halved whenever memory was too small.
        tile_size: Height and width of tiles in pixels.
        channels_last: Whether tiles are (h, w, c) in memory.
        workers: Number of batches to run at the same time.
        on_accelerator: Whether the device is something else than a CPU.
    """

    def __init__(
        self, model: Callable[[Tensor], Any], device: torch.device, batch_size: int, tile_size: int
    ) -> None:
        self.batch_size = batch_size or automatic_batch_size(device, tile_size)
        self.channels_last = False
        self.workers = 1
        self.on_accelerator = device.type != 'cpu'
        self._model, self._device, self.tile_size = model, device, tile_size
        self._copy: nn.Module | None = None
        self._home = threading.get_ident()
        if isinstance(model, nn.Module):
            self._place(model)

    @property
    def threads(self) -> int:
        """How many of the workers need a thread of their own."""
        return max(1, self.workers - 1)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put the model into evaluation mode, and back afterwards."""
        modules = self._model.modules() if isinstance(self._model, nn.Module) else ()
        modes = {module: module.training for module in modules}
        for module in modes:
            module.training = False
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

    @contextmanager
    def sharing_cores(self) -> Iterator[None]:
        """Divide PyTorch's threads between the workers, and undo it afterwards."""
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // self.workers))
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    @abstractmethod
    def _checked(self, outputs: Any, count: int) -> Result:
        """See that the outputs for so many tiles are what they have to be."""

    def _results(self, tiles: Sequence[np.ndarray]) -> Iterator[Result]:
        """Yield the outputs for as many tiles at once as fit into memory.

        Args:
            tiles: Float32 arrays (t, c, h, w), or (t, h, w, c) for channels last; all have one
                date (t = 1) or all have as many.

        Raises:
            OutOfMemory: If not even one tile fits.
        """
        size, done = len(tiles), 0
        while done < len(tiles):
            batch = tiles[done : done + size]
            found = self._attempt(batch)
            if found is None:
                size = self._halve(len(batch))
            else:
                yield found
                done += len(batch)

    def _attempt(self, tiles: Sequence[np.ndarray]) -> Result | None:
        """Return the outputs, or ``None`` if memory was too small for so many tiles."""
        try:
            return self._forward(tiles)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(tiles) == 1:
                raise OutOfMemory(
                    f'Not even one tile of {self.tile_size} x {self.tile_size} pixels fits into '
                    f'the memory of {self._device} ({error}).',
                    'Choose a smaller tile_size, or another device.',
                ) from error
            return None

    def _halve(self, count: int) -> int:
        # called outside of the handler, whose traceback keeps the failed attempt's tensors
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()
        half = count // 2
        self.batch_size = min(self.batch_size, half)
        logger.info('Memory is too small for %d tiles at once, trying %d', count, half)
        return half

    def _place(self, model: nn.Module) -> None:
        kinds = nn.Conv2d, nn.ConvTranspose2d
        convolutions = [module for module in model.modules() if isinstance(module, kinds)]
        self.channels_last = bool(convolutions) and self._device.type in ('cpu', 'cuda')
        model.to(self._device)
        if self.channels_last:
            # one by one, as filters of 3-D convolutions cannot be laid out so
            for module in convolutions:
                module.to(memory_format=torch.channels_last)
        if self._device.type == 'cpu' and torch.get_num_threads() > 1:
            self._copy = _copy_sharing_weights(model)
        if self._copy is not None:
            self._copy.eval()
            self.workers = 2
            _share_heap()

    def _forward(self, tiles: Sequence[np.ndarray]) -> Result:
        batch = torch.from_numpy(tiles[0][None] if len(tiles) == 1 else np.stack(tiles))
        if self._device.type == 'cuda':
            batch = batch.pin_memory()
        batch = batch.to(self._device, non_blocking=True)
        if self.channels_last:
            batch = batch.movedim(-1, -3)
        if batch.shape[1] == 1:
            batch = batch[:, 0]
        with torch.inference_mode():
            return self._checked(self._own_model()(batch), len(tiles))

    def _own_model(self) -> Callable[[Tensor], Any]:
        """Return this worker's model: modules may keep things on themselves while they run."""
        at_home = threading.get_ident() == self._home
        return self._model if self._copy is None or at_home else self._copy


class ModelRunner(Runner[Tensor]):
    """Runs a model that gives scores of each pixel.

    Args:
        model: The model; a module is moved to the device and used in evaluation mode.
        device: Where to compute.
        batch_size: Tiles at once; 0 chooses.
        tile_size: Height and width of tiles in pixels.
        reduction: Pixels of a tile, along one side, for each pixel of the scores.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device,
        batch_size: int,
        tile_size: int,
        reduction: int = 1,
    ) -> None:
        super().__init__(model, device, batch_size, tile_size)
        self._reduction = reduction

    def __call__(self, tiles: Sequence[np.ndarray]) -> Tensor:
        """Return the scores (b, k, h, w) of tiles, on the device.

        Args:
            tiles: Float32 arrays (t, c, h, w), or (t, h, w, c) for channels last; all have one
                date (t = 1) or all have as many.

        Raises:
            OutOfMemory: If not even one tile fits.
            BadParameter: If the model does not give scores of the tile's size.
        """
        scores = [*self._results(tiles)]
        return scores[0] if len(scores) == 1 else torch.cat(scores)

    def _checked(self, scores: Any, count: int) -> Tensor:
        size = self.tile_size // self._reduction
        if (
            not isinstance(scores, Tensor)
            or scores.ndim != 4
            or ((len(scores), *scores.shape[2:]) != (count, size, size))
        ):
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise BadParameter(
                f'model: gives {found} for {count} tiles of {self.tile_size} x {self.tile_size} '
                f'pixels instead of scores ({count}, classes, {size}, {size}).',
                'Wrap the model so that it gives scores of this size.',
            )
        return scores.float()


class ObjectRunner(Runner[Sequence[Mapping[str, Tensor]]]):
    """Runs a detector."""

    def __call__(self, tiles: Sequence[np.ndarray]) -> list[Mapping[str, Tensor]]:
        """Return what is known of the objects of each tile, on the device.

        Args:
            tiles: Float32 arrays (1, c, h, w), or (1, h, w, c) for channels last.

        Raises:
            OutOfMemory: If not even one tile fits.
            BadParameter: If the detector does not give an answer for each tile.
        """
        return [answer for answers in self._results(tiles) for answer in answers]

    def _checked(self, outputs: Any, count: int) -> Sequence[Mapping[str, Tensor]]:
        if not isinstance(outputs, Sequence) or len(outputs) != count:
            raise BadParameter(
                f'detector: gives {type(outputs).__name__} for {count} tiles instead of a list of '
                'as many answers.',
                'Wrap it so that it gives boxes, scores and labels of each tile.',
            )
        return outputs


def _copy_sharing_weights(model: nn.Module) -> nn.Module | None:
    """Copy the modules but not their tensors; ``None`` if the modules do not allow it."""
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    try:
        return copy.deepcopy(model, shared)
    except (TypeError, RuntimeError, NotImplementedError, AttributeError):
        logger.debug('The model cannot be copied, so one batch runs at a time', exc_info=True)
        return None


def _share_heap() -> None:
    """Let threads to come allocate from the heaps that are there (glibc only).

    By default each thread gets heaps of 64 MB of its own, into which the tensors of a network pack
    badly: 50 MB were wasted on a ResNet-18 U-Net with tiles of 512 pixels.
    """
    if sys.platform == 'linux':
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)


_M_ARENA_MAX = -8  # from malloc.h
