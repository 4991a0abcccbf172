from tests.surfing import browser_of, surfer

__all__ = ["browser_of", "surfer"]
