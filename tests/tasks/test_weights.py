import pytest
import torch
from safetensors.torch import save_file

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import Segmenter
from torchgeo_ext.models.channels import adapt_channels
from torchgeo_ext.models.satmaepp import SatMAEPP, SatMAEPPSize, sentinel2_layout
from torchgeo_ext.tasks import MaskedChangeDetection, MaskedSegmentation
from torchgeo_ext.tasks._weights import StartingPoint, load_into, read_tensors

BANDS = ('B1', 'B2', 'B3', 'B4', 'B8A')


@pytest.fixture(scope='module')
def encoder():
    """Weights of an encoder of five bands."""
    torch.manual_seed(1)
    task = MaskedSegmentation(backbone='mobilenet_v2', in_channels=5, num_classes=2)
    return task.model.encoder.state_dict()


def first(task):
    return task.model.encoder.features[0][0].weight


def task_of(bands, backbone='mobilenet_v2'):
    return MaskedSegmentation(backbone=backbone, in_channels=bands, num_classes=3)


class TestAdaptChannels:
    kernels = torch.arange(5.0).reshape(1, 5, 1, 1) + 1

    def adapt(self, bands, known=BANDS, channels=None):
        kernels, note = adapt_channels(self.kernels, known, bands, channels or len(bands))
        return kernels.flatten().tolist(), note

    def test_same_bands_stay(self):
        assert self.adapt(BANDS) == ([1, 2, 3, 4, 5], 'all bands were found by name')

    def test_other_order_and_spelling(self):
        kernels, _ = self.adapt(('B8A', 'b04', 'SR_B3', 'B02', 'B01'))
        assert kernels == [5, 4, 3, 2, 1]

    def test_fewer_bands_are_scaled(self):
        kernels, note = self.adapt(('B04', 'B03'))
        assert kernels == [4 * 2.5, 3 * 2.5]
        assert note == 'all bands were found by name'

    def test_strange_bands_get_the_mean(self):
        kernels, note = self.adapt(('B4', 'height'))
        assert kernels == [4 * 2.5, 3 * 2.5]
        assert 'height got the mean' in note

    def test_as_many_unnamed_bands_are_taken_in_order(self):
        kernels, note = self.adapt(tuple('abcde'))
        assert kernels == [1, 2, 3, 4, 5]
        assert 'in their order' in note

    def test_another_number_of_unnamed_bands_gets_the_mean(self):
        kernels, note = self.adapt(('x', 'y'), known=())
        assert kernels == [7.5, 7.5]
        assert 'made for 5 bands, was averaged for these 2' in note

    def test_two_dates_share_the_kernels(self):
        kernels, _ = self.adapt(('B1', 'B2'), channels=4)
        assert kernels == [1.25, 2.5, 1.25, 2.5]

    def test_red_is_r(self):
        kernels, _ = adapt_channels(self.kernels[:, :3], ('R', 'G', 'B'), ('Blue', 'red'), 2)
        assert kernels.flatten().tolist() == [4.5, 1.5]


def test_encoder_weights_arrive(encoder):
    task = task_of(2)
    note = load_into(task.model, StartingPoint('X', encoder, BANDS), ('B8A', 'B1'))
    assert note == 'The encoder starts from X; all bands were found by name.'
    expected = encoder['features.0.0.weight'][:, [4, 0]] * 2.5
    torch.testing.assert_close(first(task).data, expected)
    own = task.model.encoder.state_dict()
    assert all(torch.equal(own[k], v) for k, v in encoder.items() if k != 'features.0.0.weight')


def test_a_whole_checkpoint_arrives_but_for_its_head(tmp_path):
    torch.manual_seed(2)
    donor = MaskedSegmentation(backbone='mobilenet_v2', in_channels=5, num_classes=7)
    path = tmp_path / 'x.ckpt'
    torch.save({'state_dict': donor.state_dict(), 'hyper_parameters': {}}, path)
    task = task_of(5)
    note = load_into(task.model, StartingPoint('X', read_tensors(path)), tuple('abcde'))
    assert 'network starts from X' in note
    assert '2 tensors of another shape or name start at random' in note
    theirs, ours = donor.model.decoder.state_dict(), task.model.decoder.state_dict()
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_timms_names_are_understood(encoder):
    import timm

    donor = timm.create_model('mobilenetv3_small_050', in_chans=3)
    task = task_of(3, backbone='tu-mobilenetv3_small_050')
    note = load_into(task.model, StartingPoint('X', donor.state_dict()), ('a', 'b', 'c'))
    assert note.startswith('The encoder starts from X')
    assert torch.equal(task.model.encoder.model.conv_stem.weight, donor.conv_stem.weight)


def test_early_fusion_of_two_dates(encoder):
    task = MaskedChangeDetection(model='unet', backbone='mobilenet_v2', in_channels=5)
    load_into(task.model, StartingPoint('X', encoder, BANDS), BANDS)
    kernels = first(task).data
    torch.testing.assert_close(kernels[:, :5], kernels[:, 5:])
    torch.testing.assert_close(kernels[:, :5], encoder['features.0.0.weight'] / 2)


def test_weights_of_another_backbone_are_refused(encoder):
    with pytest.raises(BadParameter, match='does not fit the backbone'):
        load_into(task_of(5, 'resnet18').model, StartingPoint('X', encoder, BANDS), BANDS)


def test_bands_in_groups_keep_their_order():
    layout = sentinel2_layout()
    donor = SatMAEPP(SatMAEPPSize(32, 2, 2, 8), layout)
    network = Segmenter(SatMAEPP(SatMAEPPSize(32, 2, 2, 8), layout), width=16)
    bands = [f'band {number}' for number in range(10)]
    note = load_into(network, StartingPoint('X', donor.state_dict()), bands)
    assert 'bands are taken in their order' in note
    key = 'patch_embed.1.weight'
    assert torch.equal(network.encoder.state_dict()[key], donor.state_dict()[key])
    with pytest.raises(BadParameter, match='sees its bands in groups'):
        load_into(network, StartingPoint('X', donor.state_dict()), bands, adaptation='mean')


def test_networks_without_encoder_are_refused(encoder):
    task = MaskedSegmentation(model='fcn', in_channels=5, num_classes=3)
    with pytest.raises(BadParameter, match='has no encoder'):
        load_into(task.model, StartingPoint('X', encoder, BANDS), BANDS)


def test_safetensors(tmp_path, encoder):
    save_file({k: v.clone() for k, v in encoder.items()}, tmp_path / 'w.safetensors')
    read = read_tensors(tmp_path / 'w.safetensors')
    assert read.keys() == encoder.keys()


@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors'])
def test_files_that_hold_something_else(tmp_path, name):
    (tmp_path / name).write_bytes(b'not weights')
    with pytest.raises(BadInput, match='weights: '):
        read_tensors(tmp_path / name)


class _Harmful:
    def __reduce__(self):
        return print, ('executed',)


def test_pickles_are_never_run(tmp_path, capsys):
    torch.save({'state_dict': _Harmful()}, tmp_path / 'w.pth')
    with pytest.raises(BadInput, match='plain weights'):
        read_tensors(tmp_path / 'w.pth')
    assert 'executed' not in capsys.readouterr().out


def test_a_file_without_tensors(tmp_path):
    torch.save({'epoch': 3}, tmp_path / 'w.pth')
    with pytest.raises(BadInput, match='holds no weights'):
        read_tensors(tmp_path / 'w.pth')
