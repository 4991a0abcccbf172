"""How long tokens live and what becomes of a used refresh token: the provider's settings and its judgement."""

from dataclasses import dataclass

from mail_oauth.testing.personalities import PERSONALITIES, Personality, Renewal
from mail_oauth.testing.records import AuthorizationCode, Family, RefreshToken
from mail_oauth.testing.refusals import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The provider's settings; every duration is in seconds.

    With ``rotate`` a refresh token that yielded a new one is dead, ``reuse_grace_seconds`` later. With
    ``detect_reuse`` a second use of it kills the whole family (RFC 9700 section 4.14.2), and so does a second
    use of an authorization code (RFC 6749 section 4.1.2).
    """

    access_token_seconds: int = 3600
    code_seconds: int = 60
    rotate: bool = True
    detect_reuse: bool = True
    reuse_grace_seconds: float = 0
    rotate_google: bool = False

    def renews(self, personality: Personality) -> bool:
        """Whether a refresh makes a new refresh token rather than none or the same one."""
        if personality.renewal is Renewal.ALWAYS_NEW:
            return True
        if personality.renewal is Renewal.ON_REQUEST:
            return self.rotate_google
        return self.rotate

    def refuses_refresh(
        self, found: tuple[RefreshToken, Family] | None, *, personality: str, client_id: str, now: float
    ) -> Reason | None:
        """Why a refresh token is refused; ``None`` when it is good."""
        if found is None:
            return Reason.UNKNOWN_TOKEN
        token, family = found
        if (family.personality, family.client_id) != (personality, client_id):
            return Reason.FOREIGN_TOKEN
        if family.ended is not None:
            return Reason(family.ended)
        if has_lapsed(family, now):
            return Reason.EXPIRED
        if token.spent_at is not None and now >= token.spent_at + self.reuse_grace_seconds:
            return Reason.SPENT_TOKEN
        return None


def has_lapsed(family: Family, now: float) -> bool:
    """Whether nobody used a grant for so long that it has ended: 90 days at Microsoft, 180 at Google."""
    days = PERSONALITIES[family.personality].idle_days
    return days is not None and family.used_at is not None and now >= family.used_at + days * 86400


def refuses_code(code: AuthorizationCode | None, *, personality: str, client_id: str, now: float) -> Reason | None:
    """Why an authorization code is refused; ``None`` when it is good."""
    if code is None or (code.personality, code.client_id) != (personality, client_id):
        return Reason.UNKNOWN_CODE
    if code.family is not None:
        return Reason.CODE_REDEEMED
    return Reason.CODE_EXPIRED if now >= code.expires_at else None
