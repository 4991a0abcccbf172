"""django-allauth: tokens in clear in `SocialToken`; it never refreshes one."""

from __future__ import annotations

import json

from allauth.socialaccount.models import SocialAccount, SocialToken

from benchmarks.peers.accounts import access_token, expiry, fill, refresh_token, sample, sampled_users

PROVIDER = "microsoft"


class Allauth:
    """Its own models, with `SOCIALACCOUNT_STORE_TOKENS`."""

    most = None
    reading = "SocialToken.objects.get(account__user=user, account__provider=…)"
    refreshing = ""

    def __init__(self, token_url: str) -> None:
        """The endpoint is never called."""

    def setup(self, accounts: int) -> None:
        """One account and one token for each user."""
        account = {
            "id": "number",
            "user_id": "number",
            "provider": f"'{PROVIDER}'",
            "uid": "'subject' || number",
            "last_login": "NOW()",
            "date_joined": "NOW()",
            "extra_data": f"'{json.dumps({'mail': 'user@example.com'})}'",
        }
        token = {"id": "number", "account_id": "number", "token": "'short'", "token_secret": "'short'"}
        fill(SocialAccount, accounts, account)
        fill(SocialToken, accounts, token)
        for number in sample(accounts):
            SocialToken.objects.filter(pk=number).update(
                token=access_token(number), token_secret=refresh_token(number), expires_at=expiry()
            )
        self.users = sampled_users(accounts)

    def read(self) -> str:
        """Query the token of a user's account."""
        found = SocialToken.objects.get(account__user=next(self.users), account__provider=PROVIDER)
        return str(found.token)

    def refresh(self) -> str:
        """It has no such thing."""
        raise NotImplementedError
