"""``fit``, ``validate``, ``test`` and ``predict``: LightningCLI with one folder per training.

The folder (``trainer.default_root_dir``; by default beside the configuration) gets
``checkpoints/best.ckpt`` and ``last.ckpt``, ``logs/version_N`` with ``metrics.csv`` and
TensorBoard's file, and ``figures``.
"""

import functools
import gc
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    ReduceLROnPlateau,
    instantiate_class,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from matplotlib.figure import Figure
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR
from torchgeo.datamodules import BaseDataModule
from torchgeo.tasks import BaseTask

from torchgeo_ext import __version__, registry
from torchgeo_ext.cli._optimizers import ParameterGroup, group_parameters
from torchgeo_ext.datamodules import GeoTIFFDataModule
from torchgeo_ext.errors import BadInput, BadParameter

BEST, LAST = 'best', 'last'

#: What of the configuration is about optimisers.
_OPTIMISATION = ('optimizer', 'lr_scheduler', 'parameter_groups', 'warmup_steps')

#: Share of the learning rate that a warm-up starts from, as in mmsegmentation's schedules.
_WARMUP_START = 1e-6

#: Samples to draw with their predictions.
_SAMPLES = 4


def run(words: ArgsType) -> None:
    """Run a subcommand of LightningCLI.

    Args:
        words: The words after the program's name; None for those of the process.
    """
    # short class names in configs resolve only to classes that were imported
    for known in (registry.datamodules, registry.tasks, registry.samplers, registry.transforms):
        len(known)
    len(registry.models)  # makes our models known to TorchGeo
    with _quiet():
        TrainingCLI(
            model_class=BaseTask,
            datamodule_class=BaseDataModule,
            seed_everything_default=0,
            parser_kwargs={'version': __version__},
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_kwargs={'overwrite': True},
            args=words,
        )
    # rasters that are closed when Python has begun to shut down complain
    gc.collect()


class TrainingCLI(LightningCLI):
    """LightningCLI that keeps all files of a training together and never overwrites one.

    ``optimizer`` and ``lr_scheduler`` take the place of those of the task. The schedule goes by
    steps where the training does (``trainer.max_steps``), else by epochs.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what goes with ``optimizer`` and ``lr_scheduler``."""
        parser.add_argument(
            '--parameter_groups',
            type=list[ParameterGroup] | None,
            default=None,
            help='Parameters that "optimizer" trains with another learning rate or weight decay, '
            'by parts of their names.',
        )
        parser.add_argument(
            '--warmup_steps',
            type=int,
            default=0,
            help='Steps over which the learning rate of "optimizer" rises to its value.',
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, choose the folder and find the checkpoint that ``best`` or ``last`` means."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        if config.trainer.default_root_dir is None:
            config.trainer.default_root_dir = str(_default_folder(config))
        config.ckpt_path = self._find_checkpoint(config)

    def _find_checkpoint(self, config: Any) -> str | None:
        fitting, asked = self.config.subcommand == 'fit', config.ckpt_path
        folder = _checkpoints(config.trainer.default_root_dir)
        if asked in (BEST, LAST):
            path = folder / f'{asked}.ckpt'
            if path.is_file():
                return str(path)
            if fitting:
                # so that a job that is started again and again has one command
                return None
            raise BadInput(
                f'ckpt_path: there is no {path}.',
                'Run "fit" first, or give the path of a checkpoint.',
            )
        if fitting and asked is None and not config.trainer.fast_dev_run and _trained(folder):
            raise BadParameter(
                f'trainer.default_root_dir: {folder.parent} holds a training already.',
                'Go on with it by --ckpt_path last, name another folder, or delete this one.',
            )
        return str(asked) if asked else None

    def configure_optimizers(  # type: ignore[override]  # a method here, as it reads the config
        self, lightning_module: LightningModule, optimizer: Optimizer, lr_scheduler: Any = None
    ) -> Any:
        """Set up the optimiser and the schedule of the configuration.

        Args:
            lightning_module: The task.
            optimizer: As configured, for all parameters alike.
            lr_scheduler: Its schedule, if any.
        """
        config = {key: self._get(self.config_init, key) for key in _OPTIMISATION}
        if config['parameter_groups']:
            groups = group_parameters(
                lightning_module.named_parameters(), config['parameter_groups']
            )
            optimizer = instantiate_class(groups, config['optimizer'])
            if lr_scheduler is not None:
                lr_scheduler = instantiate_class(optimizer, config['lr_scheduler'])
        schedules: list[dict[str, Any]] = []
        if lr_scheduler is not None:
            by_step = lightning_module.trainer.max_steps > 0
            schedules.append(
                {'scheduler': lr_scheduler, 'interval': 'step' if by_step else 'epoch'}
            )
        if isinstance(lr_scheduler, ReduceLROnPlateau):
            schedules[0] |= {'interval': 'epoch', 'monitor': lr_scheduler.monitor}
        if steps := config['warmup_steps']:
            # comes last: it multiplies what the other has set
            warmup = LinearLR(optimizer, start_factor=_WARMUP_START, total_iters=steps)
            schedules.append({'scheduler': warmup, 'interval': 'step'})
        return [optimizer], schedules

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with loggers and callbacks unless the configuration has its own."""
        config = self._get(self.config_init, 'trainer')
        fitting = self.subcommand == 'fit'
        if config['logger'] is None:
            kwargs['logger'] = _loggers(config['default_root_dir']) if fitting else False
        if fitting:
            kwargs['callbacks'] = [*_listed(config['callbacks']), *self._callbacks(config)]
        return super().instantiate_trainer(**kwargs)

    def _callbacks(self, config: Mapping[str, Any]) -> Iterator[Callback]:
        own = _listed(config['callbacks'])
        saves = config['enable_checkpointing'] is not False
        if saves and not any(isinstance(callback, ModelCheckpoint) for callback in own):
            keep = functools.partial(
                ModelCheckpoint,
                dirpath=_checkpoints(config['default_root_dir']),
                enable_version_counter=False,
            )
            yield keep(filename=BEST, monitor=self.model.monitor, mode=self.model.mode)
            # of every epoch, and not just of those that the other one keeps
            yield keep(filename=LAST)
        if config['logger'] is not False and not config['fast_dev_run']:
            yield LearningRateMonitor('epoch')
            yield DrawData()

    def after_fit(self) -> None:
        """Draw predictions of the best epoch and say what to do next."""
        keeper = self.trainer.checkpoint_callback
        if not isinstance(keeper, ModelCheckpoint):
            return
        best = Path(keeper.best_model_path)
        if not best.is_file() or not self.trainer.is_global_zero:
            return
        state = torch.load(best, map_location='cpu', weights_only=True)['state_dict']
        self.model.load_state_dict(state)
        if isinstance(self.datamodule, GeoTIFFDataModule):
            _save(self.trainer, 'predictions', self.datamodule.plot_samples(_SAMPLES, self.model))
        score = keeper.best_model_score
        assert score is not None
        root = Path(self.trainer.default_root_dir)
        print(f'Best epoch: {keeper.monitor} {float(score):.3f}, kept in {best}')
        print(f'Logs and figures: {root} (tensorboard --logdir {root / "logs"})')
        # only tasks that classify neither pixels nor tiles say that they predict none
        if getattr(self.model, 'predicts', '') is not None:
            print(
                f'Make it a model: torchgeo-ext create-bundle --checkpoint {best} --output FOLDER'
            )


class DrawData(Callback):
    """Draws split and sampler coverage when a training begins."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw them once, in the first process."""
        module = trainer.datamodule  # type: ignore[attr-defined]  # set when one is given
        if not trainer.is_global_zero or not isinstance(module, GeoTIFFDataModule):
            return
        _save(trainer, 'split', module.plot_split())
        _save(trainer, 'coverage', module.plot_coverage())


def _save(trainer: Trainer, name: str, figure: Figure) -> None:
    """Write a figure as PNG and show it in TensorBoard."""
    folder = Path(trainer.default_root_dir, 'figures')
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f'{name}.png', dpi=100)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(name, figure, trainer.current_epoch)


def _loggers(root: str) -> list[Logger]:
    table = CSVLogger(root, name='logs')
    return [table, TensorBoardLogger(root, name='logs', version=table.version)]


def _listed(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def _checkpoints(root: str) -> Path:
    return Path(root, 'checkpoints')


def _trained(folder: Path) -> bool:
    return any((folder / f'{name}.ckpt').is_file() for name in (BEST, LAST))


def _default_folder(config: Any) -> Path:
    """Name the folder after the configuration and put it beside; the current one without."""
    files = [Path(file) for file in config.config or ()]
    return files[-1].with_name(f'{files[-1].stem}_run').absolute() if files else Path.cwd()


#: How Lightning's remarks begin that are for developers: on hardware, workers and intervals.
_REMARKS = (
    r"The '\w+' does not have many workers",
    r'.*Consider setting `persistent_workers',
    r'The number of training batches .* is smaller than the logging interval',
    r'Checkpoint directory .* exists and is not empty',
    r'Experiment logs directory .* exists and is not empty',
    r'The dirpath has changed',
    r'`.*\.configure_optimizers` will be overridden by',
    r'Be aware that when using `ckpt_path`, callbacks used to create the checkpoint',
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep remarks for developers from people who train."""
    logging.getLogger('lightning.pytorch').setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for remark in _REMARKS:
            warnings.filterwarnings('ignore', remark)
        yield
