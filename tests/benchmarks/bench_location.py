"""Vectors of places: random points beside the bare network, and a grid beside TorchGeo.

Weights are random. Times are of the processor with one thread, so that other work on the machine
counts little. The grid is that of 0.1 degrees, of which some rows are computed and the time is
scaled up to all 1800; differences are to TorchGeo's encoder in float64.

python tests/benchmarks/bench_location.py [rows]
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torchgeo.models import SatCLIP

from torchgeo_ext.inference.location import embed_coordinates, embed_grid_rows, stream_coordinates
from torchgeo_ext.models.location import location_encoder

#: Of the random points, of TorchGeo's and the bare network's batches, and how often each is timed.
PLACES, BATCH, ROUNDS = 65_536, 8192, 3
ROWS, COLUMNS = 1800, 3600


def build(degrees: int, dtype: torch.dtype) -> SatCLIP:
    """Build TorchGeo's encoder with its constants in a type."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    encoder = SatCLIP(degrees).eval()
    torch.set_default_dtype(torch.float32)
    return encoder


def pointwise(encoder: SatCLIP, coordinates: np.ndarray) -> torch.Tensor:
    """Encode batch by batch, as the caller of TorchGeo has to."""
    places = torch.from_numpy(coordinates)
    with torch.inference_mode():
        return torch.cat([encoder(batch) for batch in places.split(BATCH)])


def seconds(*ways: Callable[[], object]) -> list[float]:
    """Time several ways in turn, each at its best."""
    times = [[np.inf] for _ in ways]
    for _ in range(ROUNDS):
        for way, found in zip(ways, times, strict=True):
            start = time.process_time()
            way()
            found.append(time.process_time() - start)
    return [min(found) for found in times]


def random_places(count: int) -> np.ndarray:
    """Draw places that are dense equally all over the sphere."""
    longitude, height = np.random.default_rng(0).uniform((-180, -1), (180, 1), (count, 2)).T
    return np.stack([longitude, np.degrees(np.arcsin(height))], axis=1)


def peak() -> float:
    """Give the peak memory of this process in MB."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def main(rows: int) -> None:
    """Measure both published numbers of degrees."""
    torch.set_num_threads(1)
    places = random_places(PLACES)
    latitudes = np.linspace(89.95, -89.95, ROWS)[:: ROWS // rows]
    longitudes = np.linspace(-179.95, 179.95, COLUMNS)
    grid = np.stack(np.meshgrid(longitudes, latitudes), axis=-1).reshape(-1, 2)
    for degrees in (10, 40):
        exact, single = build(degrees, torch.float64), build(degrees, torch.float32)
        single.load_state_dict(exact.state_dict())
        ours = location_encoder(f'satclip_vit16_l{degrees}')
        ours.load_state_dict(exact.state_dict())
        features = torch.randn(BATCH, degrees**2)

        def bare(network: torch.nn.Module = single.nnet, features: torch.Tensor = features) -> None:
            with torch.inference_mode():
                for _ in range(PLACES // BATCH):
                    network(features)

        alone, here, there = seconds(
            bare,
            lambda ours=ours: embed_coordinates(ours, places, device='cpu'),
            lambda single=single: pointwise(single, places),
        )
        print(
            f'L={degrees}, random points: bare network {PLACES / alone:,.0f}/s, ours '
            f'{PLACES / here:,.0f}/s ({alone / here:.2f} x), TorchGeo {PLACES / there:,.0f}/s'
        )
        here, there = seconds(
            lambda ours=ours: [*embed_grid_rows(ours, longitudes, latitudes, device='cpu')],
            lambda single=single: pointwise(single, grid),
        )
        blocks = embed_grid_rows(ours, longitudes, latitudes, device='cpu')
        vectors = np.concatenate([block.reshape(-1, 256) for _, block in blocks])
        error = np.abs(vectors - pointwise(exact, grid).numpy()).max()
        theirs = (pointwise(single, grid) - pointwise(exact, grid)).abs().max()
        scale = ROWS / len(latitudes)
        print(
            f'L={degrees}, 0.1 degree grid ({len(latitudes)} of {ROWS} rows, scaled): ours '
            f'{here * scale:.0f} s, TorchGeo {there * scale:.0f} s ({there / here:.2f} x), largest '
            f'difference {error:.1e} (TorchGeo in float32: {theirs:.1e})'
        )

    def batches(count: int) -> Iterator[np.ndarray]:
        for _ in range(count):
            yield places

    for count in (2, 8):
        for _ in stream_coordinates(ours, batches(count), device='cpu'):
            pass
        print(f'L=40, stream of {count * PLACES:,} points: peak {peak():.0f} MB')


if __name__ == '__main__':
    main(int(sys.argv[1]) if sys.argv[1:] else 10)
