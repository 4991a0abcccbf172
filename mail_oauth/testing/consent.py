"""The consent page: plain, accessible HTML that works without script, on a phone, in light and dark."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from mail_oauth.testing.messages import Headers, Reply
from mail_oauth.testing.personalities import OIDC_SCOPES
from mail_oauth.testing.records import Account

MOST_ACCOUNTS_SHOWN: Final = 20
STYLE: Final = """
:root{color-scheme:light dark;font:100%/1.5 system-ui,sans-serif}
body{margin:0 auto;padding:1rem;max-width:34rem;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.25}
fieldset{border:1px solid GrayText;border-radius:.5rem;margin:0 0 1rem;padding:.5rem 1rem 1rem;min-width:0}
label{display:flex;gap:.5rem;align-items:baseline;padding:.3rem 0;min-height:1.5rem}
input[type=email]{box-sizing:border-box;width:100%;font:inherit;padding:.5rem}
button{font:inherit;min-height:2.75rem;padding:.5rem 1.5rem;margin:0 .5rem .5rem 0;cursor:pointer}
:focus-visible{outline:3px solid Highlight;outline-offset:2px}
fieldset p{margin:.3rem 0}
dt{font-weight:600}dd{margin:0 0 .5rem}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# No form-action: Chromium applies it to the redirect after the form too, which leads to the application.
PAGE_HEADERS: Final[Headers] = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'",
    ),
)


def page(title: str, content: str, status: int = 200) -> Reply:
    """A whole HTML page; ``content`` is HTML, ``title`` is text."""
    document = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1>\n{content}\n</main></body></html>\n"
    )
    return Reply(status=status, headers=PAGE_HEADERS, body=document.encode())


def _account_choice(account: Account, *, checked: bool) -> str:
    mark = " checked" if checked else ""
    return (
        f'<label><input type="radio" name="account" value="{escape(account.email)}"{mark}>'
        f"<span>{escape(account.name)} &lt;{escape(account.email)}&gt;</span></label>"
    )


def _account_choices(accounts: Sequence[Account], login_hint: str) -> str:
    hinted = [each for each in accounts if each.email.lower() == login_hint.lower()]
    shown = [*hinted, *(each for each in accounts if each not in hinted)][:MOST_ACCOUNTS_SHOWN]
    typed = "" if hinted else escape(login_hint)
    choices = [_account_choice(each, checked=index == 0 and not typed) for index, each in enumerate(shown)]
    choices.append(
        '<label for="new-account">Or sign in as a new address</label><input type="email" id="new-account" '
        f'name="new_account" value="{typed}" autocomplete="off" maxlength="254">'
    )
    return "\n".join(choices)


def _scope_choices(scopes: Sequence[str]) -> str:
    return "\n".join(
        f"<p>{escape(scope)} (always granted)</p>"
        if scope in OIDC_SCOPES
        else f'<label><input type="checkbox" name="scope" value="{escape(scope)}" checked><span>{escape(scope)}</span></label>'
        for scope in scopes
    )


def consent_page(
    *,
    title: str,
    action: str,
    client_id: str,
    scopes: Sequence[str],
    accounts: Sequence[Account],
    login_hint: str = "",
) -> Reply:
    """The page on which somebody chooses an account and allows, partly allows or denies."""
    return page(
        f"Fake {title}",
        f"<p>The application <strong>{escape(client_id)}</strong> asks for access. Nothing here is real.</p>\n"
        f'<form method="post" action="{escape(action)}">\n'
        f"<fieldset><legend>Sign in as</legend>\n{_account_choices(accounts, login_hint)}\n</fieldset>\n"
        "<fieldset><legend>What is asked</legend>\n"
        f"<p>Untick a line to grant only part.</p>\n{_scope_choices(scopes)}\n</fieldset>\n"
        '<p><button type="submit" name="decision" value="allow">Allow</button>'
        '<button type="submit" name="decision" value="deny">Deny</button></p>\n</form>',
    )


def chosen_email(form: Mapping[str, str], login_hint: str) -> str:
    """Who signs in: a typed address beats a chosen one, unless it is the hint that the page filled in."""
    typed, chosen = form.get("new_account", "").strip(), form.get("account", "")
    return typed if typed and (typed != login_hint or not chosen) else chosen


def error_page(title: str, message: str, status: int = 400) -> Reply:
    """What the user sees when the application may not be sent an answer (RFC 6749 section 4.1.2.1)."""
    return page(f"Fake {title}: error", f'<p role="alert">{escape(message)}</p>', status)


def index_page(sections: Sequence[tuple[str, dict[str, str]]]) -> Reply:
    """The front page: each personality and its URLs."""
    parts = []
    for title, urls in sections:
        rows = "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(url)}</code></dd>" for name, url in urls.items())
        parts.append(f"<h2>{escape(title)}</h2><dl>{rows}</dl>")
    return page("Fake OAuth provider", "\n".join(parts))
