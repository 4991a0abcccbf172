"""Moving in and out: grants that were connected elsewhere are imported, mailboxes are exported, users erased."""
