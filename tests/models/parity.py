"""Compares a model with numbers of the published code, without its weights.

Every weight is a function of its name, so two implementations that name them alike have the same
ones and must agree on the same input. See ``tests/golden/parity/README.md``.
"""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

#: References of this repository, or others in the same form.
FOLDER = Path(os.environ.get('PARITY') or Path(__file__).parents[1] / 'golden' / 'parity')
#: (reference, output, largest difference, tolerance) of every comparison, for ``make parity``.
compared = []


def weight(key, shape, gain=1.0):
    """The array that belongs to a name."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith('running_var'):
        return 0.5 + random.random_sample(shape)
    normal = random.standard_normal(shape).astype(np.float32)
    if key.endswith('running_mean'):
        return 0.1 * normal
    if 'A_log' in key:
        return np.broadcast_to(np.log1p(np.arange(shape[-1], dtype=np.float32)), shape).copy()
    if len(shape) <= 1:
        return 1 + 0.1 * normal if key.endswith('weight') else 0.1 * normal
    return normal * np.float32(gain / np.sqrt(max(1, np.prod(shape[1:]))))


@torch.no_grad()
def fill(model, gain=1.0):
    """Give a model the weights that belong to their names."""
    tensors = dict(model.named_parameters())
    statistics = ('running_mean', 'running_var')
    tensors |= {key: value for key, value in model.named_buffers() if key.endswith(statistics)}
    for key, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(np.asarray(weight(key, tuple(tensor.shape), gain))))
    return model.eval()


class _NoRandomStart(torch.overrides.TorchFunctionMode):
    """Leaves out the random numbers of a new model, which take longer than its use."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_):
            # zeros, as PyTorch 2.15 draws truncated numbers until all of them are inside
            return args[0].zero_()
        return function(*args, **(kwargs or {}))


class Reference:
    """What is known of one published architecture."""

    def __init__(self, name):
        self.name = name
        if 'PARITY' in os.environ and not (FOLDER / f'{name}.json').exists():
            pytest.skip(f'{FOLDER} has no {name}')
        self.facts = json.loads((FOLDER / f'{name}.json').read_text())
        self.outputs = np.load(FOLDER / f'{name}.npz')

    def inputs(self):
        for entry in self.facts['inputs']:
            if 'seed' not in entry:  # noise that is described in words
                continue
            random = np.random.RandomState(entry['seed'])
            sample = random.random_sample(entry['shape']).astype(np.float32)
            yield torch.from_numpy(entry['low'] + (entry['high'] - entry['low']) * sample)

    def state(self):
        """The weights of the published model under its own names."""
        gain = self.facts.get('fill_gain', 1.0)
        return {
            key: torch.tensor(0)
            if key.endswith('num_batches_tracked')
            else torch.from_numpy(
                np.asarray(weight(self._seed(key), tuple(shape), gain), np.float32)
            )
            for key, shape in self.facts['state_dict'].items()
        }

    def _seed(self, key):
        """What to call a weight when it is filled."""
        # "weights" that a ReLU follows are to be positive, as those of norms are
        return key[:-1] if 'fill_rename' in self.facts and key.endswith('.weights') else key

    def build(self, builder, **arguments):
        """Build a model with these weights."""
        with _NoRandomStart():
            model = builder(**arguments)
        for module in model.modules():  # give back the memory before the weights are made
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, torch.nn.Parameter(parameter.to('meta')))
        model.load_state_dict(self.state(), assign=True)
        return model.eval()

    def check_names(self, model):
        found = {key: list(value.shape) for key, value in model.state_dict().items()}
        assert found == self.facts['state_dict']

    def _stored(self, name):
        """The shape of an output and which part of it is here, in either form of the facts."""
        if 'outputs_detail' in self.facts:
            detail = self.facts['outputs_detail'][name]
        else:
            whole = {'full_shape': self.facts['outputs'][name], 'stored': 'full'}
            detail = self.facts['stored_slices'].get(name, whole)
        return detail['full_shape'], detail['stored']

    def check(self, name, output, **tolerance):
        shape, stored = self._stored(name)
        assert list(output.shape) == shape
        if stored != 'full':
            output = output[_index(stored)]
        tolerance = {'rtol': 1e-4, 'atol': 1e-4} | tolerance
        expected = self.outputs[name]
        # 1e-4 here is 1e-4 absolute and relative there
        difference = np.abs(output.numpy() - expected) / (1 + np.abs(expected))
        compared.append((self.name, name, float(difference.max()), tolerance['rtol']))
        np.testing.assert_allclose(output.numpy(), expected, **tolerance, err_msg=name)


def _index(text):
    """``[:, ::2]`` as a tuple of slices."""
    return tuple(
        slice(*(int(number) if number.strip() else None for number in part.split(':')))
        for part in text.strip('[]').split(',')
    )
