"""How long-running work tells where it stands and learns that it should stop."""

from typing import Protocol


class Progress(Protocol):
    """Reports progress; raises :class:`~torchgeo_ext.errors.Canceled` when the user wants to stop.

    Work that takes longer than about a fifth of a second calls it in its innermost loop.
    """

    def __call__(
        self, fraction: float, text: str = '', *, tile: int | None = None, tiles: int | None = None
    ) -> None:
        """Report that ``fraction`` (0 to 1) of the work is done."""


def silent(
    fraction: float, text: str = '', *, tile: int | None = None, tiles: int | None = None
) -> None:
    """A progress that tells nobody and never cancels."""


def portion(progress: Progress, start: float, stop: float) -> Progress:
    """Map a part's own 0..1 onto ``start``..``stop`` of the whole.

    Args:
        progress: The progress of the whole.
        start: Where the part begins, 0 to 1.
        stop: Where the part ends, 0 to 1.

    Returns:
        A progress for the part.
    """

    def report(
        fraction: float, text: str = '', *, tile: int | None = None, tiles: int | None = None
    ) -> None:
        progress(start + (stop - start) * fraction, text, tile=tile, tiles=tiles)

    return report
