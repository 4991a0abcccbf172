from tests.concurrency import separate_connections
from tests.surfing import browser_of, other_user, surfer

__all__ = ["browser_of", "other_user", "separate_connections", "surfer"]
