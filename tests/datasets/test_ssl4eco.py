"""SSL4Eco, on made-up files of the layout that its script writes."""

import matplotlib.pyplot as plt
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError

from tests.data.ssl4eco import data
from tests.rasters import write_raster
from torchgeo_ext.datasets import SSL4Eco
from torchgeo_ext.errors import BadInput, BadParameter


@pytest.fixture
def root(tmp_path):
    data.make(tmp_path)
    return tmp_path


def test_images_of_a_place_by_date(root):
    dataset = SSL4Eco(root)
    assert len(dataset) == 2
    sample = dataset[0]
    assert sample['image'].shape == (4, 13, data.SIZE, data.SIZE)
    assert sample['gap'].tolist() == [False, False, True, True]
    # 2019 comes before 2020
    assert sample['image'][:, 12, 0, 0].tolist() == [2012, 1012, 0, 0]
    assert sample['doy'].tolist() == [182, 101, 0, 0]
    half = data.SIZE / 2 * 1e-4
    assert sample['center'].tolist() == pytest.approx([7 + half, 47 - half])


def test_images_of_a_place_by_season(root):
    dataset = SSL4Eco(root, ['B2', 'NDVI'], index=root / 'index.csv', seasons=2)
    assert dataset[0]['image'][:, :, 0, 0].tolist() == [[1001, 1012], [2001, 2012]]
    assert dataset[1]['gap'].tolist() == [True, False]
    assert dataset[1]['image'][0].eq(0).all()
    assert len(SSL4Eco(root, seasons=1)[0]['image']) == 1
    with pytest.raises(BadInput, match='none of the images that the index tells'):
        SSL4Eco(root, index=root / 'index.csv', seasons=1)


def test_a_figure_and_transforms(root):
    dataset = SSL4Eco(root, transforms=lambda sample: sample | {'seen': torch.tensor(1)})
    sample = dataset[0]
    assert sample['seen'] == 1
    figure = dataset.plot(sample, suptitle='a place')
    assert [axis.get_title() for axis in figure.axes] == [
        'day 182', 'day 101', 'no image', 'no image',
    ]  # fmt: skip
    plt.close(figure)
    with pytest.raises(RGBBandsMissingError):
        SSL4Eco(root, ['B2']).plot(sample)


def test_what_does_not_fit(root, tmp_path_factory):
    with pytest.raises(DatasetNotFoundError, match='imgs'):
        SSL4Eco(tmp_path_factory.mktemp('empty'))
    with pytest.raises(BadParameter, match="bands: 'B10'"):
        SSL4Eco(root, ['B10'])
    other = root / 'other.csv'
    other.write_text('place,image\n1,a\n')
    with pytest.raises(BadInput, match=r'index: .* has the columns place, image'):
        SSL4Eco(root, index=other)
    other.write_text(f'index,image_id_1\n7,{data.PLACES[7][0]}\n')
    with pytest.raises(BadInput, match='there is no place 000012'):
        SSL4Eco(root, index=other)
    file = next((root / 'imgs' / '000012').glob('*.tif'))
    write_raster(file, torch.zeros(3, 4, 4, dtype=torch.uint8).numpy())
    with pytest.raises(BadInput, match='has 3 bands instead of 13'):
        SSL4Eco(root)[1]
