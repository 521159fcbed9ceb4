"""Simulated change: what is put in, where, and what the mask says of it."""

import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import SimulateChange, SimulateSeason
from torchgeo_ext.transforms.simulated_change import land_classes, objects, random_outline

SIZE = 48
EVERYWHERE = torch.ones(SIZE, SIZE, dtype=torch.bool)


def scene():
    """A dark square and a bright one on a grey ground, all a little noisy."""
    image = torch.full((2, SIZE, SIZE), 0.5)
    image[:, 4:14, 4:14] = 0.1
    image[:, 30:40, 26:36] = 0.9
    return image + 0.01 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def pair():
    return {'image': torch.stack((scene(), scene()))}


def simulate(kind, seed, **options):
    torch.manual_seed(seed)
    arguments = {'events': (1, 1), 'area': (0.02, 0.1), 'classes': 3, 'p': 1} | options
    sample = pair()
    given = sample['image'].clone()
    after = SimulateChange(kinds=(kind,), **arguments)(sample | {'classes': classes()})
    return given, after['image'], after['mask'][0] == 1


def classes(ground=-1):
    """The squares are objects, and the ground only if it has a class."""
    truth = torch.full((SIZE, SIZE), ground)
    truth[4:14, 4:14] = 1
    truth[30:40, 26:36] = 2
    return truth


def events(kind, **options):
    """The events that ten seeds give; chance may leave some out."""
    made = [simulate(kind, seed, **options) for seed in range(10)]
    made = [(given, image, changed) for given, image, changed in made if changed.any()]
    assert len(made) >= 4
    return made


def test_classes_follow_the_values():
    torch.manual_seed(0)
    found = land_classes(scene(), EVERYWHERE, 8)
    ground = found[20:24, 8:40].flatten()
    assert not set(ground.tolist()) & set(found[7:11, 7:11].flatten().tolist())
    assert not set(ground.tolist()) & set(found[33:37, 29:33].flatten().tolist())


def test_invalid_pixels_have_no_class():
    valid = EVERYWHERE.clone()
    valid[:5] = False
    found = land_classes(scene(), valid, 3)
    assert torch.equal(found < 0, ~valid)
    assert (land_classes(scene(), ~EVERYWHERE, 3) == -1).all()


def test_objects_are_connected_areas():
    truth = classes(ground=0)
    truth[40:, :] = 1  # of the class of the first square, but far from it
    truth[44:, :] = -1
    numbers = objects(truth)
    assert len(numbers.unique()) == 5
    assert torch.equal(numbers == 0, truth == -1)
    assert numbers[5, 5] != numbers[41, 5]


def test_outlines_have_about_the_area():
    torch.manual_seed(0)
    areas = [random_outline((100, 100), (50, 50), 900).sum().item() for _ in range(30)]
    assert min(areas) > 0.6 * 900
    assert max(areas) < 1.7 * 900


@pytest.mark.parametrize('kind', ['create', 'remove', 'convert'])
def test_the_mask_tells_what_changed(kind):
    for given, image, changed in events(kind, given='classes'):
        difference = (image - given).abs().amax(dim=(0, 1))
        near = torch.nn.functional.max_pool2d(changed[None].float(), 5, 1, 2)[0] > 0
        assert (difference[~near] == 0).all()
        assert difference[changed].mean() > 0.15
        # one of the dates is as it was
        assert any(torch.equal(*dates) for dates in zip(image, given, strict=True))


def test_a_created_object_is_a_copy():
    for given, image, changed in events('create', given='classes'):
        date = int(not torch.equal(image[1], given[1]))
        brought = image[date][:, changed]
        assert ((brought < 0.3).float().mean() > 0.8) or ((brought > 0.7).float().mean() > 0.8)


def test_a_removed_object_looks_like_its_surroundings():
    for given, image, changed in events('remove', given='classes'):
        date = int(not torch.equal(image[1], given[1]))
        assert ((given[date][:, changed] - 0.5).abs() > 0.3).float().mean() > 0.9
        assert ((image[date][:, changed] - 0.5).abs() < 0.1).float().mean() > 0.6


def test_of_one_image_in_a_batch_the_next_one_gives_objects():
    torch.manual_seed(0)
    plain = torch.full((2, 2, SIZE, SIZE), 0.5) + 0.01 * torch.randn(2, 2, SIZE, SIZE)
    batch = {'image': torch.stack((plain, pair()['image']))}
    create = SimulateChange((3, 3), ('create',), area=(0.02, 0.045), p=1)
    assert any(create(batch)['mask'][0].any() for _ in range(5))


def test_labels_that_were_there_stay():
    sample = pair()
    sample['mask'] = torch.full((1, SIZE, SIZE), -1)
    sample['mask'][:, :24] = 3
    torch.manual_seed(0)
    after = SimulateChange((4, 4), area=(0.02, 0.1), p=1)(sample)['mask']
    assert (after[:, 24:] == -1).all()
    assert set(after[:, :24].unique().tolist()) <= {1, 3}


def test_without_chance_nothing_happens():
    sample = SimulateChange(p=0)(pair())
    assert torch.equal(sample['image'], pair()['image'])
    assert not sample['mask'].any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kinds': ()}, 'kinds'),
        ({'kinds': ('burn',)}, 'kinds is .*burn'),
        ({'classes': 1}, 'classes is 1'),
        ({'events': (3, 1)}, 'events'),
        ({'area': (0.1, 2)}, 'area'),
        ({'p': 2}, 'p is 2'),
    ],
)
def test_useless_arguments(options, message):
    with pytest.raises(BadParameter, match=message):
        SimulateChange(**options)


def test_useless_samples():
    with pytest.raises(BadInput, match='has 3 dates'):
        SimulateChange()({'image': torch.rand(3, 2, 8, 8)})
    with pytest.raises(BadInput, match="given is 'cover'"):
        SimulateChange(given='cover', p=1)(pair())
    with pytest.raises(BadInput, match='mask has the shape'):
        SimulateChange()(pair() | {'mask': torch.zeros(1, 8, 8).long()})


def test_seasons_change_what_looks_alike_alike():
    torch.manual_seed(0)
    given = scene()
    season = SimulateSeason(strength=0.5, reach=100, p=1)
    results = [season(given) for _ in range(6)]
    # the squares keep their outlines: within one, pixels still look alike
    for after in results:
        assert after[:, 6:12, 6:12].std(dim=(1, 2)).max() < 0.1
    assert all((after - given).abs().mean() > 0.01 for after in results)
    torch.testing.assert_close(SimulateSeason(strength=0, p=1)(given), given)


def test_useless_seasons():
    for options in ({'looks': 0}, {'reach': 0}, {'strength': -1}):
        with pytest.raises(BadParameter, match=next(iter(options))):
            SimulateSeason(**options)
