"""One's own image series on their way into a training."""

import numpy as np
import pytest
import torch

from tests.datasets.makers import class_map, image_of
from tests.rasters import write_raster
from tests.tasks.pairs import run_once
from torchgeo_ext.datamodules import SeriesDataModule
from torchgeo_ext.samplers import BlockedSplit
from torchgeo_ext.tasks import SeriesSegmentation

CLASSES = class_map(96, 96, side=12)
DAYS = ('05', '15', '25')


@pytest.fixture
def module(tmp_path):
    for number, day in enumerate(DAYS):
        values = image_of(CLASSES, seed=number) * (number + 1)
        write_raster(tmp_path / f'scene_2020-05-{day}.tif', values, names=('B02', 'B03'))
    write_raster(tmp_path / 'labels.tif', CLASSES)
    clouds = np.zeros((96, 96), 'uint8')
    clouds[:, :48] = 9
    write_raster(tmp_path / 'clouds_2020-05-15.tif', clouds)
    made = SeriesDataModule(
        root=str(tmp_path), images='scene_*.tif', clouds='clouds_*.tif', cloud_values=[9],
        labels='labels.tif', patch_size=32, batch_size=2, length=4, split=BlockedSplit(),
    )  # fmt: skip
    made.setup('fit')
    return made


def test_all_dates_of_a_place_are_a_sample(module):
    batch = next(iter(module.train_dataloader()))
    assert batch['image'].shape == (2, 3, 2, 32, 32)
    assert (batch['seconds'][0].diff() / 86_400).tolist() == [10, 10]
    cloudy = ~batch['mask_valid']
    assert not cloudy[:, [0, 2]].any()
    ready = module.aug({key: value.clone() for key, value in batch.items()})
    assert ready['image'][cloudy[:, :, None].expand_as(ready['image'])].eq(0).all()
    # figures are those of all dates together
    assert module.survey.values.mean[0] == pytest.approx(4000, rel=0.15)


def test_labels_of_the_hold_out_are_not_learned_from(module):
    seen = [
        sample['mask'] >= 0
        for sample in map(module.train_dataset.__getitem__, module.train_sampler)
    ]
    held = [module.val_dataset[patch]['mask'] >= 0 for patch in module.val_sampler]
    assert sum(map(torch.count_nonzero, seen)) > 0
    assert 0 < sum(map(torch.count_nonzero, held)) < CLASSES.size / 2


def test_a_network_of_series_learns_from_it(module):
    torch.manual_seed(0)
    task = SeriesSegmentation(in_channels=2, num_classes=3)
    samples = [
        module.aug({k: v[None] for k, v in module.val_dataset[p].items()})
        for p in list(module.val_sampler)[:2]
    ]
    made = [{name: sample[name][0] for name in ('image', 'mask', 'seconds')} for sample in samples]
    assert run_once(task, made)['train_loss'] > 0
    figure = module.plot_samples(1, task)
    titles = [axis.get_title() for axis in figure.axes]
    assert {'image', 'label', 'prediction'} <= set(titles)
