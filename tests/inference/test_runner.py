"""Running models: memory, threads, modes, shapes."""

import copy
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from torchgeo_ext.errors import BadParameter, OutOfMemory
from torchgeo_ext.inference.device import (
    automatic_batch_size,
    available_devices,
    is_out_of_memory,
    pick_device,
)
from torchgeo_ext.inference.runner import ModelRunner

CPU = torch.device('cpu')


def tiles(count, dates=1, bands=3, size=4):
    return [np.full((dates, bands, size, size), n, np.float32) for n in range(count)]


def limited(limit, error):
    """Make a model that can take no more than ``limit`` tiles at once."""
    seen = []

    def model(batch):
        seen.append(len(batch))
        if len(batch) > limit:
            raise error
        return batch

    return model, seen


OUT_OF_MEMORY = [
    torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB'),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError('MPS backend out of memory'),
    MemoryError(),
]


@pytest.mark.parametrize('error', OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_batch_is_halved_until_it_fits(error, caplog):
    model, seen = limited(2, error)
    runner = ModelRunner(model, CPU, 9, 4)
    with caplog.at_level(logging.INFO):
        scores = runner(tiles(9))
    assert scores[:, 0, 0, 0].tolist() == list(range(9))
    assert runner.batch_size == 2
    assert seen[0] == 9
    assert 'trying 4' in caplog.text


def test_not_even_one_tile_fits():
    model, seen = limited(0, OUT_OF_MEMORY[0])
    with pytest.raises(OutOfMemory, match='4 x 4 pixels') as caught:
        ModelRunner(model, CPU, 4, 4)(tiles(4))
    assert seen == [4, 2, 1]
    assert 'smaller tile_size' in caught.value.hint


def test_other_errors_are_not_taken_for_want_of_memory():
    model, seen = limited(0, RuntimeError('expected 4 channels'))
    with pytest.raises(RuntimeError, match='4 channels'):
        ModelRunner(model, CPU, 4, 4)(tiles(4))
    assert seen == [4]
    assert not is_out_of_memory(ValueError('out of memory'))


def test_one_date_has_no_axis_of_time():
    shapes = []

    def model(batch):
        shapes.append(tuple(batch.shape))
        return torch.zeros(len(batch), 2, 4, 4)

    runner = ModelRunner(model, CPU, 2, 4)
    runner(tiles(2))
    runner(tiles(2, dates=2))
    assert shapes == [(2, 3, 4, 4), (2, 2, 3, 4, 4)]


def test_convolutions_get_channels_last():
    seen = []

    class Spy(nn.Conv2d):
        def forward(self, batch):
            seen.append(batch.is_contiguous(memory_format=torch.channels_last))
            return super().forward(batch)

    runner = ModelRunner(Spy(3, 2, 1), CPU, 2, 4)
    assert runner.channels_last
    runner([tile.transpose(0, 2, 3, 1).copy() for tile in tiles(2)])
    assert seen == [True]
    assert not ModelRunner(nn.Identity(), CPU, 2, 4).channels_last


@pytest.mark.parametrize(
    ('answer', 'words'),
    [
        (lambda b: {'out': b}, 'gives dict'),
        (lambda b: b[..., ::2, ::2], r'gives \(2, 3, 2, 2\)'),
        (lambda b: b[:, 0], r'gives \(2, 4, 4\)'),
        (lambda b: b[:1], r'gives \(1, 3, 4, 4\)'),
    ],
)
def test_scores_must_have_the_size_of_the_tiles(answer, words):
    with pytest.raises(BadParameter, match=f'model: {words}'):
        ModelRunner(answer, CPU, 2, 4)(tiles(2))


def test_modes_and_threads_are_as_before_afterwards():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5))
    model.train()
    model[1].eval()
    threads = torch.get_num_threads()
    runner = ModelRunner(model, CPU, 1, 4)
    with runner.evaluating(), runner.sharing_cores():
        assert not any(module.training for module in model.modules())
        assert torch.get_num_threads() == max(1, threads // runner.workers)
    assert [module.training for module in model] == [True, False, True]
    assert torch.get_num_threads() == threads


def test_workers_share_weights_but_not_what_modules_remember(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    runner = ModelRunner(model, CPU, 1, 4)
    assert runner.workers == 2
    assert runner._own_model() is model
    with ThreadPoolExecutor() as threads:
        own = threads.submit(runner._own_model).result()
    assert own[0] is not model[0]
    assert own[0].weight is model[0].weight
    assert own[1].running_mean is model[1].running_mean


def test_a_model_that_cannot_be_copied_has_one_worker(monkeypatch):
    class Single(nn.Identity):
        def __deepcopy__(self, memo):
            raise TypeError('no copies')

    model = Single()
    with pytest.raises(TypeError):
        copy.deepcopy(model)
    runner = ModelRunner(model, CPU, 1, 4)
    assert runner.workers == 1
    assert runner._own_model() is model


def test_devices():
    assert pick_device('cpu') == CPU
    assert pick_device('auto').type in ('cpu', 'cuda', 'mps')
    assert available_devices()[-1] == 'cpu'
    assert pick_device('auto').type == available_devices()[0].split(':')[0]


@pytest.mark.parametrize(
    ('name', 'words'), [('gpu', "'gpu' is not a device"), ('cuda:99', 'not available'),
                        ('xpu:7', 'not available')],
)  # fmt: skip
def test_devices_that_are_not_there(name, words):
    with pytest.raises(BadParameter, match=f'device: .*{words}'):
        pick_device(name)


def test_batches_are_small_on_cpus_and_never_empty():
    assert automatic_batch_size(CPU, 512) == 1
    assert automatic_batch_size(CPU, 64) > 1
    assert automatic_batch_size(torch.device('cuda'), 512) > 1
    assert automatic_batch_size(torch.device('cuda'), 8192) == 1
