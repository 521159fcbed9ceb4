"""ChangeStar (1x256) against the numbers of its published code, and what we added."""

import pytest
import torch
from timm.models.vision_transformer_sam import VisionTransformerSAM

from tests.models.parity import Reference
from torchgeo_ext.models import (
    ChangeStar1x256,
    ChangeStar1x256_ViTB_Weights,
    changestar,
    changestar1x256_vitb,
)


@pytest.mark.parametrize(('name', 'semantic', 'change'), [('s1c5', 1, 5), ('s9c1', 9, 1)])
@torch.no_grad()
def test_same_numbers_as_the_published_code(name, semantic, change):
    reference = Reference(f'changestar1x256_vitb_{name}')
    model = reference.build(changestar1x256_vitb, semantic_classes=semantic, num_classes=change)
    before, after = reference.inputs()
    features = []
    model.dec.register_forward_hook(lambda module, maps, output: features.append(output))
    logits = model(torch.stack((before, after), dim=1))

    reference.check('feat_t1', features[0])

    for output, scores in zip(
        ('sem_t1', 'sem_t2', 'change'), (*logits[1:], logits[0]), strict=True
    ):
        one = scores.shape[1] == 1
        reference.check(output, scores.sigmoid() if one else scores.softmax(dim=1))


def tiny_encoder(name='', in_chans=3, num_classes=0):
    return VisionTransformerSAM(
        img_size=64, in_chans=in_chans, num_classes=num_classes, embed_dim=16, depth=2, num_heads=2,
        use_rel_pos=True, window_size=2, global_attn_indexes=(1,),
    )  # fmt: skip


@torch.no_grad()
def test_the_order_of_the_dates_does_not_change_what_changed():
    model = ChangeStar1x256(tiny_encoder(in_chans=2), num_classes=1, semantic_classes=3).eval()
    pair = torch.rand(1, 2, 2, 50, 70)
    forth, back = model(pair), model(pair.flip(1))
    assert forth.change.shape == (1, 1, 50, 70)
    assert forth.after.shape == (1, 3, 50, 70)
    torch.testing.assert_close(forth.change, back.change)
    torch.testing.assert_close(forth.before, back.after)


def test_published_weights_bring_their_classes(publish, monkeypatch):
    monkeypatch.setattr(changestar.timm, 'create_model', tiny_encoder)
    weights = ChangeStar1x256_ViTB_Weights.CHANGEN2_S9
    published = ChangeStar1x256(tiny_encoder(), num_classes=1, semantic_classes=9).state_dict()
    publish(weights, published)
    loaded = changestar1x256_vitb(weights).state_dict()
    torch.testing.assert_close(loaded, published)
    other = changestar1x256_vitb(weights, in_chans=4, semantic_classes=2)
    assert other.semantic.out_channels == 2
    assert other.vit.patch_embed.proj.in_channels == 4
