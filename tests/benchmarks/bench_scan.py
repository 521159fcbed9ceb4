"""Time and memory of the selective scan beside the recurrence and the exponentials alone.

python tests/benchmarks/bench_scan.py [--quick]
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from torchgeo_ext.layers import selective_recurrence, selective_scan

#: First stage of VMamba-Tiny: directions and channels of each; (states, steps).
GROUPS, CHANNELS = 4, 192
SHAPES = [(1, 4096), (1, 16384), (16, 4096), (16, 16384)]
QUICK = [(1, 1024), (16, 512)]


def arguments(states: int, length: int, device: str) -> dict[str, Tensor]:
    """Make random arguments in the layout that the layers give."""
    torch.manual_seed(0)
    width = GROUPS * CHANNELS
    given = {
        'u': torch.randn(1, length, width).transpose(1, 2),
        'delta': torch.randn(1, length, width).sub_(4).transpose(1, 2),
        'A': -torch.arange(1.0, states + 1).repeat(width, 1),
        'B': torch.randn(1, length, GROUPS, states).permute(0, 2, 3, 1),
        'C': torch.randn(1, length, GROUPS, states).permute(0, 2, 3, 1),
        'D': torch.ones(width),
        'delta_bias': torch.zeros(width),
    }
    return {name: value.to(device) for name, value in given.items()}


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Give the shortest of some runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def compare(states: int, length: int, device: str) -> None:
    """Print one line of the table."""
    given = arguments(states, length, device)
    # the published layout, channels first, is what the recurrence is usually run on
    published = {name: value.contiguous() for name, value in given.items()}
    exponents = torch.randn(length * GROUPS * CHANNELS * states, device=device)
    result = torch.empty_like(exponents)
    with torch.no_grad():
        ours = seconds(lambda: selective_scan(**given, delta_softplus=True))
        turned = seconds(lambda: selective_scan(**published, delta_softplus=True))
        steps = seconds(lambda: selective_recurrence(**published, delta_softplus=True), repeats=1)
        exp = seconds(lambda: torch.exp(exponents, out=result))
    worth = torch.randn_like(given['u'])
    learning = {name: value.requires_grad_() for name, value in given.items()}
    both = seconds(
        lambda: selective_scan(**learning, delta_softplus=True).backward(worth), repeats=3
    )
    print(
        f'{device:>5}{states:>4}{length:>7}{1e3 * ours:10.1f}{1e3 * turned:12.1f}'
        f'{1e3 * steps:12.1f}{steps / ours:10.1f}{ours / exp:10.1f}{both / ours:10.1f}'
    )


def resident(field: str) -> int:
    """Give the memory of this process in bytes: now (VmRSS), or at its highest (VmHWM)."""
    status = Path('/proc/self/status').read_text()
    return 1024 * int(status.split(f'{field}:')[1].split()[0])


def memory(states: int, length: int) -> None:
    """Print what a scan takes, as a multiple of its inputs and output."""
    with torch.no_grad():
        selective_scan(**arguments(states, 64, 'cpu'), delta_softplus=True)
        given = arguments(states, length, 'cpu')
        inputs = sum(value.nbytes for value in given.values())
        before = resident('VmRSS')
        y = selective_scan(**given, delta_softplus=True)
        taken = resident('VmHWM') - before + inputs
        print(f'{taken / (inputs + y.nbytes):.2f}')


def main() -> None:
    """Print one table for time and one for memory."""
    if sys.argv[1:2] == ['memory']:
        memory(int(sys.argv[2]), int(sys.argv[3]))
        return
    shapes = QUICK if '--quick' in sys.argv else SHAPES
    print(f'{GROUPS} directions of {CHANNELS} channels, {torch.get_num_threads()} threads; in ms:')
    print(
        'device   n      l      scan  from b d l  recurrence   x faster   x exp   x with backward'
    )
    for device in ['cpu'] + ['cuda'] * torch.cuda.is_available():
        for states, length in shapes:
            compare(states, length, device)
    print('Memory in use during a scan on the CPU, in sizes of its inputs and output:')
    for states, length in shapes:
        words = [sys.executable, __file__, 'memory', str(states), str(length)]
        taken = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        print(f'{states:>9}{length:>7}{taken.strip():>10}')


if __name__ == '__main__':
    main()
