import pytest
import torch

from torchgeo_ext.datasets import collate_samples, unbind_samples


def samples():
    return [
        {
            'image': torch.full((2, 3), n),
            'doy': torch.zeros(n + 1),
            'text': f'sample {n}',
            'cover': n / 2,
        }
        for n in range(3)
    ]


def test_tensors_are_stacked_and_all_else_is_listed():
    batch = collate_samples(samples())
    assert batch['image'].shape == (3, 2, 3)
    assert [len(doy) for doy in batch['doy']] == [1, 2, 3]
    assert batch['text'] == ['sample 0', 'sample 1', 'sample 2']
    assert batch['cover'].tolist() == [0, 0.5, 1]


def test_types_are_never_mixed():
    batch = collate_samples([{'x': torch.zeros(2)}, {'x': torch.zeros(2, dtype=torch.int64)}])
    assert [x.dtype for x in batch['x']] == [torch.float32, torch.int64]


def test_what_a_sample_lacks_is_none():
    batch = collate_samples([{'text': 'a'}, {'image': torch.ones(1)}])
    assert batch == {'text': ['a', None], 'image': [None, torch.ones(1)]}


def test_unbinding_undoes_it():
    made = samples()
    del made[1]['text']
    for before, after in zip(made, unbind_samples(collate_samples(made)), strict=True):
        assert before.keys() == after.keys()
        assert torch.equal(before['image'], after['image'])
        assert torch.equal(before['doy'], after['doy'])
        assert before.get('text') == after.get('text')
    assert unbind_samples({}) == []


def test_what_lies_one_after_another_is_not_copied():
    memory = torch.arange(24.0).view(4, 2, 3)
    batch = collate_samples([{'image': one} for one in memory])
    assert torch.equal(batch['image'], memory)
    assert batch['image'].data_ptr() == memory.data_ptr()


@pytest.mark.parametrize(
    'images',
    [
        lambda memory: [memory[0], memory[2]],
        lambda memory: [memory[1], memory[0]],
        lambda memory: [memory[0], memory[0]],
        lambda memory: [memory[0].T, memory[1].T],
        lambda memory: [memory[0], memory[1].clone()],
    ],
)
def test_what_lies_elsewhere_is_copied(images):
    memory = torch.arange(24.0).view(4, 2, 3)
    images = images(memory)
    batch = collate_samples([{'image': one} for one in images])
    assert torch.equal(batch['image'], torch.stack(images))
    assert batch['image'].untyped_storage().data_ptr() != memory.untyped_storage().data_ptr()
