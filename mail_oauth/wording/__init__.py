"""What users are told of their mailboxes, on pages and in mail alike. No technical word, and always who acts next."""
