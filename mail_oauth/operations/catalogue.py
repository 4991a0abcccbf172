"""Every operation, by name."""

from mail_oauth.operations.reconnecting import ASK_TO_RECONNECT
from mail_oauth.operations.sign_ins import TEST_SIGN_IN
from mail_oauth.operations.tokens import REBUILD, REFRESH
from mail_oauth.operations.use import DISCONNECT, PAUSE, RESUME

OPERATIONS = {
    each.name: each for each in (REFRESH, TEST_SIGN_IN, ASK_TO_RECONNECT, REBUILD, PAUSE, RESUME, DISCONNECT)
}
"""In the order of their buttons."""
