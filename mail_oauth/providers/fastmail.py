"""Fastmail: a public client with PKCE; it does not say whose mailbox it is."""

from mail_oauth.providers.contract import Provider
from mail_oauth.tokens import MailServer


class Fastmail(Provider):
    """Code and refresh go to one endpoint; replaying an old refresh token ends the grant."""

    display_name = "Fastmail"
    authorize_url = "https://api.fastmail.com/oauth/authorize"
    token_url = "https://api.fastmail.com/oauth/refresh"  # noqa: S105  # a URL, no password
    revoke_url = "https://api.fastmail.com/oauth/revoke"
    account_url = "https://app.fastmail.com/settings/security/tokens"
    scopes = (
        "https://www.fastmail.com/dev/protocol-imap",
        "https://www.fastmail.com/dev/protocol-smtp",
        "offline_access",
    )
    needs_secret = False
    names_account = False
    client_auth = "none"
    imap = MailServer(host="imap.fastmail.com", port=993)
    pop = MailServer(host="pop.fastmail.com", port=995)
    smtp = MailServer(host="smtp.fastmail.com", port=465)
    protocol_scopes = {"IMAP": "dev/protocol-imap", "POP": "dev/protocol-pop", "SMTP": "dev/protocol-smtp"}
