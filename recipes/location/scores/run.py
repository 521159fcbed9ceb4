"""What encoders of places tell of temperature, rain and cities, with blocks of land held out.

python recipes/location/scores/run.py [--output location] [--targets temperature ...]
    [--blocks 0 500000] [--weights satclip_vit16_l40=satclip-vit16-l40.ckpt ...]

Each encoder is judged by predict_from_location. Those that are trained stand twice in the table:
with random weights, which is what any network of that shape would give, and, for each file given
with --weights, with the weights of that file.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pandas as pd

from torchgeo_ext.operations import predict_from_location

DATA = Path(__file__).parent / 'data'
#: File, field and what it is, of each target.
TARGETS = {
    'temperature': ('stations', 'temperature'),
    'precipitation': ('stations', 'precipitation'),
    'population': ('cities', 'log_population'),
}
FORMULAS = {
    'spherical harmonics, L = 10 (formula)': 'location_harmonics',
    'Fourier, 8 frequencies (formula)': 'location_fourier',
    'Wrap (formula)': 'location_wrap',
}
TRAINED = {'SatCLIP ViT16 L = 10': 'satclip_vit16_l10', 'SatCLIP ViT16 L = 40': 'satclip_vit16_l40'}
#: What a network learns from too, which takes long with seventeen thousand cities.
NETWORKS = {('temperature', 'location_harmonics'), ('precipitation', 'location_harmonics')}


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: The way.
        method: The small model.
        spatial: R2 with blocks held out.
        random: R2 with points held out at random.
        error: Root of the mean squared error with blocks held out.
    """

    name: str
    method: str
    spatial: float
    random: float
    error: float


def main() -> None:
    """Print a table for each target and size of blocks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path, default=Path('location'))
    parser.add_argument('--targets', nargs='+', choices=[*TARGETS], default=[*TARGETS])
    parser.add_argument('--blocks', nargs='+', type=float, default=[0.0, 500_000.0])
    parser.add_argument('--weights', nargs='*', default=[], metavar='MODEL=FILE')
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    weights = dict(entry.split('=', 1) for entry in given.weights)
    for target in given.targets:
        for block_size in given.blocks:
            rows = compare(given.output, target, block_size, weights)
            print('\n'.join(table(target, block_size, rows)), flush=True)


def compare(
    output: Path,
    target: str,
    block_size: float,
    weights: Mapping[str, str] | None = None,
    models: Iterable[str] | None = None,
) -> list[Row]:
    """Judge all encoders by one target.

    Args:
        output: Folder for points and reports.
        target: One of ``TARGETS``.
        block_size: Side of the blocks in metres; 0 for what the operation chooses.
        weights: Files of published weights by name of the encoder.
        models: Names of the encoders; all if not given.

    Returns:
        The encoders, and the ways that need none.
    """
    name, field = TARGETS[target]
    points = write_points(name, output)
    rows: dict[tuple[str, str], Row] = {}
    for title, options in encoders(weights or {}):
        if models is not None and options['model'] not in models:
            continue
        network = (target, options['model']) in NETWORKS
        for method in ('linear', 'network') if network else ('linear',):
            report = output / f'{target}_{options["model"]}_{method}_{block_size:g}.json'
            done = predict_from_location(
                points, field, method=method, block_size=block_size, report=report, **options
            )
            own, *others = (_row(way, method) for way in json.loads(done.scores))
            rows[title, method] = own._replace(name=title)
            # the same for every encoder
            rows |= {(way.name, way.method): way for way in others}
    return list(rows.values())


def encoders(weights: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a title of each encoder and what the operation is told of it."""
    for title, model in FORMULAS.items():
        yield title, {'model': model}
    for title, model in TRAINED.items():
        yield f'{title}, random weights', {'model': model, 'untrained': True}
    for model, file in weights.items():
        yield f'{model}, weights of {Path(file).name}', {'model': model, 'weights': file}


def _row(way: Mapping[str, Any], method: str) -> Row:
    name, _, _ = way['way'].partition(',')
    return Row(
        name,
        'neighbours' if 'nearest' in name else method,
        way['r2_spatial'],
        way['r2_random'],
        way['rmse_spatial'],
    )


def write_points(name: str, folder: Path) -> Path:
    """Write the points of a file as a layer, once."""
    path = folder / f'{name}.gpkg'
    if not path.exists():
        table = pd.read_csv(DATA / f'{name}.csv', keep_default_na=False)
        if 'population' in table:
            table = table[table['population'] > 0]
            table = table.assign(log_population=np.log10(table['population']))
        places = geopandas.points_from_xy(table.pop('lon'), table.pop('lat'))
        geopandas.GeoDataFrame(table, geometry=places, crs='EPSG:4326').to_file(path)
    return path


def table(target: str, block_size: float, rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table in Markdown, best first."""
    blocks = f'blocks of {block_size / 1000:g} km' if block_size else 'blocks of automatic size'
    yield f'\n{target}, {blocks}\n'
    yield '| Way | Small model | R2, blocks | R2, random | RMSE, blocks |'
    yield '| --- | --- | --- | --- | --- |'
    for row in sorted(rows, key=lambda row: -row.spatial):
        yield (
            f'| {row.name} | {row.method} | {row.spatial:.3f} | {row.random:.3f} | '
            f'{row.error:.3f} |'
        )


if __name__ == '__main__':
    main()
