"""What staff may have done to mailboxes, one or many: services below the admin and the tasks."""
