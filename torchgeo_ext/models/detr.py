"""DETR: a transformer asks an image some questions, each of which finds one object or nothing.

Carion, N., Massa, F., Synnaeve, G., Usunier, N., Kirillov, A., Zagoruyko, S. (2020). End-to-end
object detection with transformers. ECCV. https://arxiv.org/abs/2005.12872

Network, matching and losses are those of the paper, on any backbone. As it has no anchors and needs
no suppression of what was found twice, it also needs hundreds of epochs to find out where its
questions look.

Axes: b batch, c channels, h height, w width (of the map), l decoder layers, q queries, d features,
k classes and the background, n objects.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.ops import box_convert, clip_boxes_to_image, generalized_box_iou

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.features import Backbone, backbone_features

#: Channels that share what they look at, and how much wider the layers between are.
_HEADS, _WIDER, _DROPOUT = 8, 8, 0.1
#: Weights of class, distance and overlap, in matching and in the loss.
_CLASS, _DISTANCE, _OVERLAP = 1.0, 5.0, 2.0
#: Weight of questions that find nothing, as nearly all do.
_NOTHING = 0.1
#: Longest wave of positions, relative to the shortest.
_LONGEST = 10_000.0


class DETR(nn.Module):
    """A backbone and a transformer on its last map.

    Boxes are left, top, right and bottom in pixels; classes count from 1, as in torchvision's
    detectors.

    Args:
        backbone: The encoder.
        num_classes: Number of classes and the background.
        width: Features of the transformer; a multiple of 8.
        queries: Objects that an image may show at most.
        layers: Layers of the transformer's encoder, and of its decoder.
        score_thresh: Lowest score of an object.

    Raises:
        BadParameter: If width is no multiple of 8.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int = 2,
        width: int = 256,
        queries: int = 100,
        layers: int = 6,
        score_thresh: float = 0.05,
    ) -> None:
        super().__init__()
        if width % _HEADS:
            raise BadParameter(f'width is {width}.', f'Choose a multiple of {_HEADS}.')
        self.score_thresh = score_thresh
        self.encoder = backbone
        self.project = nn.Conv2d(backbone.feature_info[-1].channels, width, 1)
        self.looking = nn.ModuleList(Layer(width) for _ in range(layers))
        self.asking = nn.ModuleList(Layer(width, asks=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.classes = nn.Linear(width, num_classes)
        self.boxes = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 4),
        )  # fmt: skip
        for part in (self.looking, self.asking):
            for weights in part.parameters():
                if weights.ndim > 1:
                    nn.init.xavier_uniform_(weights)

    def forward(
        self, images: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> list[dict[str, Tensor]] | dict[str, Tensor]:
        """Find objects, or learn them.

        Args:
            images: Normalised images (b, c, h, w) of any size.
            targets: In training, for each image ``boxes`` (n, 4) and ``labels`` (n).

        Returns:
            In training the losses ``classification``, ``boxes`` and ``overlaps``, sums over the
            layers of the decoder; else for each image ``boxes`` (n, 4), ``scores`` (n) and
            ``labels`` (n), best first.

        Raises:
            BadParameter: If there are no targets in training.
        """
        if self.training and targets is None:
            raise BadParameter('targets: training needs boxes and labels.')
        height, width = images.shape[-2:]
        answers = self._answers(images)
        if self.training and targets is not None:
            classes, boxes = self.classes(answers), self.boxes(answers).sigmoid()
            return _losses(classes, boxes, targets, (height, width))
        classes, boxes = self.classes(answers[-1]), self.boxes(answers[-1]).sigmoid()
        return [
            self._found(kinds, shares, (height, width))
            for kinds, shares in zip(classes, boxes, strict=True)
        ]

    def _answers(self, images: Tensor) -> Tensor:
        """Give what each layer of the decoder answers (l, b, q, d)."""
        maps = self.project(self.encoder.feature_maps(images)[-1])
        places = map_waves(maps.shape[-2], maps.shape[-1], maps.shape[1]).to(maps)
        seen = rearrange(maps, 'b d h w -> b (h w) d')
        for layer in self.looking:
            seen = layer(seen, places)
        known = torch.zeros_like(self.queries).expand(len(images), -1, -1)
        answers = []
        for layer in self.asking:
            known = layer(known, self.queries, seen, places)
            answers.append(self.norm(known))
        return torch.stack(answers)

    def _found(self, classes: Tensor, shares: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        scores, labels = classes.softmax(dim=-1)[:, 1:].max(dim=-1)
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] > self.score_thresh]
        boxes = box_convert(shares[order], 'cxcywh', 'xyxy') * _extent(size, shares)
        return {
            'boxes': clip_boxes_to_image(boxes, size),
            'scores': scores[order],
            'labels': labels[order] + 1,
        }


class Layer(nn.Module):
    """Attention among tokens, then, if it asks, to those of an image, then a small network.

    Args:
        width: Features.
        asks: Whether it looks at other tokens too.
    """

    def __init__(self, width: int, asks: bool = False) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(width, _HEADS, _DROPOUT, batch_first=True)
        self.norm_own = nn.LayerNorm(width)
        if asks:
            self.other = nn.MultiheadAttention(width, _HEADS, _DROPOUT, batch_first=True)
            self.norm_other = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, _WIDER * width), nn.ReLU(), nn.Dropout(_DROPOUT),
            nn.Linear(_WIDER * width, width),
        )  # fmt: skip
        self.norm_mlp = nn.LayerNorm(width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(
        self, x: Tensor, places: Tensor, seen: Tensor | None = None, there: Tensor | None = None
    ) -> Tensor:
        """Go on from tokens (b, n, d).

        Args:
            x: The tokens.
            places: Where they are, or what they ask for (n, d).
            seen: Tokens of the image (b, m, d).
            there: Where those are (m, d).
        """
        placed = x + places
        told, _ = self.own(placed, placed, x, need_weights=False)
        x = self.norm_own(x + self.dropout(told))
        if seen is not None and there is not None:
            told, _ = self.other(x + places, seen + there, seen, need_weights=False)
            x = self.norm_other(x + self.dropout(told))
        settled: Tensor = self.norm_mlp(x + self.dropout(self.mlp(x)))
        return settled


def map_waves(height: int, width: int, features: int) -> Tensor:
    """Tell where the places of a map are (h * w, d): half of the waves along y, half along x.

    Positions are shares of a map, from 0 to a full turn, so that maps may have any size.
    """
    steps = torch.arange(features // 4) / (features // 4)
    rates = _LONGEST**-steps

    def along(count: int) -> Tensor:
        angles = 2 * math.pi * (torch.arange(count) + 1)[:, None] / count * rates
        return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)

    rows = along(height)[:, None].expand(-1, width, -1)
    columns = along(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


def _extent(size: tuple[int, int], like: Tensor) -> Tensor:
    """Give width, height, width and height of an image."""
    height, width = size
    return torch.tensor([width, height] * 2, dtype=like.dtype, device=like.device)


def _losses(
    classes: Tensor, shares: Tensor, targets: Sequence[Mapping[str, Tensor]], size: tuple[int, int]
) -> dict[str, Tensor]:
    """Compare the answers of all layers, logits (l, b, q, k) and boxes (l, b, q, 4), with objects.

    Boxes are middle, width and height as shares of the image.
    """
    wanted = [
        box_convert(target['boxes'].to(shares), 'xyxy', 'cxcywh') / _extent(size, shares)
        for target in targets
    ]
    weights = torch.full((classes.shape[-1],), 1.0).to(classes)
    weights[0] = _NOTHING
    count = max(1, sum(map(len, wanted)))
    losses = dict.fromkeys(('classification', 'boxes', 'overlaps'), classes.new_zeros(()))
    for kinds, boxes in zip(classes, shares, strict=True):
        labels = torch.zeros(kinds.shape[:2], dtype=torch.long, device=kinds.device)
        distances, overlaps = boxes.new_zeros(()), boxes.new_zeros(())
        for number, (target, own) in enumerate(zip(targets, wanted, strict=True)):
            asked, objects = match(kinds[number], boxes[number], target['labels'], own)
            labels[number, asked] = target['labels'][objects]
            found, right = boxes[number, asked], own[objects]
            distances = distances + (found - right).abs().sum()
            overlaps = overlaps + (1 - _overlaps(found, right).diagonal()).sum()
        losses['classification'] = losses['classification'] + _CLASS * F.cross_entropy(
            kinds.flatten(0, 1), labels.flatten(), weights
        )
        losses['boxes'] = losses['boxes'] + _DISTANCE * distances / count
        losses['overlaps'] = losses['overlaps'] + _OVERLAP * overlaps / count
    return losses


@torch.no_grad()
def match(classes: Tensor, boxes: Tensor, labels: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Choose for each object the answer that should find it, so that together they fit best.

    Args:
        classes: Logits (q, k).
        boxes: Middle, width and height (q, 4), shares of the image.
        labels: Classes of the objects (n).
        wanted: Their boxes (n, 4).

    Returns:
        Numbers of answers, and the number of the object of each.
    """
    costs = (
        -_CLASS * classes.softmax(dim=-1)[:, labels]
        + _DISTANCE * torch.cdist(boxes, wanted, p=1)
        - _OVERLAP * _overlaps(boxes, wanted)
    )
    asked, objects = linear_sum_assignment(costs.float().cpu().numpy())
    device = labels.device
    return torch.from_numpy(asked).to(device), torch.from_numpy(objects).to(device)


def _overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Compute the generalised overlap (n, m), -1 to 1, of boxes by middle and sides."""
    corners = (box_convert(boxes, 'cxcywh', 'xyxy') for boxes in (first, second))
    overlaps: Tensor = generalized_box_iou(*corners)
    return overlaps


def detr(
    backbone: str = 'resnet50',
    backbone_weights: WeightsEnum | bool | None = None,
    in_chans: int | None = None,
    num_classes: int = 2,
    width: int = 256,
    queries: int = 100,
    layers: int = 6,
    **arguments: Any,
) -> DETR:
    """Build a DETR on any backbone.

    If you use this model in your research, please cite the paper it follows:

    * https://arxiv.org/abs/2005.12872

    Args:
        backbone: Name of a network for
            :func:`~torchgeo_ext.models.features.backbone_features`: one of this package or
            TorchGeo, or ``tu-`` and a name of timm.
        backbone_weights: Published weights of the backbone; for timm, whether to take its own.
        in_chans: Bands of the images; those of the weights, or three, if left out.
        num_classes: Number of classes and the background.
        width: Features of the transformer; a multiple of 8.
        queries: Objects that an image may show at most.
        layers: Layers of the transformer's encoder, and of its decoder.
        arguments: Further arguments of the backbone, among them the ``bands`` and the
            ``adaptation`` of its weights to these.

    Returns:
        The model.

    Raises:
        BadParameter: If the backbone is not known or width is no multiple of 8.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    encoder = backbone_features(backbone, backbone_weights, in_chans, **arguments)
    return DETR(encoder, num_classes, width, queries, layers)
