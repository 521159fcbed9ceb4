"""What can go wrong, as seen by a user.

TorchgeoExtError            kind            raised when
├── BadParameter            bad_parameter   an argument's value cannot be used
├── BadInput                bad_input       a file or layer is not what the operation needs
├── MissingWeights          missing_weights weights are not on this machine and cannot be fetched
├── MissingDependency       missing_dependency  an optional package is not installed
├── OutOfMemory             out_of_memory   even a single tile does not fit
├── NoSpace                 no_space        the disk is full
└── Canceled                canceled        the user asked to stop

The message says what happened with the user's own values, the hint says what to do.
"""


class TorchgeoExtError(Exception):
    """Base of all errors that are explained to the user.

    Args:
        message: What happened, naming the argument and its value.
        hint: What the user can do about it.
    """

    kind = 'internal'

    def __init__(self, message: str, hint: str = '') -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f'{self.message} {self.hint}'.strip()


class BadParameter(TorchgeoExtError):
    """An argument has a value that cannot be used."""

    kind = 'bad_parameter'


class BadInput(TorchgeoExtError):
    """A file or layer is not what the operation needs."""

    kind = 'bad_input'


class MissingWeights(TorchgeoExtError):
    """Weights are neither on this machine nor to be had."""

    kind = 'missing_weights'


class MissingDependency(TorchgeoExtError):
    """An optional package is not installed."""

    kind = 'missing_dependency'


class OutOfMemory(TorchgeoExtError):
    """The smallest unit of work does not fit into memory."""

    kind = 'out_of_memory'


class NoSpace(TorchgeoExtError):
    """The disk that takes the output is full."""

    kind = 'no_space'


class Canceled(TorchgeoExtError):
    """The user asked to stop."""

    kind = 'canceled'

    def __init__(self, message: str = 'Canceled.', hint: str = '') -> None:
        super().__init__(message, hint)
