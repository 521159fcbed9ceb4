"""CenterNet: an object is the peak of a map of its class, which also tells the sides of its box.

Zhou, X., Wang, D., Krähenbühl, P. (2019). Objects as points. https://arxiv.org/abs/1904.07850

What places learn and the losses are those of the paper. Differences, of our own choice: a feature
pyramid on any backbone brings its maps to the finest one, where the paper has deconvolutions or
other networks.

Axes: b batch, c channels, h height, w width (of the map), k classes, n objects.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.ops import FeaturePyramidNetwork, clip_boxes_to_image

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._levels import stages_from
from torchgeo_ext.models.features import Backbone, backbone_features

#: Share of places that show the middle of an object, which the first scores say.
_PRIOR = 0.1
#: Overlap with an object that a box of its size has at least, if its middle is near enough.
_OVERLAP = 0.7
#: Exponents of the focal loss: of what is not sure yet, and of places near a middle.
_UNSURE, _FAR = 2, 4
#: Weight of the sides among the losses.
_SIDES = 0.1
#: Scores this near to 0 and 1 have a finite logarithm.
_TINY = 1e-4


class Points(NamedTuple):
    """What a head says of each place.

    Attributes:
        classes: Logits (b, k, h, w) of whether the middle of an object of a class is there.
        sides: Width and height of its box (b, 2, h, w) in distances of places.
        shifts: Where in the place the middle is, x and y (b, 2, h, w) from 0 to 1.
    """

    classes: Tensor
    sides: Tensor
    shifts: Tensor


class CenterNet(nn.Module):
    """A backbone, a feature pyramid and a head on its finest map.

    Boxes are left, top, right and bottom in pixels; classes count from 1, as in torchvision's
    detectors.

    Args:
        backbone: The encoder.
        num_classes: Number of classes and the background.
        width: Channels of pyramid and head.
        finest: Pixels of the image, along one side, for each place.
        score_thresh: Lowest score of an object.
        detections_per_img: Objects told of an image at most.

    Raises:
        BadParameter: If the backbone has no map that coarse.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int = 2,
        width: int = 64,
        finest: int = 4,
        score_thresh: float = 0.05,
        detections_per_img: int = 300,
    ) -> None:
        super().__init__()
        stages = stages_from(backbone, finest)
        self.encoder = backbone
        self.stride = stages[0].reduction
        self.score_thresh, self.detections_per_img = score_thresh, detections_per_img
        self._taken = len(stages)
        self.pyramid = FeaturePyramidNetwork([stage.channels for stage in stages], width)
        self.classes = _branch(width, num_classes - 1)
        self.sides, self.shifts = _branch(width, 2), _branch(width, 2)
        last: Any = self.classes[-1]
        nn.init.constant_(last.bias, math.log(_PRIOR / (1 - _PRIOR)))

    def forward(
        self, images: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> list[dict[str, Tensor]] | dict[str, Tensor]:
        """Find objects, or learn them.

        Args:
            images: Normalised images (b, c, h, w) of any size.
            targets: In training, for each image ``boxes`` (n, 4) and ``labels`` (n).

        Returns:
            In training the losses ``classification``, ``sides`` and ``shifts``; else for each image
            ``boxes`` (n, 4), ``scores`` (n) and ``labels`` (n), best first.

        Raises:
            BadParameter: If there are no targets in training.
        """
        if self.training and targets is None:
            raise BadParameter('targets: training needs boxes and labels.')
        maps = self.encoder.feature_maps(images)[-self._taken :]
        named = {str(level): features for level, features in enumerate(maps)}
        finest = self.pyramid(named)['0']
        told = Points(self.classes(finest), self.sides(finest), self.shifts(finest))
        if self.training and targets is not None:
            return self._losses(told, targets)
        height, width = images.shape[-2:]
        numbers = range(len(images))
        return [self._found(Points(*(part[n] for part in told)), (height, width)) for n in numbers]

    def _losses(self, told: Points, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        scores = told.classes.float().sigmoid().clamp(_TINY, 1 - _TINY)
        wanted = torch.zeros_like(scores)
        sides, shifts = [], []
        for number, target in enumerate(targets):
            boxes = target['boxes'].float() / self.stride
            middles, lengths = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            # x before y, as boxes have it
            size = torch.tensor(scores.shape[:1:-1], device=boxes.device)
            places = middles.floor().long().clamp(min=0).minimum(size - 1)
            draw_peaks(wanted[number], places, lengths, target['labels'] - 1)
            x, y = places.unbind(1)
            sides.append(told.sides[number][:, y, x].T - lengths)
            shifts.append(told.shifts[number][:, y, x].T - (middles - places))
        count = max(1, sum(map(len, sides)))
        return {
            'classification': peak_loss(scores, wanted) / count,
            'sides': _SIDES * torch.cat(sides).abs().sum() / count,
            'shifts': torch.cat(shifts).abs().sum() / count,
        }

    def _found(self, told: Points, size: tuple[int, int]) -> dict[str, Tensor]:
        scores = told.classes.sigmoid()
        # what is no peak shows a part of an object whose middle is nearby
        peaks = scores * (scores == F.max_pool2d(scores, 3, stride=1, padding=1))
        classes, rows, columns = (peaks > self.score_thresh).nonzero(as_tuple=True)
        order = peaks[classes, rows, columns].argsort(descending=True, stable=True)
        order = order[: self.detections_per_img]
        classes, rows, columns = classes[order], rows[order], columns[order]
        middles = torch.stack([columns, rows], dim=1) + told.shifts[:, rows, columns].T
        half = told.sides[:, rows, columns].T.clamp(min=0) / 2
        boxes = torch.cat([middles - half, middles + half], dim=1) * self.stride
        return {
            'boxes': clip_boxes_to_image(boxes, size),
            'scores': peaks[classes, rows, columns],
            'labels': classes + 1,
        }


def _branch(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, channels, 1)
    )


def draw_peaks(maps: Tensor, places: Tensor, sides: Tensor, labels: Tensor) -> None:
    """Draw a peak of height 1 for each object into the map of its class.

    Args:
        maps: Where to draw (k, h, w).
        places: Column and row (n, 2) of the objects.
        sides: Width and height (n, 2) in distances of places.
        labels: Numbers (n) of the maps.
    """
    reach = near_enough(sides).floor().long().tolist()
    height, width = maps.shape[-2:]
    drawn = zip(places.tolist(), reach, labels.tolist(), strict=True)
    for (column, row), radius, label in drawn:
        top, bottom = max(0, row - radius), min(height, row + radius + 1)
        left, right = max(0, column - radius), min(width, column + radius + 1)
        down = torch.arange(top, bottom, device=maps.device) - row
        across = torch.arange(left, right, device=maps.device) - column
        sigma = (2 * radius + 1) / 6
        peak = torch.exp(-(down[:, None] ** 2 + across**2) / (2 * sigma**2))
        part = maps[label, top:bottom, left:right]
        torch.maximum(part, peak, out=part)


def near_enough(sides: Tensor) -> Tensor:
    """Give how far both corners of a box (n, 2) may be off for an overlap of 0.7 to remain (n).

    The smallest of three cases (Law, H., Deng, J. (2018). CornerNet: detecting objects as paired
    keypoints. https://arxiv.org/abs/1808.01244): the box moves, shrinks or grows.
    """
    total, area = sides.sum(dim=1), sides.prod(dim=1)
    moved = _smaller_root(1, total, area * (1 - _OVERLAP) / (1 + _OVERLAP))
    shrunk = _smaller_root(4, 2 * total, (1 - _OVERLAP) * area)
    grown = -_smaller_root(4 * _OVERLAP, 2 * _OVERLAP * total, (_OVERLAP - 1) * area)
    return torch.stack([moved, shrunk, grown]).amin(dim=0)


def _smaller_root(square: float, linear: Tensor, constant: Tensor) -> Tensor:
    """Give the r nearest to 0 for which square r^2 - linear r + constant = 0."""
    return (linear - (linear**2 - 4 * square * constant).clamp(min=0).sqrt()) / (2 * square)


def peak_loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """Compare scores with peaks of height 1: the sum of a focal loss that is mild around peaks."""
    middle = wanted == 1
    there = (1 - scores) ** _UNSURE * scores.log()
    elsewhere = (1 - wanted) ** _FAR * scores**_UNSURE * (1 - scores).log()
    return -torch.where(middle, there, elsewhere).sum()


def centernet(
    backbone: str = 'resnet50',
    backbone_weights: WeightsEnum | bool | None = None,
    in_chans: int | None = None,
    num_classes: int = 2,
    width: int = 64,
    finest: int = 4,
    **arguments: Any,
) -> CenterNet:
    """Build a CenterNet on any backbone.

    If you use this model in your research, please cite the paper it follows:

    * https://arxiv.org/abs/1904.07850

    Args:
        backbone: Name of a network for
            :func:`~torchgeo_ext.models.features.backbone_features`: one of this package or
            TorchGeo, or ``tu-`` and a name of timm.
        backbone_weights: Published weights of the backbone; for timm, whether to take its own.
        in_chans: Bands of the images; those of the weights, or three, if left out.
        num_classes: Number of classes and the background.
        width: Channels of pyramid and head.
        finest: Pixels of the image, along one side, for each place.
        arguments: Further arguments of the backbone, among them the ``bands`` and the
            ``adaptation`` of its weights to these.

    Returns:
        The model.

    Raises:
        BadParameter: If the backbone is not known or has no map that coarse.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    encoder = backbone_features(backbone, backbone_weights, in_chans, **arguments)
    return CenterNet(encoder, num_classes, width, finest)
