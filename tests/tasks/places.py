"""A small backbone, for tests of what is learned of places."""

import torch
from torch import nn

from torchgeo_ext.models.features import Backbone, Stage


class SmallBackbone(Backbone):
    """Looks at single pixels."""

    feature_info = (Stage(16, 1),)

    def __init__(self, in_chans):
        super().__init__()
        self.first = nn.Conv2d(in_chans, 16, 1)

    def feature_maps(self, x):
        return [torch.relu(self.first(x))]


def small_backbone(name, weights, in_chans):
    """Stand in for ``backbone_features``."""
    return SmallBackbone(in_chans)
