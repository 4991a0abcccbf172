"""Mail about mailboxes that need somebody: to their users, and in digests to the operators."""
