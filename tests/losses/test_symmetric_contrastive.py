"""SymmetricContrastiveLoss: values by hand, several positives, and two processes as one."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.losses import SymmetricContrastiveLoss

PAIRS, WIDTH, PROCESSES = 4, 3, 2


def features(number=PAIRS, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, number, WIDTH, generator=random)


def test_it_is_the_mean_of_both_cross_entropies():
    first, second = features()
    logits = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / 0.07
    right = torch.arange(PAIRS)
    expected = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    torch.testing.assert_close(SymmetricContrastiveLoss()(first, 5 * second), expected)


def test_guessing_costs_the_logarithm_of_the_pairs():
    alike = torch.ones(PAIRS, WIDTH)
    assert SymmetricContrastiveLoss()(alike, alike).item() == pytest.approx(math.log(PAIRS))
    assert SymmetricContrastiveLoss()(alike[:1], alike[:1]) == 0


def test_pairs_of_a_group_are_no_mistakes():
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    groups = torch.tensor([7, 7, 2])
    loss = SymmetricContrastiveLoss(temperature=0.02)
    # the two of the group share what is to be found
    assert loss(first, first, groups).item() == pytest.approx(2 / 3 * math.log(2), abs=1e-6)
    different = torch.tensor([0, 1, 2])
    torch.testing.assert_close(loss(first, first, different), loss(first, first))


def test_the_temperature_is_learned_within_its_bound():
    first, _ = features()
    loss = SymmetricContrastiveLoss(temperature=0.5, largest_scale=3)
    optimizer = torch.optim.SGD(loss.parameters(), lr=10)
    for _ in range(3):
        optimizer.zero_grad()
        value = loss(first, first)
        value.backward()
        optimizer.step()
    # the last step went beyond, and the next look brings it back
    loss(first, first)
    assert loss.logit_scale.exp().item() == pytest.approx(3)
    assert loss.logit_scale.grad != 0
    fixed = SymmetricContrastiveLoss(learn=False)
    assert not any(parameter.requires_grad for parameter in fixed.parameters())
    assert fixed.logit_scale.item() == pytest.approx(math.log(1 / 0.07))


def test_what_cannot_be_is_refused():
    with pytest.raises(BadParameter, match='temperature is 0'):
        SymmetricContrastiveLoss(temperature=0)
    with pytest.raises(BadParameter, match='largest_scale is 10, but the scale is 14'):
        SymmetricContrastiveLoss(largest_scale=10)
    with pytest.raises(BadInput, match=r'\(4, 3\) and second \(4, 2\)'):
        SymmetricContrastiveLoss()(torch.ones(4, 3), torch.ones(4, 2))


class Pair(nn.Module):
    """Two linear towers and the loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.loss = SymmetricContrastiveLoss(gather=True)

    def forward(self, pairs, groups=None):
        return self.loss(self.first(pairs[0]), self.second(pairs[1]), groups)


def one_process(rank, folder):
    """Compute gradients of a share of the pairs, as DDP averages them, and write them."""
    distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=PROCESSES
    )
    pairs = features(PROCESSES * PAIRS)
    groups = torch.arange(PROCESSES * PAIRS) % 5
    own = slice(rank * PAIRS, (rank + 1) * PAIRS)
    for name, given in (('apart', None), ('grouped', groups[own])):
        network = DistributedDataParallel(Pair())
        loss = network(pairs[:, own], given)
        loss.backward()
        found = {key: value.grad for key, value in network.module.named_parameters()}
        torch.save({'loss': loss.detach(), **found}, f'{folder}/{name}_{rank}.pt')
    try:
        SymmetricContrastiveLoss(gather=True)(*features(PAIRS + rank))
    except BadInput as error:
        torch.save({'message': str(error)}, f'{folder}/uneven_{rank}.pt')
    distributed.destroy_process_group()


def test_two_processes_learn_as_one_with_all_pairs(tmp_path):
    multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=PROCESSES)
    groups = torch.arange(PROCESSES * PAIRS) % 5
    for name, given in (('apart', None), ('grouped', groups)):
        whole = Pair()
        loss = whole(features(PROCESSES * PAIRS), given)
        loss.backward()
        found = [torch.load(tmp_path / f'{name}_{rank}.pt') for rank in range(PROCESSES)]
        mean = sum(each['loss'] for each in found) / PROCESSES
        torch.testing.assert_close(mean, loss.detach())
        for key, value in whole.named_parameters():
            for each in found:
                torch.testing.assert_close(each[key], value.grad, msg=lambda m, k=key: f'{k}: {m}')
    message = torch.load(tmp_path / 'uneven_1.pt')['message']
    assert 'The processes have 4, 5 pairs' in message
