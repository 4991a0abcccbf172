"""Yahoo Mail, and AOL on the same platform."""

from mail_oauth.providers.contract import Provider
from mail_oauth.tokens import MailServer


class Yahoo(Provider):
    """Redirect URIs must be https, and its id_tokens are ES256."""

    display_name = "Yahoo"
    error_family = "yahoo"
    authorize_url = "https://api.login.yahoo.com/oauth2/request_auth"
    token_url = "https://api.login.yahoo.com/oauth2/get_token"  # noqa: S105  # a URL, no password
    revoke_url = "https://api.login.yahoo.com/oauth2/revoke"
    userinfo_url = "https://api.login.yahoo.com/openid/v1/userinfo"
    jwks_url = "https://api.login.yahoo.com/openid/v1/certs"
    issuer = "https://api.login.yahoo.com"
    account_url = "https://login.yahoo.com/account/security"
    scopes = ("openid", "email", "mail-w")
    client_auth = "basic"
    # It may answer PKCE with a misleading unauthorized_client; apps that are allowed it set USES_PKCE.
    uses_pkce = False
    imap = MailServer(host="imap.mail.yahoo.com", port=993)
    pop = MailServer(host="pop.mail.yahoo.com", port=995)
    smtp = MailServer(host="smtp.mail.yahoo.com", port=465)
    sasl_mechanisms = ("OAUTHBEARER", "XOAUTH2")
    protocol_scopes = dict.fromkeys(("IMAP", "POP", "SMTP"), "mail-w")


class Aol(Yahoo):
    """The same paths on another host, with client credentials of their own."""

    display_name = "AOL"
    authorize_url = "https://api.login.aol.com/oauth2/request_auth"
    token_url = "https://api.login.aol.com/oauth2/get_token"  # noqa: S105  # a URL, no password
    revoke_url = "https://api.login.aol.com/oauth2/revoke"
    userinfo_url = "https://api.login.aol.com/openid/v1/userinfo"
    jwks_url = "https://api.login.aol.com/openid/v1/certs"
    issuer = "https://api.login.aol.com"
    account_url = "https://login.aol.com/account/security"
    imap = MailServer(host="imap.aol.com", port=993)
    pop = MailServer(host="pop.aol.com", port=995)
    smtp = MailServer(host="smtp.aol.com", port=465)
