"""Means and standard deviations of TorchGeo's data modules, known and computed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset
from torchgeo.datamodules import (
    EuroSATDataModule,
    GeoNRWDataModule,
    PASTIS100DataModule,
    PASTISDataModule,
    So2SatDataModule,
    SubstationDataModule,
    SustainBenchCropYieldDataModule,
)

from torchgeo_ext.datamodules.statistics import (
    UseStatistics,
    dataset_statistics,
    known_statistics,
    use_statistics,
)
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.statistics import BandStatistics


class Images(Dataset):
    """Two bands with figures of their own, in samples as large as the index says."""

    bands = ('red', 'nir')

    def __init__(self, shape, number=6):
        self.images = [
            np.random.default_rng(i).normal(
                [[[5]], [[100]]], [[[1]], [[20]]], (*shape, 2, 4 + i, 5)
            )
            for i in range(number)
        ]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {'image': torch.tensor(self.images[index], dtype=torch.float32)}

    def pixels(self, indices):
        return np.concatenate(
            [np.moveaxis(self.images[i], -3, 0).reshape(2, -1) for i in indices], axis=1
        )


@pytest.mark.parametrize('shape', [(), (3,)])
def test_of_a_dataset_equal_to_numpy(shape):
    dataset = Images(shape)
    found = dataset_statistics(Subset(dataset, [0, 2, 5]))
    pixels = dataset.pixels([0, 2, 5])
    assert found.mean == pytest.approx(pixels.mean(1), rel=1e-6)
    assert found.std == pytest.approx(pixels.std(1), rel=1e-5)
    assert [band.name for band in found.bands] == ['red', 'nir']
    assert found.rasters == ('Images',)


def test_missing_pixels_do_not_count():
    dataset = Images(())
    dataset.images[1][0, 0, 0] = np.nan
    dataset.images[2][1, 1, 1] = -9999
    found = dataset_statistics(dataset, nodata=-9999)
    assert [band.missing for band in found.bands] == [1, 1]
    assert found.bands[1].minimum > 0


def test_datasets_that_cannot_be_summed_up():
    with pytest.raises(BadInput, match='Images has no samples'):
        dataset_statistics(Images((), number=0))
    dataset = Images(())
    dataset.images[3] = dataset.images[3][:1]
    with pytest.raises(BadInput, match='sample 3 has 1 bands, the first has 2'):
        dataset_statistics(dataset)


def after(datamodule, batch, stage='aug'):
    """What the data module makes of a batch."""
    slot = getattr(datamodule, stage) or datamodule.aug
    return slot({key: value.clone() for key, value in batch.items()})['image']


SERIES = {
    'image': torch.full((2, 3, 10, 8, 8), 4000.0),
    'mask': torch.zeros(2, 8, 8, dtype=torch.long),
}


@pytest.mark.parametrize('kind', [PASTISDataModule, PASTIS100DataModule])
def test_pastis_is_reflectance(kind):
    data = kind()
    assert float(after(data, SERIES).mean()) == pytest.approx(4000 / 255)
    use_statistics(data, *known_statistics(data))
    assert after(data, SERIES).shape == SERIES['image'].shape
    assert torch.allclose(after(data, SERIES), torch.tensor(0.4))
    assert float(data.std) == 10_000


def test_so2sat_uses_its_own_figures():
    data = So2SatDataModule()
    assert float(data.std) == 255
    mean, std = known_statistics(data)
    use_statistics(data, mean, std)
    assert len(mean) == len(std) == 18
    image = (torch.tensor(mean) + 2 * torch.tensor(std)).reshape(1, 18, 1, 1).expand(2, -1, 4, 4)
    assert torch.allclose(after(data, {'image': image}), torch.tensor(2.0), atol=1e-3)
    assert known_statistics(So2SatDataModule(band_set='s2')) is None


@pytest.mark.parametrize('kind', [GeoNRWDataModule, SustainBenchCropYieldDataModule])
def test_what_is_scaled_already_stays(kind):
    data = kind()
    use_statistics(data, *known_statistics(data))
    assert torch.allclose(after(data, {'image': torch.full((2, 3, 8, 8), 0.5)}), torch.tensor(0.5))
    assert float(data.std) == 1


@pytest.mark.parametrize('stage', ['aug', 'train_aug'])
def test_a_module_that_never_normalises_does_then(stage):
    data = SubstationDataModule(size=8)
    batch = {'image': torch.full((2, 13, 8, 8), 5000.0), 'mask': torch.zeros(2, 8, 8).long()}
    assert float(after(data, batch, stage).mean()) == 5000
    for _ in range(2):  # doing it again does it once
        use_statistics(data, *known_statistics(data))
    assert torch.allclose(after(data, batch, stage), torch.tensor(0.5))


def test_the_callback(tmp_path):
    saved = dataset_statistics(Images(())).save(tmp_path / 'a.json')
    data = EuroSATDataModule()
    assert known_statistics(data) is None
    trainer = SimpleNamespace(datamodule=data)
    UseStatistics(str(saved)).setup(trainer, None, 'fit')
    assert tuple(data.mean.tolist()) == pytest.approx(BandStatistics.load(saved).mean)
    with pytest.raises(BadParameter, match='No figures are known for EuroSATDataModule'):
        UseStatistics().setup(trainer, None, 'fit')
    pastis = SimpleNamespace(datamodule=PASTISDataModule())
    UseStatistics().setup(pastis, None, 'test')
    assert float(pastis.datamodule.std) == 10_000
    with pytest.raises(BadParameter, match='there is none'):
        UseStatistics().setup(SimpleNamespace(datamodule=None), None, 'fit')
