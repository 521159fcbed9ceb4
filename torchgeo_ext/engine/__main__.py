"""``python -u -m torchgeo_ext.engine``."""

import logging
import os
import sys

from torchgeo_ext.engine.worker import Channel, Worker, leave, leave_on_sigterm
from torchgeo_ext.threads import yield_when_idle


def main() -> None:
    """Serve jobs from stdin until it ends."""
    # the protocol gets stdout for itself: whatever libraries print goes to stderr
    private = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.captureWarnings(True)
    yield_when_idle()
    leave_on_sigterm()
    channel = Channel(os.fdopen(private, 'w', encoding='utf-8', newline='\n'))
    sys.stdin.reconfigure(encoding='utf-8', errors='replace')  # type: ignore[union-attr]  # a real file
    Worker(channel).serve(sys.stdin)
    leave(0)


if __name__ == '__main__':
    main()
