"""Services that keep mailboxes fresh without their users: sweep, reconciliation, pruning, status."""
