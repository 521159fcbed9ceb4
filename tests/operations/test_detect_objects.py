"""detect_objects: boxes around objects, on real files."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from scipy import ndimage
from torch import nn
from torchgeo.tasks import ObjectDetection

from tests.bundles.makers import checkpoint
from tests.rasters import write_raster
from tests.tasks.pairs import register
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, read_bundle, write_bundle
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import create_bundle, describe_model, detect_objects, segment_image

CLASSES = (ModelClass(1, 'boat', '#1f78b4'), ModelClass(5, 'ship', '#e31a1c'))


class Blobs(nn.Module):
    """Finds what is bright: boats are a little, ships very bright."""

    def __init__(self):
        super().__init__()
        self.sea = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        answers = []
        for image in (x[:, 0] - self.sea).numpy(force=True):
            numbers, _ = ndimage.label(image > 0)
            places = ndimage.find_objects(numbers)
            boxes = [[c.start, r.start, c.stop, r.stop] for r, c in places]
            peaks = [image[place].max() for place in places]
            answers.append(
                {
                    'boxes': torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                    'scores': torch.tensor([0.6 + 0.1 * (peak > 1) for peak in peaks]),
                    'labels': torch.tensor([1 + int(peak > 1) for peak in peaks]),
                }
            )
        return answers


def bright_blobs():
    return Blobs()


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    register(monkeypatch, bright_blobs)
    card = BundleCard(
        name='blobs', description='', task='detection', classes=CLASSES,
        bands=(Band('gray', mean=100.0, std=50.0),), tile_size=64, halo=8,
        architecture={'class': 'bright_blobs', 'arguments': {}}, output_activation='none',
    )  # fmt: skip
    return write_bundle(tmp_path / 'bundle', card, Blobs())


@pytest.fixture
def image(tmp_path):
    """Two boats and a ship of 20 x 6 pixels, one boat where tiles meet; pixels of half a metre."""
    values = np.full((100, 150), 20, 'uint8')
    values[10:14, 60:68] = 120
    values[80:84, 20:28] = 120
    values[50:56, 100:120] = 240
    return write_raster(tmp_path / 'image.tif', values, resolution=0.5)


def boxes(path):
    return pyogrio.read_dataframe(path, layer=path.stem)


def test_boxes_with_class_score_and_size(bundle, image, tmp_path):
    result = detect_objects(image, bundle, tmp_path / 'o.gpkg')
    found = boxes(tmp_path / 'o.gpkg')
    assert sorted(found['class']) == ['boat', 'boat', 'ship']
    ship = found[found['class'] == 'ship'].iloc[0]
    assert (ship['value'], ship['score']) == (5, pytest.approx(0.7))
    assert ship['length_m'] == pytest.approx(10, rel=2e-3)
    assert ship['width_m'] == pytest.approx(3, rel=2e-3)
    assert ship['area_m2'] == pytest.approx(30, rel=2e-3)
    with rasterio.open(image) as dataset:
        left, top = dataset.transform @ (100, 50)
        assert found.crs == dataset.crs
    assert ship.geometry.bounds == pytest.approx((left, top - 3, left + 10, top))
    assert result.objects == 3
    assert json.loads(result.counts) == {'boat': 2, 'ship': 1}
    assert result.styles['output']['field'] == 'class'


def test_sizes_scores_and_parts(bundle, image, tmp_path):
    output = tmp_path / 'o.gpkg'
    detect_objects(image, bundle, output, minimum_size=6)
    assert [*boxes(output)['class']] == ['ship']
    detect_objects(image, bundle, output, maximum_size=6)
    assert [*boxes(output)['class']] == ['boat', 'boat']
    assert detect_objects(image, bundle, output, threshold=0.65).objects == 1
    with rasterio.open(image) as dataset:
        left, _, right, top = dataset.bounds
    upper = (left, top - 20, right, top)
    assert detect_objects(image, bundle, output, extent=upper).objects == 1
    assert detect_objects(image, bundle, output, threshold=1.0).objects == 0
    assert boxes(output).empty


def test_without_reference_system(bundle, image, tmp_path):
    with rasterio.open(image) as dataset:
        plain = write_raster(tmp_path / 'plain.tif', dataset.read(), crs=None)
    with pytest.raises(BadInput, match=r'no coordinate reference system.*minimum_size'):
        detect_objects(plain, bundle, tmp_path / 'o.gpkg', minimum_size=1)
    detect_objects(plain, bundle, tmp_path / 'o.gpkg')
    assert boxes(tmp_path / 'o.gpkg')['length_m'].isna().all()


def test_a_bundle_of_another_kind_is_refused(bundle, image, tmp_path):
    with pytest.raises(BadInput, match='does detection'):
        segment_image(image, tmp_path / 'o.tif', bundle=bundle)


@pytest.mark.parametrize('frozen', [False, True])
def test_a_checkpoint_of_torchgeo_becomes_a_bundle(frozen, image, tmp_path):
    """Networks that began with published weights count no batches in their normalisation."""
    torch.manual_seed(0)
    task = ObjectDetection('fcos', 'resnet18', in_channels=1, num_classes=3).eval()
    path = checkpoint(tmp_path / 'x.ckpt', task)
    if frozen:
        content = torch.load(path, weights_only=True)
        kept = {k: v for k, v in content['state_dict'].items() if 'num_batches' not in k}
        assert len(kept) < len(content['state_dict'])
        torch.save({**content, 'state_dict': kept}, path)
    create_bundle(path, tmp_path / 'bundle', image=image)
    described = describe_model(bundle=tmp_path / 'bundle')
    assert described.task == 'detection'
    assert [c['value'] for c in json.loads(described.classes)] == [1, 2]
    x = torch.rand(2, 1, 128, 128) * 255
    detector = read_bundle(tmp_path / 'bundle').build()
    with torch.inference_mode():
        found = detector(x)
        expected = task.model(torch.addcmul(detector.bias, x, detector.gain))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one['boxes'], other['boxes'])
    result = detect_objects(image, tmp_path / 'bundle', tmp_path / 'o.gpkg')
    assert result.tiles == 1
