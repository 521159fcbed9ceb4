"""What a backbone gives for a whole image."""

import torch

from torchgeo_ext.models.features import Backbone


def vector_width(backbone: Backbone, in_channels: int) -> int:
    """Tell the length of the vector that a backbone makes of an image.

    Args:
        backbone: The backbone; its state does not change.
        in_channels: Bands of the images.
    """
    training = backbone.training
    with torch.no_grad():
        width = backbone.eval().embed(torch.zeros(1, in_channels, 64, 64)).shape[1]
    backbone.train(training)
    return int(width)
