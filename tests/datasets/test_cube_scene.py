"""Indian Pines, Pavia and Houston: files of one's own."""

import numpy as np
import pytest
from scipy.io import savemat
from torch.utils.data import DataLoader

from tests.data.cubescene.data import make
from tests.rasters import write_raster
from torchgeo_ext.datasets import Houston2013, IndianPines, PaviaCentre, PaviaUniversity
from torchgeo_ext.errors import BadInput, BadParameter


@pytest.mark.parametrize('bands', [200, 220])
def test_patches_around_labelled_pixels(tmp_path, bands):
    dataset = IndianPines(*make(tmp_path, bands, (145, 145), 16), patch_size=5)
    assert len(dataset) == (dataset.labels >= 0).sum() == len(dataset.targets)
    index = 4000
    sample = dataset[index]
    row, column = sample['place'].tolist()
    assert sample['image'].shape == (bands, 5, 5)
    np.testing.assert_array_equal(sample['image'][:, 2, 2], dataset.cube[:, row, column])
    np.testing.assert_array_equal(
        sample['image'], dataset.cube[:, row - 2 : row + 3, column - 2 : column + 3]
    )
    assert sample['label'] == dataset.labels[row, column]
    # mirrored beyond the rim
    first = dataset[0]
    assert first['place'].tolist() == [1, 0]
    np.testing.assert_array_equal(first['image'][:, :, 0], first['image'][:, :, 4])
    assert dataset.legend[0][:2] == (1, 'alfalfa')
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch['image'].shape == (3, bands, 5, 5)
    assert dataset.plot(sample, suptitle='pixel').axes


def test_wavelengths_go_with_the_bands(tmp_path):
    every, corrected = (
        IndianPines(*make(tmp_path, bands, (145, 145), 16)).wavelengths for bands in (220, 200)
    )
    assert every[[0, -1]].tolist() == pytest.approx([0.40002, 2.49896])
    # the spectrometers overlap
    assert (every.diff() < 0).sum() == 3
    assert corrected[[102, 103]].tolist() == pytest.approx(every[[102, 108]].tolist())
    assert not ((corrected > 1.355) & (corrected < 1.4)).any()
    assert not ((corrected > 1.815) & (corrected < 1.93)).any()
    sample = IndianPines(*make(tmp_path, 200, (145, 145), 16))[0]
    assert sample['wavelengths'].shape == sample['image'].shape[:1]


@pytest.mark.parametrize(
    ('kind', 'bands', 'size', 'classes'),
    [
        (PaviaUniversity, 103, (610, 340), 9),
        (PaviaCentre, 102, (1096, 715), 9),
        (Houston2013, 144, (349, 1905), 15),
    ],
)
def test_facts_of_the_others(kind, bands, size, classes):
    assert kind.bands == (bands,)
    assert kind.size == size
    assert len(kind.classes) == len(set(kind.classes)) == classes


def test_value_8_of_pavia_centre_is_tiles():
    # the page of the files says meadows; half of what is labelled on land has it
    assert PaviaCentre.classes[7] == 'tiles'


def test_rasters_instead_of_matlab(tmp_path):
    image, labels = make(tmp_path, 200, (145, 145), 16)
    told = IndianPines(image, labels)
    image = write_raster(tmp_path / 'image.tif', told.cube)
    labels = write_raster(tmp_path / 'labels.tif', (told.labels + 1).astype('uint8'))
    same = IndianPines(image, labels, transforms=lambda sample: {**sample, 'seen': True})
    np.testing.assert_array_equal(same.cube, told.cube)
    np.testing.assert_array_equal(same.labels, told.labels)
    assert same[7]['seen']


def test_files_of_another_image(tmp_path):
    image, labels = make(tmp_path, 200, (145, 145), 16)
    with pytest.raises(
        BadInput, match='200 bands of 145 x 145 pixels, but PaviaUniversity has 103'
    ):
        PaviaUniversity(image, labels)
    with pytest.raises(BadInput, match=r'none\.mat does not exist'):
        IndianPines(tmp_path / 'none.mat', labels)
    with pytest.raises(BadInput, match='has 0 arrays of 2 axes'):
        IndianPines(image, image)
    savemat(tmp_path / 'more.mat', {'a': np.full((145, 145), 17)})
    with pytest.raises(BadInput, match=r'has the values \[17\], but the classes are 1 to 16'):
        IndianPines(image, tmp_path / 'more.mat')
    savemat(tmp_path / 'small.mat', {'a': np.ones((9, 9))})
    with pytest.raises(BadInput, match='has 9 x 9 pixels, not 145 x 145'):
        IndianPines(image, tmp_path / 'small.mat')
    (tmp_path / 'text.mat').write_text('no file of MATLAB' * 20)
    with pytest.raises(BadInput, match='cannot be read as a MATLAB file'):
        IndianPines(tmp_path / 'text.mat', labels)
    with pytest.raises(BadParameter, match='patch_size is 4, but must be odd'):
        IndianPines(image, labels, patch_size=4)
