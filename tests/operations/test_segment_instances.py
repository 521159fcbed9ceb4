"""segment_instances: each object outlined by itself, on real files."""

import json

import numpy as np
import pyogrio
import pytest
import shapely
import torch
from scipy import ndimage
from torch import nn
from torchgeo.tasks import InstanceSegmentation

from tests.bundles.makers import checkpoint
from tests.operations.test_detect_objects import Blobs
from tests.rasters import write_raster
from tests.tasks.pairs import register
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, read_bundle, write_bundle
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import create_bundle, describe_model, detect_objects, segment_instances

ROOF = (ModelClass(3, 'roof', '#e31a1c'),)


class Roofs(nn.Module):
    """Finds what is bright, pixel by pixel."""

    def __init__(self):
        super().__init__()
        self.blobs = Blobs()

    def forward(self, x):
        answers = self.blobs(x)
        for image, answer in zip(x[:, 0].numpy(force=True), answers, strict=True):
            numbers, count = ndimage.label(image > 0)
            masks = np.arange(1, count + 1)[:, None, None] == numbers
            answer['masks'] = torch.from_numpy(masks[:, None].astype('float32'))
            answer['labels'] = torch.ones(count, dtype=torch.int64)
        return answers


def bright_roofs():
    return Roofs()


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    register(monkeypatch, bright_roofs)
    card = BundleCard(
        name='roofs', description='', task='instance_segmentation', classes=ROOF,
        bands=(Band('gray', mean=100.0, std=50.0),), tile_size=64, halo=8,
        architecture={'class': 'bright_roofs', 'arguments': {}}, output_activation='none',
    )  # fmt: skip
    return write_bundle(tmp_path / 'bundle', card, Roofs())


@pytest.fixture
def image(tmp_path):
    """An angle of 30 x 20 pixels where tiles meet, and a roof right across three tiles."""
    values = np.full((100, 150), 20, 'uint8')
    values[10:30, 45:50] = values[25:30, 45:75] = 200
    values[60:72, 4:140] = 200
    return write_raster(tmp_path / 'image.tif', values, resolution=0.5)


def outlines(path):
    return pyogrio.read_dataframe(path, layer=path.stem).sort_values('area_m2')


def test_outlines_follow_the_pixels_across_tiles(bundle, image, tmp_path):
    output = tmp_path / 'o.gpkg'
    result = segment_instances(image, bundle, output, overlap=31)
    found = outlines(output)
    assert json.loads(result.counts) == {'roof': 2}
    assert [*found['value']] == [3, 3]
    pixels = [20 * 5 + 25 * 5, 12 * 136]
    assert [*found['area_m2']] == pytest.approx([n / 4 for n in pixels], rel=2e-3)
    assert [*found['length_m']] == pytest.approx([15, 68], rel=2e-3)
    assert [*found['width_m']] == pytest.approx([10, 6], rel=2e-3)
    assert set(found.geom_type) == {'MultiPolygon'}
    assert shapely.is_valid(found.geometry.values).all()


def test_sizes_and_what_cannot_be(bundle, image, tmp_path):
    output = tmp_path / 'o.gpkg'
    assert segment_instances(image, bundle, output, maximum_size=20, overlap=31).objects == 1
    assert segment_instances(image, bundle, output, threshold=1.0).objects == 0
    assert outlines(output).empty
    with pytest.raises(BadInput, match='does instance_segmentation'):
        detect_objects(image, bundle, output)
    plain = write_raster(tmp_path / 'plain.tif', np.full((80, 80), 9, 'uint8'), crs=None)
    with pytest.raises(BadInput, match=r'no coordinate reference system.*maximum_size'):
        segment_instances(plain, bundle, output, maximum_size=9)


def test_a_checkpoint_of_torchgeo_becomes_a_bundle(image, tmp_path):
    torch.manual_seed(0)
    task = InstanceSegmentation(in_channels=1, num_classes=2).eval()
    create_bundle(checkpoint(tmp_path / 'x.ckpt', task), tmp_path / 'bundle', image=image)
    assert describe_model(bundle=tmp_path / 'bundle').task == 'instance_segmentation'
    x = torch.rand(1, 1, 64, 64) * 255
    detector = read_bundle(tmp_path / 'bundle').build()
    with torch.inference_mode():
        [found] = detector(x)
        [expected] = task.model(torch.addcmul(detector.bias, x, detector.gain).unbind())
    # torchvision stops at 100 of a tile
    torch.testing.assert_close(found['masks'][:100], expected['masks'])
    assert found['masks'].shape == (len(found['boxes']), 1, 64, 64)
    result = segment_instances(image, tmp_path / 'bundle', tmp_path / 'o.gpkg', threshold=0.9)
    assert result.tiles >= 1
