"""The demo: train, segment and detect change on real imagery, through QGIS and without it.

Started by ``make demo``; everything it makes is in ``demo/``.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = HERE / 'data'
OUT = ROOT / 'demo'
SCENES = [DATA / f'sentinel2_2015-{day}.tif' for day in ('07-11', '08-30', '09-09')]
BEFORE, AFTER = DATA / 'naip_2009-08-18.tif', DATA / 'naip_2016-08-16.tif'


def main() -> None:
    """Run all steps."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    began = time.monotonic()
    train()
    enable_plugin()
    segment()
    detect_change()
    draw()
    print(f'\nDone in {time.monotonic() - began:.0f} s. Everything is in {OUT}:')
    for path in sorted(OUT.iterdir()):
        print(f'  {path.relative_to(ROOT)}')


def say(text: str) -> None:
    """Print a headline."""
    print(f'\n== {text}', flush=True)


def label() -> Path:
    """Leave out the few polygons nobody named; where they are stays unlabelled."""
    import geopandas

    polygons = geopandas.read_file(DATA / 'land_use.gpkg')
    labels = OUT / 'labels.gpkg'
    polygons[polygons['LULC_NAME'] != ''].to_file(labels)
    return labels


def train() -> None:
    """Train a land-cover model and print its scores on the blocks held out."""
    say('Training a land-cover model from three Sentinel-2 scenes and land-use polygons')
    done = command(
        'train-segmentation', '--image', *SCENES, '--labels', label(),
        '--class-field', 'LULC_NAME', '--output', OUT / 'land_cover_model',
        '--report', OUT / 'land_cover_report.html', '--patch-size', '32', '--epochs', '25',
        '--model-name', 'Land cover, Slovenia',
    )  # fmt: skip
    print(f'Held-out blocks: OA {done["overall_accuracy"]:.3f}, mIoU {done["mean_iou"]:.3f}')


def segment() -> None:
    """Segment a scene through QGIS and from the command line; both give the same pixels."""
    say('Segmenting a scene through qgis_process')
    scene, bundle = SCENES[1], OUT / 'land_cover_model' / 'model.json'
    through_qgis, direct = OUT / 'land_cover.tif', OUT / 'land_cover_command_line.tif'
    qgis_run('segmentimage', IMAGE=scene, BUNDLE=bundle, OUTPUT=through_qgis)
    say('Segmenting it again from the command line')
    command('segment-image', '--image', scene, '--bundle', bundle, '--output', direct)
    with (
        rasterio.open(scene) as image,
        rasterio.open(through_qgis) as one,
        rasterio.open(direct) as two,
    ):
        same = np.array_equal(one.read(), two.read())
        grid = all(
            (d.transform, d.crs, d.shape) == (image.transform, image.crs, image.shape)
            for d in (one, two)
        )
    print(f'Equal pixels: {same}. Exactly the grid of the scene: {grid}.')
    if not (same and grid):
        sys.exit('The two results differ, which must not be.')


def detect_change() -> None:
    """Find what changed between two aerial images, without any training."""
    say('Detecting change between two aerial images through qgis_process')
    results = qgis_run(
        'detectchange', BEFORE=BEFORE, AFTER=AFTER, MODEL='irmad', OUTPUT=OUT / 'change.tif',
        MAGNITUDE=OUT / 'change_magnitude.tif', POLYGONS=OUT / 'change.gpkg', MINIMUM_AREA=500,
    )  # fmt: skip
    hectares, percent = results['CHANGED_AREA'] / 1e4, 100 * results['CHANGED_FRACTION']
    print(f'Changed: {hectares:.1f} ha ({percent:.1f} %).')
    print(f'Offset between the dates: {results["OFFSET_X"]:.3g}, {results["OFFSET_Y"]:.3g} pixels.')


def command(*words: object) -> dict[str, Any]:
    """Run ``torchgeo-ext`` and give its outputs."""
    program = [sys.executable, '-m', 'torchgeo_ext', *map(str, words), '--json']
    shown = [os.path.relpath(w) if isinstance(w, Path) else str(w) for w in words]
    print('$', shlex.join(['torchgeo-ext', *shown]), flush=True)
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    outputs: dict[str, Any] = json.loads(done.stdout)
    return outputs


def qgis(*words: object) -> str:
    """Run ``qgis_process`` with a profile of its own and this checkout as plugin folder."""
    program = shutil.which('qgis_process.bin') or shutil.which('qgis_process')
    if program is None:
        sys.exit('qgis_process is missing: run "make setup".')
    profile = OUT / '.qgis'
    profile.mkdir(exist_ok=True, mode=0o700)
    environment = os.environ | {
        'QT_QPA_PLATFORM': 'offscreen',
        'XDG_RUNTIME_DIR': str(profile),
        'QGIS_CUSTOM_CONFIG_PATH': str(profile),
        'QGIS_PLUGINPATH': str(ROOT),
        'TORCHGEO_EXT_PYTHON': sys.executable,
    }
    done = subprocess.run(
        [program, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f'{done.stdout}\n{done.stderr}\nqgis_process failed.')
    return done.stdout


def enable_plugin() -> None:
    """Switch the plugin on in the profile of the demo."""
    qgis('plugins', 'enable', 'qgis_plugin')


def qgis_run(algorithm: str, **parameters: object) -> dict[str, Any]:
    """Run an algorithm and give its results."""
    values = [f'{name}={value}' for name, value in parameters.items()]
    shown = [v.replace(f'{ROOT}{os.sep}', '') for v in values]
    print(f'$ qgis_process run torchgeoext:{algorithm} --', *shown, flush=True)
    printed = json.loads(qgis('--json', 'run', f'torchgeoext:{algorithm}', '--', *values))
    results: dict[str, Any] = printed['results']
    return results


def draw() -> None:
    """Draw the results beside their inputs, as PNG."""
    import matplotlib as mpl

    mpl.use('agg')
    say('Drawing')
    picture('land_cover.png', {'Sentinel-2, 2015-08-30': (SCENES[1], (4, 3, 2)),
                               'Land cover': (OUT / 'land_cover.tif', None)})  # fmt: skip
    picture('change.png', {'2009-08-18': (BEFORE, (1, 2, 3)), '2016-08-16': (AFTER, (1, 2, 3)),
                           'Change (IR-MAD)': (OUT / 'change.tif', None)})  # fmt: skip


def picture(name: str, panels: dict[str, tuple[Path, tuple[int, ...] | None]]) -> None:
    """Draw rasters side by side, class rasters in their own colours with a legend."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 5.4), layout='tight')
    for axis, (title, (path, bands)) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        axis.set_axis_off()
        if bands:
            axis.imshow(true_color(path, bands))
            continue
        image, legend = class_colors(path)
        axis.imshow(image, interpolation='nearest')
        patches = [Patch(color=color, label=label) for label, color in legend]
        axis.legend(handles=patches, loc='lower left', fontsize='small')
    figure.savefig(OUT / name, dpi=110)
    plt.close(figure)


def true_color(path: Path, bands: tuple[int, ...]) -> Any:
    """Stretch three bands between their 2nd and 98th percentile."""
    with rasterio.open(path) as dataset:
        values = dataset.read(bands).astype(float)
    low, high = np.percentile(values, [2, 98], axis=(1, 2), keepdims=True)
    return np.clip((values - low) / (high - low), 0, 1).transpose(1, 2, 0)


def class_colors(path: Path) -> tuple[Any, list[tuple[str, Any]]]:
    """Give a class raster in the colours of its own table and the legend of what occurs."""
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
        colors = np.array([dataset.colormap(1).get(i, (0, 0, 0, 0)) for i in range(256)]) / 255
        nodata = dataset.nodata
        names = json.loads(dataset.tags().get('classes', '[]'))
    labels = {entry['value']: entry['name'] for entry in names}
    present = [int(v) for v in np.unique(values) if v != nodata]
    return colors[values], [(labels.get(v, str(v)), colors[v]) for v in present]


if __name__ == '__main__':
    main()
