"""social-auth-app-django (Python Social Auth): tokens in clear in the JSON of `UserSocialAuth`."""

from __future__ import annotations

import json
import time
from typing import ClassVar

from social_core.backends.microsoft import MicrosoftOAuth2
from social_django.models import UserSocialAuth
from social_django.utils import load_strategy

from benchmarks.peers.accounts import EXPIRES_IN, access_token, fill, refresh_token, sample, sampled_users


class LocalMicrosoft(MicrosoftOAuth2):  # type: ignore[misc]  # it ships no types
    """Its backend for Microsoft at another address, as its documentation extends one."""

    name = "bench-microsoft"
    REFRESH_TOKEN_URL: ClassVar[str] = ""


class SocialAuth:
    """`UserSocialAuth.get_access_token(strategy)`, which refreshes an expired token, and `refresh_token`."""

    most = None
    reading = "user.social_auth.get(provider=…).get_access_token(load_strategy())"
    refreshing = "user.social_auth.get(provider=…).refresh_token(load_strategy())"

    def __init__(self, token_url: str) -> None:
        """Refresh at `token_url`."""
        LocalMicrosoft.REFRESH_TOKEN_URL = token_url

    def setup(self, accounts: int) -> None:
        """One association for each user."""
        columns = {
            "user_id": "number",
            "provider": f"'{LocalMicrosoft.name}'",
            "id_key": "''",
            "uid": "'subject' || number",
            "extra_data": f"'{json.dumps({'access_token': 'short', 'refresh_token': 'short'})}'",
            "created": "NOW()",
            "modified": "NOW()",
        }
        fill(UserSocialAuth, accounts, columns)
        for number in sample(accounts):
            data = {
                "access_token": access_token(number),
                "refresh_token": refresh_token(number),
                "token_type": "Bearer",
                "expires_in": EXPIRES_IN,
                "auth_time": int(time.time()),
            }
            UserSocialAuth.objects.filter(user_id=number).update(extra_data=data)
        self.users = sampled_users(accounts)

    def read(self) -> str:
        """Query a user's association, and look whether its token has expired."""
        social = next(self.users).social_auth.get(provider=LocalMicrosoft.name)  # type: ignore[attr-defined]
        return str(social.get_access_token(load_strategy()))

    def refresh(self) -> str:
        """Refresh, and save the association."""
        social = next(self.users).social_auth.get(provider=LocalMicrosoft.name)  # type: ignore[attr-defined]
        social.refresh_token(load_strategy())
        return str(social.access_token)
