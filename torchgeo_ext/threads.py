"""How PyTorch's threads behave beside other work on the same machine."""

import os


def yield_when_idle() -> None:
    """Let OpenMP's threads sleep instead of spin while they wait for each other.

    Spinning threads keep a core from whoever else needs it: QGIS, a second process, our own
    reading and writing. On a busy machine training took four times the processor time with it.
    Has an effect only before torch is imported, and not where the user said otherwise.
    """
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
