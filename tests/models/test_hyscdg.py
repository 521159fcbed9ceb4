"""The dual U-Net of HySCDG: names of the published checkpoints and how the two are joined."""

import segmentation_models_pytorch as smp
import torch

from torchgeo_ext.models import hyscdg

ARGUMENTS = {'in_chans': 3, 'semantic_classes': 4, 'backbone': 'mobilenet_v2'}


def published_state():
    """What the published training code saves: one U-Net for six bands, one for three."""
    torch.manual_seed(0)
    parts = {
        'model': smp.Unet('mobilenet_v2', encoder_weights=None, in_channels=6, classes=2),
        'seg_model': smp.Unet('mobilenet_v2', encoder_weights=None, in_channels=3, classes=4),
    }
    state = {
        f'{name}.{key}': value
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }
    return parts, {'state_dict': state, 'epoch': 9}


@torch.no_grad()
def test_published_checkpoints_are_two_plain_unets():
    parts, checkpoint = published_state()
    model = hyscdg(**ARGUMENTS).eval()
    model.load_state_dict(checkpoint)
    image = torch.rand(1, 3, 64, 64)
    found = model(torch.stack((image, image), dim=1))
    # of two equal dates the features cancel out, so nothing is added to the change branch
    expected = parts['model'].eval()(torch.cat((image, image), dim=1))
    torch.testing.assert_close(found.change, expected)
    land_cover = parts['seg_model'].eval()(image)
    torch.testing.assert_close(found.before, land_cover)
    torch.testing.assert_close(found.after, land_cover)


@torch.no_grad()
def test_features_of_the_dates_reach_the_change_branch():
    model = hyscdg(**ARGUMENTS).eval()
    pair = torch.rand(1, 2, 3, 64, 64)
    with_difference = model(pair).change
    alone = model.change(torch.cat([*pair.unbind(dim=1)], dim=1))
    assert (with_difference - alone).abs().max() > 1e-4
