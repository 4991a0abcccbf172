"""Another app of a site, which keeps a secret in this app's field; installed by the fixture `vault`."""
