import pytest
import torch
from jsonargparse import ArgumentParser

from tests.tasks.pairs import batch_of, run_once, save_and_load
from tests.tasks.places import small_backbone
from torchgeo_ext.cells import CellHierarchy
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics._sphere import great_circle
from torchgeo_ext.tasks import Geolocation, geolocation

BANDS, SIZE = 2, 16
POINTS = [(10, 50), (12, 51), (140, 35), (141, 36), (-60, -30), (-61, -31)]
CELLS = CellHierarchy.build(POINTS, [2, 1])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(geolocation, 'backbone_features', small_backbone)


small = pytest.mark.usefixtures('_small')


def make(**options):
    known = {'model': 'small', 'in_channels': BANDS, 'cells': CELLS.as_dict()}
    return Geolocation(**known | options)


def samples(number=6, images=0):
    """The brightness tells the place."""
    made = []
    for index in range(number):
        shape = (images, BANDS, SIZE, SIZE) if images else (BANDS, SIZE, SIZE)
        point = torch.tensor(POINTS[index % 6], dtype=torch.float64)
        made.append({'image': torch.randn(shape) * 0.1 + index % 6, 'point': point})
    return made


def overfit(task, batch, steps=80):
    optimizer = torch.optim.Adam(task.parameters(), 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        task._loss(task(batch['image']), batch['point']).backward()
        optimizer.step()
    return task.eval()


def found_places(task, batch):
    with torch.inference_mode():
        return task.places(task(batch['image']))


@pytest.mark.parametrize('model', ['eurosat_baseline3', 'tu-mobilenetv3_small_050'])
def test_trains_validates_and_tests_with_any_backbone(model):
    logged = run_once(make(model=model), samples())
    assert logged['train_loss'] > 0
    for stage in ('val', 'test'):
        assert 0 <= logged[f'{stage}_within_2500_km'] <= 1
        assert logged[f'{stage}_median_km'] >= 0
    assert Geolocation.monitor in logged


@small
@pytest.mark.parametrize(
    ('options', 'images'),
    [({}, 0), ({'smoothing': 50.0}, 0), ({}, 3), ({'album': 'lstm', 'memory': 8}, 3)],
    ids=['plain', 'smooth', 'mean', 'lstm'],
)
def test_learns_places(options, images):
    batch = batch_of(samples(images=images))
    task = overfit(make(**options), batch)
    torch.testing.assert_close(found_places(task, batch), batch['point'], atol=1e-5, rtol=0)


@small
def test_probabilities_of_each_partition_add_up():
    scores = make()(batch_of(samples())['image']).exp()
    coarse, fine = scores.split(CELLS.sizes, dim=1)
    for part in (coarse, fine):
        torch.testing.assert_close(part.sum(1), torch.ones(6))
    combined = make().predict_step(batch_of(samples()), 0)
    torch.testing.assert_close(combined.sum(1), torch.ones(6))


@small
def test_albums_are_averaged_or_remembered():
    batch = batch_of(samples(images=3))['image']
    task = make().eval()
    each = torch.stack([task(batch[:, image]).exp() for image in range(3)])
    torch.testing.assert_close(task(batch).exp(), each.mean(0))
    ordered = make(album='lstm', memory=8).eval()
    assert not torch.allclose(ordered(batch), ordered(batch.flip(1)))
    torch.testing.assert_close(ordered(batch[:, :1]), ordered(batch[:, 0]))


@small
def test_smoothing_wishes_for_near_cells():
    task = make(smoothing=500.0)
    partition = CELLS.finest
    wishes = task._wishes(partition, torch.tensor([[10.0, 50.0]]).double())[0]
    near = partition.find([(10, 50), (12, 51), (140, 35)])
    assert wishes[near[0]] > wishes[near[1]] > 0.1
    assert wishes[near[2]] < 1e-6
    # 1 / e for each 500 km
    one, other = partition.places[near[:2]]
    gap = great_circle(torch.from_numpy(one), torch.from_numpy(other))
    torch.testing.assert_close(
        (wishes[near[0]] / wishes[near[1]]).log().double(), gap / 500, rtol=1e-4, atol=1e-4
    )


@small
def test_places_in_holes_have_no_label():
    batch = batch_of(samples(2))
    task = make()
    scores = task(batch['image'])
    alone = task._loss(scores[:1], batch['point'][:1])
    batch['point'][1] = torch.tensor([0.0, -80.0])
    torch.testing.assert_close(task._loss(scores, batch['point']), alone)
    nothing = task._loss(scores[1:], batch['point'][1:])
    assert nothing == 0
    nothing.backward()


@small
def test_the_backbone_can_rest():
    task = make(freeze_backbone=True, album='lstm')
    trained = {name.split('.')[1] for name, each in task.named_parameters() if each.requires_grad}
    assert trained == {'memory', 'head'}


@small
def test_checkpoints_hold_the_cells(tmp_path):
    path = tmp_path / 'cells.json'
    CELLS.save(path)
    task = make(cells=str(path)).eval()
    path.unlink()
    again, content = save_and_load(task, tmp_path / 'place.ckpt')
    assert content['hyper_parameters']['cells'] == CELLS.as_dict()
    image = torch.randn(1, BANDS, SIZE, SIZE)
    assert torch.equal(again.eval()(image), task(image))


@small
def test_names_of_cells_are_no_numbers_on_the_command_line():
    """LightningCLI reads the cells of a checkpoint again."""
    tokens = ['04', '1e4', '3']
    partition = {'tokens': tokens, 'counts': [1, 2, 3], 'places': [[0, 0], [1, 1], [90, 0]]}
    cells = {'format': 1, 'cells': 'S2', 'partitions': [partition]}
    parser = ArgumentParser()
    parser.add_class_arguments(Geolocation, 'task')
    parsed = parser.parse_object({'task': {'model': 'small', 'cells': cells}})
    assert parser.instantiate_classes(parsed).task.cells.finest.tokens == tokens


def test_a_backbone_that_is_not_known_is_refused():
    with pytest.raises(BadParameter, match="'small' is not known"):
        make()


@small
def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(BadParameter, match="album is 'max'"):
        make(album='max')
    with pytest.raises(BadParameter, match='smoothing is -1'):
        make(smoothing=-1)
    with pytest.raises(BadInput, match='cannot be read'):
        make(cells=str(tmp_path / 'none.json'))
    with pytest.raises(BadInput, match='no point, but image'):
        make().training_step({'image': torch.zeros(1, BANDS, SIZE, SIZE)}, 0)
    with pytest.raises(BadParameter, match='does not tell where it learns from'):
        run_once(make(cells=None), samples())
