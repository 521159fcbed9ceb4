"""Rotated FCOS: objects in boxes that lie as they do, without anchors.

Tian, Z., Shen, C., Chen, H., He, T. (2019). FCOS: fully convolutional one-stage object detection.
ICCV. https://arxiv.org/abs/1904.01355

As the rotated variant of FCOS (Zhou, Y. et al. (2022). MMRotate. https://arxiv.org/abs/2204.13317)
each place of a feature pyramid tells classes, a box and an angle. Differences, all of our own
choice: boxes are a shift and sides instead of distances to four sides, so that objects thinner than
the distance of two places are learned too; the angle comes from the sine and cosine of its double,
which know no jump; boxes are learned with ProbIoU (Llerena, J. M., Zeni, L. F., Kristen, L. N.,
Jung, C. (2021). Gaussian bounding boxes and probabilistic intersection-over-union for object
detection. https://arxiv.org/abs/2106.06072), for which a square has no angle; and a predicted
overlap stands in for centreness.

Axes: b batch, c channels, h height, w width, p places of all levels, k classes, n objects.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.ops import FeaturePyramidNetwork, sigmoid_focal_loss

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.layers.rotated_boxes import ordered, rotated_nms
from torchgeo_ext.models._levels import place_points, stages_from
from torchgeo_ext.models.features import Backbone, backbone_features

#: Levels of the pyramid; those the backbone has no map for are made of the last one.
_LEVELS = 5
#: Longest side of the objects of a level, in distances of its places.
_LONGEST = 16
#: Distance from the middle of an object within which places learn it, in distances of places.
_NEAR = 1.5
#: Half the side of the smallest square that holds a place wherever and however it lies, likewise.
_SMALLEST = 0.71
#: Share of places that show an object, which the first scores say.
_PRIOR = 0.01
#: Logarithm of the largest and smallest side in distances of places.
_LIMIT = 6.0
#: Keeps Gaussians of thin boxes invertible, in square pixels.
_TINY = 1e-3
#: Channels that are normalised together.
_GROUP = 8


class Places(NamedTuple):
    """Where a pyramid looks.

    Attributes:
        points: x and y (p, 2) in pixels of the image.
        strides: Distance to the next place of the level (p).
        levels: Number of the level (p).
    """

    points: Tensor
    strides: Tensor
    levels: Tensor


class Told(NamedTuple):
    """What a head says of each place.

    Attributes:
        classes: Logits (b, p, k).
        boxes: Rotated boxes (b, p, 5) in pixels.
        overlaps: Logits (b, p) of how well the box fits.
    """

    classes: Tensor
    boxes: Tensor
    overlaps: Tensor


class RotatedFCOS(nn.Module):
    """A backbone, a feature pyramid and a head that all of its levels share.

    Boxes are those of :mod:`torchgeo_ext.layers.rotated_boxes`; classes count from 1, as in
    torchvision's detectors.

    Args:
        backbone: The encoder.
        num_classes: Number of classes and the background.
        width: Channels of pyramid and head; a multiple of 8.
        finest: Pixels of the image, along one side, for each place of the finest level. Objects
            much smaller are hard to tell apart; halving it takes four times as long.
        score_thresh: Lowest score of an object.
        nms_thresh: Objects of a class that overlap by more are one.
        detections_per_img: Objects told of an image at most.
        topk_candidates: Boxes of a level that are looked at.

    Raises:
        BadParameter: If the backbone has no map that coarse.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int = 2,
        width: int = 256,
        finest: int = 8,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.3,
        detections_per_img: int = 300,
        topk_candidates: int = 1000,
    ) -> None:
        super().__init__()
        stages = stages_from(backbone, finest)
        self.encoder = backbone
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        self._taken = len(stages)
        further = range(_LEVELS - len(stages))
        self.strides = [stage.reduction for stage in stages]
        self.strides += [self.strides[-1] << (level + 1) for level in further]
        self.pyramid = FeaturePyramidNetwork([stage.channels for stage in stages], width)
        self.coarser = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in further)
        self.head = RotatedHead(width, num_classes - 1, len(self.strides))

    def forward(
        self, images: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> list[dict[str, Tensor]] | dict[str, Tensor]:
        """Find objects, or learn them.

        Args:
            images: Normalised images (b, c, h, w) of any size.
            targets: In training, for each image ``boxes`` (n, 5) and ``labels`` (n).

        Returns:
            In training the losses ``classification``, ``boxes`` and ``overlaps``; else for each
            image ``boxes`` (n, 5), ``scores`` (n) and ``labels`` (n), best first.

        Raises:
            BadParameter: If there are no targets in training.
        """
        if self.training and targets is None:
            raise BadParameter('targets: training needs boxes and labels.')
        maps = self._maps(images)
        places = self._places(maps)
        told = self.head(maps, places)
        if self.training and targets is not None:
            return self._losses(told, places, targets)
        numbers = range(len(images))
        return [self._found(Told(*(part[n] for part in told)), places) for n in numbers]

    def _maps(self, images: Tensor) -> list[Tensor]:
        maps = self.encoder.feature_maps(images)[-self._taken :]
        named = {str(level): features for level, features in enumerate(maps)}
        levels = list(self.pyramid(named).values())
        for layer in self.coarser:
            levels.append(layer(levels[-1].relu()))
        return levels

    def _places(self, maps: Sequence[Tensor]) -> Places:
        points, strides, levels = [], [], []
        for number, (features, stride) in enumerate(zip(maps, self.strides, strict=True)):
            height, width = features.shape[-2:]
            there = place_points(height, width, stride, features.device).reshape(-1, 2)
            points.append(there)
            strides.append(torch.full_like(there[:, 0], stride))
            levels.append(torch.full_like(there[:, 0], number, dtype=torch.long))
        return Places(torch.cat(points), torch.cat(strides), torch.cat(levels))

    def _losses(
        self, told: Told, places: Places, targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        wanted = torch.zeros_like(told.classes)
        chosen, boxes, fits = [], [], []
        for number, target in enumerate(targets):
            learned, objects = assign(places, target['boxes'], len(self.strides))
            wanted[number, learned, target['labels'][objects] - 1] = 1
            chosen.append(told.boxes[number, learned])
            fits.append(told.overlaps[number, learned])
            boxes.append(target['boxes'][objects])
        overlaps = prob_iou(torch.cat(chosen).float(), torch.cat(boxes).float())
        count = max(1, len(overlaps))
        quality = F.binary_cross_entropy_with_logits(
            torch.cat(fits).float(), overlaps.detach(), reduction='sum'
        )
        return {
            'classification': sigmoid_focal_loss(told.classes, wanted, reduction='sum') / count,
            'boxes': (1 - overlaps).sum() / count,
            'overlaps': quality / count,
        }

    def _found(self, told: Told, places: Places) -> dict[str, Tensor]:
        scores = (told.classes.sigmoid() * told.overlaps.sigmoid()[:, None]).sqrt()
        chosen, labels = [], []
        for level in range(len(self.strides)):
            own = torch.where((places.levels == level)[:, None], scores, 0.0)
            places_there, classes = (own > self.score_thresh).nonzero(as_tuple=True)
            best = own[places_there, classes].argsort(descending=True, stable=True)
            chosen.append(places_there[best[: self.topk_candidates]])
            labels.append(classes[best[: self.topk_candidates]])
        where, kinds = torch.cat(chosen), torch.cat(labels)
        boxes, sure = ordered(told.boxes[where]), scores[where, kinds]
        kept = rotated_nms(boxes, sure, kinds, self.nms_thresh)[: self.detections_per_img]
        return {'boxes': boxes[kept], 'scores': sure[kept], 'labels': kinds[kept] + 1}


class RotatedHead(nn.Module):
    """Tells classes, boxes and how well these fit, of each place of a pyramid.

    Args:
        width: Channels of the pyramid.
        classes: Number of classes.
        levels: Levels of the pyramid.
    """

    def __init__(self, width: int, classes: int, levels: int) -> None:
        super().__init__()
        self.towers = nn.ModuleList(_tower(width) for _ in range(2))
        self.classes = nn.Conv2d(width, classes, 3, padding=1)
        self.boxes = nn.Conv2d(width, 4, 3, padding=1)
        self.angles = nn.Conv2d(width, 2, 3, padding=1)
        self.overlaps = nn.Conv2d(width, 1, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(levels))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # each has one
        nn.init.constant_(self.classes.bias, torch.logit(torch.tensor(_PRIOR)).item())  # type: ignore[arg-type]
        # the first angle is 0, not undefined
        self.angles.bias.data = torch.tensor([1.0, 0.0])  # type: ignore[union-attr]

    def forward(self, maps: Sequence[Tensor], places: Places) -> Told:
        """Look at maps (b, width, h, w) of all levels."""
        parts = []
        for scale, features in zip(self.scales, maps, strict=True):
            kinds, shapes = (tower(features) for tower in self.towers)
            parts.append(
                (
                    self.classes(kinds),
                    scale * self.boxes(shapes),
                    self.angles(shapes),
                    self.overlaps(shapes),
                )
            )
        classes, boxes, angles, overlaps = (
            torch.cat([rearrange(part, 'b c h w -> b (h w) c') for part in level], dim=1)
            for level in zip(*parts, strict=True)
        )
        strides = places.strides[:, None]
        middles = places.points + boxes[..., :2] * strides
        sides = boxes[..., 2:].clamp(-_LIMIT, _LIMIT).exp() * strides
        turns = torch.atan2(angles[..., 1:], angles[..., :1]) / 2
        return Told(classes, torch.cat([middles, sides, turns], dim=-1), overlaps[..., 0])


def _tower(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(width // _GROUP, width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


def assign(places: Places, boxes: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Choose the places that learn objects.

    Objects of a size belong to a level: the longest side of those of the finest is up to 16
    distances of places, of each further one twice as much. A place learns an object around whose
    middle it lies, inside of it or next to one that lies between places; of several the smallest.

    Args:
        places: The places (p).
        boxes: The objects (n, 5).
        levels: Number of levels.

    Returns:
        Numbers of places, and the number of the object that each learns.
    """
    if not len(boxes):
        nothing = torch.zeros(0, dtype=torch.long, device=boxes.device)
        return nothing, nothing
    sides = boxes[:, 2:4]
    longest = sides.max(dim=1).values / (_LONGEST * places.strides[0])
    level = longest.clamp(min=1).log2().ceil().long().clamp(max=levels - 1)
    shift = places.points[:, None] - boxes[:, :2]
    cosine, sine = boxes[:, 4].cos(), boxes[:, 4].sin()
    along = shift[..., 0] * cosine + shift[..., 1] * sine
    across = shift[..., 1] * cosine - shift[..., 0] * sine
    strides = places.strides[:, None]
    reach = (sides[None] / 2).maximum(_SMALLEST * strides[..., None])
    reach = reach.minimum(_NEAR * strides[..., None])
    near = (along.abs() < reach[..., 0]) & (across.abs() < reach[..., 1])
    near &= places.levels[:, None] == level
    sizes = torch.where(near, sides.prod(dim=1), torch.inf)
    smallest, objects = sizes.min(dim=1)
    learned = smallest.isfinite().nonzero()[:, 0]
    return learned, objects[learned]


def prob_iou(first: Tensor, second: Tensor) -> Tensor:
    """Tell how alike the Gaussians of pairs of boxes (n, 5) are, 0 to 1 (n).

    One minus the Hellinger distance of both, see https://arxiv.org/abs/2106.06072. Unlike
    intersection over union it has a slope wherever two boxes lie.
    """
    one, other = _covariance(first), _covariance(second)
    mean = (one + other) / 2
    a, b, c = mean.unbind(-1)
    determinant = a * b - c**2
    x, y = (first[:, :2] - second[:, :2]).unbind(-1)
    distance = (b * x**2 - 2 * c * x * y + a * y**2) / determinant / 8
    spread = (_determinant(one) * _determinant(other)).sqrt()
    distance = distance + (determinant / spread).clamp(min=1).log() / 2
    # the slope of the root is infinite at 0
    hellinger = (1 - torch.exp(-distance.clamp(max=100)) + 1e-6).sqrt()
    return (1 - hellinger).clamp(min=0)


def _covariance(boxes: Tensor) -> Tensor:
    """Give variance of x, variance of y and covariance (n, 3) of boxes as Gaussians."""
    along, across = (boxes[:, 2:4] ** 2 / 12 + _TINY).unbind(-1)
    cosine, sine = boxes[:, 4].cos(), boxes[:, 4].sin()
    return torch.stack(
        [
            along * cosine**2 + across * sine**2,
            along * sine**2 + across * cosine**2,
            (along - across) * cosine * sine,
        ],
        dim=-1,
    )


def _determinant(covariance: Tensor) -> Tensor:
    a, b, c = covariance.unbind(-1)
    return a * b - c**2


def rotatedfcos(
    backbone: str = 'resnet50',
    backbone_weights: WeightsEnum | bool | None = None,
    in_chans: int | None = None,
    num_classes: int = 2,
    width: int = 256,
    finest: int = 8,
    **arguments: Any,
) -> RotatedFCOS:
    """Build a detector of rotated boxes on any backbone.

    If you use this model in your research, please cite the papers it follows:

    * https://arxiv.org/abs/1904.01355
    * https://arxiv.org/abs/2106.06072

    Args:
        backbone: Name of a network for
            :func:`~torchgeo_ext.models.features.backbone_features`: one of this package or
            TorchGeo, or ``tu-`` and a name of timm.
        backbone_weights: Published weights of the backbone; for timm, whether to take its own.
        in_chans: Bands of the images; those of the weights, or three, if left out.
        num_classes: Number of classes and the background.
        width: Channels of pyramid and head; a multiple of 8.
        finest: Pixels of the image, along one side, for each place of the finest level.
        arguments: Further arguments of the backbone, among them the ``bands`` and the
            ``adaptation`` of its weights to these.

    Returns:
        The model.

    Raises:
        BadParameter: If the backbone is not known or has no map that coarse.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    encoder = backbone_features(backbone, backbone_weights, in_chans, **arguments)
    return RotatedFCOS(encoder, num_classes, width, finest)
