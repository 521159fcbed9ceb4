"""The words of the engine protocol: one JSON object per line in each direction.

The engine has the same constants in ``torchgeo_ext/engine/protocol.py``. Fields may be added
without changing the number; unknown fields and unknown message types are ignored.
"""

VERSION = 1

# to the engine
JOB = 'job'
CANCEL = 'cancel'
QUIT = 'quit'

# in both directions
CATALOG = 'catalog'

# from the engine
HELLO = 'hello'
PROGRESS = 'progress'
LOG = 'log'
RESULT = 'result'
ERROR = 'error'
CANCELING = 'canceling'
CANCELED = 'canceled'

#: An engine that answers ``cancel`` with ``canceling`` gets up to this long to save its work.
LONGEST_CANCELING_SECONDS = 60

#: Kinds of errors after which the engine is as good as new; after the others it is replaced.
HARMLESS_KINDS = frozenset(
    {'bad_parameter', 'bad_input', 'missing_weights', 'missing_dependency', 'no_space'}
)
