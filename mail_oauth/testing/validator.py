"""oauthlib's `RequestValidator` over the store: the fake provider's rules, and no OAuth grammar."""

from mail_oauth.testing.client_rules import ClientRules
from mail_oauth.testing.code_rules import CodeRules
from mail_oauth.testing.openid_rules import OpenIDRules
from mail_oauth.testing.scope_rules import ScopeRules
from mail_oauth.testing.token_rules import TokenRules


class Validator(ClientRules, ScopeRules, CodeRules, TokenRules, OpenIDRules):
    """All the rules of one personality."""
