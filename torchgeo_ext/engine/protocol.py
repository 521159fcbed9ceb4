"""Names of the messages and their version; ``qgis_plugin/engine/protocol.py`` says the same."""

#: Raised when an older reader would misunderstand a message; new fields never raise it.
PROTOCOL = 1

# from the engine
HELLO = 'hello'
CATALOG = 'catalog'
PROGRESS = 'progress'
LOG = 'log'
RESULT = 'result'
ERROR = 'error'
CANCELING = 'canceling'  # heard, but what was reached is being kept: wait
CANCELED = 'canceled'
PONG = 'pong'

# to the engine (and CATALOG, which asks for the catalogue)
JOB = 'job'
CANCEL = 'cancel'
PING = 'ping'
QUIT = 'quit'

ERROR_KINDS = (
    'bad_parameter',
    'bad_input',
    'missing_weights',
    'missing_dependency',
    'out_of_memory',
    'no_space',
    'internal',
)
