"""A small IMAP responder (RFC 3501): one mailbox for each address, INBOX, to look at and not to change."""
