"""Test-time augmentation."""

import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.augment import TestTimeAugmentation

VIEWS = {'flip': 4, 'd4': 8}


@pytest.mark.parametrize('views', VIEWS)
@pytest.mark.parametrize('shape', [(2, 3, 8, 8), (2, 2, 3, 8, 8)])
def test_a_model_that_treats_each_pixel_alike_is_not_changed(views, shape):
    image = torch.rand(shape)

    def model(batch):
        return (batch if batch.ndim == 4 else batch[:, 0]).square()

    torch.testing.assert_close(TestTimeAugmentation(model, views)(image), model(image))


@pytest.mark.parametrize(('views', 'count'), VIEWS.items())
def test_all_views_are_different(views, count):
    seen = []

    def model(batch):
        seen.append(batch.clone())
        return batch

    TestTimeAugmentation(model, views)(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert len({tuple(view.ravel().tolist()) for view in seen}) == len(seen) == count


@pytest.mark.parametrize('views', VIEWS)
def test_scores_are_turned_back_before_they_are_averaged(views):
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    # what depends on the place in the tile is averaged away, what depends on the image stays
    image = torch.rand(1, 1, 4, 4)
    found = TestTimeAugmentation(lambda batch: batch + ramp, views)(image)
    torch.testing.assert_close(found, image + ramp.mean())


def test_unknown_views():
    with pytest.raises(BadParameter, match="augmentation: 'all'"):
        TestTimeAugmentation(torch.nn.Identity(), 'all')
