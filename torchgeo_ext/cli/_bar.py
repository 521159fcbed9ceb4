"""Shows progress on a terminal."""


class Bar:
    """A progress bar on a terminal; nothing when the output goes to a file."""

    def __enter__(self) -> 'Bar':
        from tqdm import tqdm

        layout = '{percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}'
        self._bar = tqdm(total=1.0, bar_format=layout, disable=None, leave=False)
        return self

    def __call__(
        self, fraction: float, text: str = '', *, tile: int | None = None, tiles: int | None = None
    ) -> None:
        counted = f' ({tile}/{tiles})' if tile is not None and tiles else ''
        self._bar.set_postfix_str(text + counted, refresh=False)
        self._bar.update(max(0.0, min(1.0, fraction) - self._bar.n))

    def __exit__(self, *_: object) -> None:
        self._bar.close()
