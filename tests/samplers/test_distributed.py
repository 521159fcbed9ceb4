"""Two real processes that talk to each other through gloo."""

import json
import socket

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from lightning import seed_everything
from torch.utils.data import DataLoader

from tests.samplers.makers import Land, cuts, grid_of
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers import HardExampleSampler, SeededRandomSampler, TiledSampler


def land():
    return Land(grid_of(64, 80), grid_of(40, 40, row=100))


def read(sampler, epoch, workers):
    """What a loader reads: raster, first row and first column of each patch."""
    sampler.set_epoch(epoch)
    loader = DataLoader(land(), batch_size=3, sampler=sampler, num_workers=workers)
    return torch.cat([batch['image'][:, :, 0, 0] for batch in loader]).tolist()


def run(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2
    )
    torch.manual_seed(100 + rank)  # as torch has it where nobody sets a seed
    unseeded = SeededRandomSampler(land(), size=8, length=30)
    with pytest.raises(BadParameter, match='2 processes'):
        cuts(unseeded)
    seed_everything(7, verbose=False)
    hard = HardExampleSampler(land(), size=8, length=30, hard=1.0)
    drawn = [cut.tile_id for cut in hard.cuts()]
    hard.update([float(number) for number in drawn], tile_ids=drawn)
    hard.set_epoch(1)
    found = {
        'random': [read(unseeded, epoch, workers) for epoch in (0, 1) for workers in (0, 2)],
        'tiles': read(TiledSampler(land(), size=16), 0, 0),
        'hard': cuts(hard),
    }
    (folder / f'{rank}.json').write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.fixture
def found(tmp_path, monkeypatch):
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith('lo'))
    monkeypatch.setenv('GLOO_SOCKET_IFNAME', loopback)
    monkeypatch.delenv('PL_GLOBAL_SEED', raising=False)
    torch.multiprocessing.start_processes(run, (tmp_path,), nprocs=2, start_method='fork')
    return [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in (0, 1)]


def test_work_is_disjoint_complete_and_reproducible(found):
    one, other = found
    single = SeededRandomSampler(land(), size=8, length=30, seed=7)
    for epoch in (0, 1):
        whole = read(single, epoch, 0)
        for workers in (0, 1):
            parts = [part['random'][2 * epoch + workers] for part in (one, other)]
            assert [len(part) for part in parts] == [15, 15]
            assert [parts[i % 2][i // 2] for i in range(30)] == whole
    assert one['random'][0] != one['random'][2]
    # tiles: one run after the other, none twice
    assert one['tiles'] + other['tiles'] == read(TiledSampler(land(), size=16), 0, 0)
    # both heard of all losses, and still draw one list
    assert one['hard'] != other['hard']
    alone = HardExampleSampler(land(), size=8, length=30, hard=1.0, seed=7)
    drawn = [cut.tile_id for cut in alone.cuts()]
    alone.update(np.array(drawn, float), tile_ids=drawn)
    alone.set_epoch(1)
    whole = [list(cut) for cut in cuts(alone)]
    assert [[one, other][i % 2]['hard'][i // 2] for i in range(30)] == whole
