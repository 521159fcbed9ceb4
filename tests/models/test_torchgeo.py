"""TorchGeo knows our models."""

import pytest
import torchgeo.models

import torchgeo_ext.models
from torchgeo_ext import registry
from torchgeo_ext.models._torchgeo import teach, weights_of


@pytest.mark.parametrize('name', list(registry.models))
def test_torchgeo_builds_and_lists_every_model(name):
    assert name in torchgeo.models.list_models()
    builder = registry.models[name]
    weights = weights_of(builder)
    if weights is not None:
        assert torchgeo.models.get_model_weights(name) is weights
        for member in weights:
            assert torchgeo.models.get_weight(str(member)) is member


def test_torchgeo_builds_ours():
    built = torchgeo.models.get_model('tinycd')
    assert isinstance(built, torchgeo_ext.models.TinyCD)


def test_a_name_of_torchgeo_is_not_taken():
    def unet():
        raise AssertionError

    with pytest.raises(RuntimeError, match="'unet'"):
        teach([unet])
    assert torchgeo.models.api._model['unet'] is not unet


def test_builders_without_weights():
    assert weights_of(lambda: None) is None
