"""An app that keeps its tokens by O365's `DjangoTokenBackend`."""
