"""What every registered model must do: take its bands and any size, and repeat itself."""

import inspect

import pytest
import torch

from torchgeo_ext import registry
from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import LocationEncoder

#: Arguments that make models of a choosable size small.
SMALL = {
    'centernet': {'backbone': 'eurosat_baseline3', 'width': 32},
    'detr': {'backbone': 'eurosat_baseline3', 'width': 32},
    'fusu': {'backbone': 'hrnet_w18_small', 'series_chans': 4, 'semantic_classes': 3},
    'hyscdg': {'backbone': 'mobilenet_v2', 'semantic_classes': 3},
    'lenet': {'backbone': 'swinv2_tiny_window8_256'},
    'rotatedfcos': {'backbone': 'eurosat_baseline3', 'width': 32},
    'segmenter': {'backbone': 'eurosat_baseline3'},
    'spectralformer': {'group': 1},
    'ssd': {'backbone': 'eurosat_baseline3', 'width': 32},
    'tcssm': {'text_features': 8},
    'mapformer': {'backbone': 'b1', 'map_classes': 3},
}
#: Larger ones of a family, or of hundreds of megabytes: their classes are tested with small parts.
LARGE = ('_small', '_base', '_vitb', '_vitl', '_vith', '_l', '_h')

BANDS, HEIGHT, WIDTH = 2, 37, 50
#: Models that need more bands.
MANY_BANDS = dict.fromkeys(
    ('spectralearth_mae_vits', 'spectralearth_resnet50', 'spectralearth_vits'), 80
)


def build(name):
    builder = registry.models[name]
    bands = 'in_chans' if 'in_chans' in inspect.signature(builder).parameters else 'in_channels'
    torch.manual_seed(0)
    return builder(**{bands: MANY_BANDS.get(name, BANDS)}, **SMALL.get(name, {})).eval()


def takes_pairs(model):
    return 't=2' in inspect.getdoc(model.forward)


def inputs(model, bands=BANDS):
    shape = (1, 2, bands, HEIGHT, WIDTH) if takes_pairs(model) else (1, bands, HEIGHT, WIDTH)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    if 'land_cover' in inspect.signature(model.forward).parameters:
        return image, torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)
    if 'coordinates' in inspect.signature(model.forward).parameters:
        return image, torch.tensor([[7.5, 47.0]])
    if 'questions' in inspect.signature(model.forward).parameters:
        return image, torch.ones(1, 8), torch.ones(1, 3, 8)
    if 'series' in inspect.signature(model.forward).parameters:
        return image, torch.rand(1, 3, 4, 11, 9, generator=torch.Generator().manual_seed(1))
    return (image,)


def outputs(model, *arguments):
    found = model(*arguments)
    if isinstance(found, list) and isinstance(found[0], dict):  # objects of each image
        found = tuple(value[None] for answer in found for value in answer.values())
    return (found,) if isinstance(found, torch.Tensor) else tuple(found)


def of_images():
    """Names of models of images; encoders of places alone have tests of their own."""
    for name, builder in registry.models.items():
        places = issubclass(inspect.get_annotations(builder)['return'], LocationEncoder)
        if not places and not name.endswith(LARGE):
            yield name


@torch.no_grad()
@pytest.mark.parametrize('name', of_images())
def test_bands_sizes_and_repetition(name):
    model = build(name)
    arguments = inputs(model, MANY_BANDS.get(name, BANDS))
    first = outputs(model, *arguments)
    for logits in first:
        assert logits.shape[0] == 1
        assert logits.isfinite().all()
        if takes_pairs(model) and logits.ndim == 4:
            assert logits.shape[-2:] == (HEIGHT, WIDTH)
    for logits, again in zip(first, outputs(model, *arguments), strict=True):
        assert torch.equal(logits, again)
    if takes_pairs(model):
        with pytest.raises(BadInput, match='batch, 2, bands, height, width'):
            model(arguments[0][0], *arguments[1:])


@pytest.mark.parametrize('name', list(registry.models))
def test_builders_are_described(name):
    builder = registry.models[name]
    text = inspect.getdoc(builder)
    # larger ones of a family may refer to the smallest
    if ':func:' not in text:
        for argument in inspect.signature(builder).parameters:
            assert f'{argument}: ' in text
    assert issubclass(inspect.get_annotations(builder)['return'], torch.nn.Module)
