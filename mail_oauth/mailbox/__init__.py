"""Signed-in connections to mail servers: SASL, IMAP, POP, SMTP, and Django's mail over them."""
