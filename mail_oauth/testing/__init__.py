"""For a site's own tests and demos: a fake identity provider that is a real HTTP server on loopback."""
