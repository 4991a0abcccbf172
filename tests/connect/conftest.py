from tests.surfing import browser_of, other_user, surfer

__all__ = ["browser_of", "other_user", "surfer"]
