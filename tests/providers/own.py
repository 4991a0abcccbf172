"""A provider as a site would write one."""

from mail_oauth.providers import Provider


class Own(Provider):
    """Needs no secret."""

    authorize_url = "https://login.corp.example/authorize"
    token_url = "https://login.corp.example/token"
    scopes = ("mail",)
    needs_secret = False
