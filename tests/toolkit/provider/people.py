"""What the provider and those who visit it both know."""

CLIENT_ID = "mail-site"
CLIENT_SECRET = "odd: +/%&=~ 0123456789abcdef0123456789"
REDIRECT_URI = "http://testserver/mail/callback/toolkit/"

PASSWORD = "password"
ADA = "ada"
"""Her id_token names her address."""
GRACE = "grace"
"""Only userinfo names hers (OIDC Core §5.4 asks for no more)."""
ADDRESSES = {ADA: "ada@example.com", GRACE: "grace@example.com"}
