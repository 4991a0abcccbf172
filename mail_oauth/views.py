"""The pages of the connect flow. Each view calls one service and shows what it says."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mail_oauth.conf import app_settings
from mail_oauth.connect.answers import parse_answer
from mail_oauth.connect.attempts import Wish, begin, take
from mail_oauth.connect.complete import complete
from mail_oauth.connect.disconnect import disconnect as disconnect_mailbox
from mail_oauth.connect.inviting import give_link_back, mailbox_of, use_link
from mail_oauth.connect.refusals import REFUSALS
from mail_oauth.connect.results import told_of
from mail_oauth.connect.urls import after_connecting, redirect_uri, safe_next
from mail_oauth.exceptions import ConnectRefused, TooManyStarts
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider, all_providers, provider_for
from mail_oauth.providers.claims import LONGEST_ADDRESS, is_address
from mail_oauth.redaction.requests import redirect_privately, takes_query
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.self_tests import send_to_itself
from mail_oauth.wording.standing import standing

View = Callable[..., HttpResponse]


def flow_page(view: View) -> View:
    """Mark a view of the flow: private, unframed, unknown to other sites, and outside request transactions.

    Without the last, `ATOMIC_REQUESTS` could roll a grant back that the provider has already given. A page
    with a form must not go as far as `no-referrer`: browsers then send `Origin: null`, which CSRF refuses.
    A Content-Security-Policy is the site's to choose; these pages work under the strictest (`default-src 'self'`).
    A spoofed Host is refused before anything is done, whatever middleware is installed: Django answers 400.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        request.get_host()
        response = view(request, *args, **kwargs)
        opener_policy = getattr(settings, "SECURE_CROSS_ORIGIN_OPENER_POLICY", None) or "same-origin"
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cross-Origin-Opener-Policy", opener_policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    return cast("View", transaction.non_atomic_requests(never_cache(xframe_options_deny(wrapped))))


@flow_page
@login_required
@require_safe
def mailboxes(request: HttpRequest) -> HttpResponse:
    """Show a user their mailboxes, and a button for each provider."""
    mine = MailCredentials.objects.for_user(request.user).present().without_tokens().order_by("email")
    rows = sorted(mine, key=lambda row: not standing(row).wants_reconnecting)  # first what its user can mend
    providers = [each for each in all_providers() if not each.is_app_only]
    return render(request, "mail_oauth/mailboxes.html", {"mailboxes": rows, "providers": providers})


@flow_page
@login_required
@require_POST
def start(request: HttpRequest, alias: str) -> HttpResponse:
    """Send the browser to the provider; first ask for the address where the provider will not name it."""
    provider = _provider(alias)
    mailbox = _own_mailbox(request, provider)
    wish = Wish(
        next_url=safe_next(request, request.POST.get("next", "")),
        typed_email=_typed_address(request, provider, mailbox),
        mailbox=mailbox,
        replace=request.POST.get("replace") == "yes",
    )
    if _wants_address(request, provider, wish) and not is_address(wish.typed_email):
        return _ask_address(request, provider, wish)
    try:
        return _to_provider(request, provider, wish)
    except ConnectRefused as refusal:
        return _not_begun(request, provider, refusal, mailbox)


@flow_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def reconnect(request: HttpRequest, name: str) -> HttpResponse:
    """Show the button that a link promised to its user, and use the link up when it is pressed."""
    mailbox = mailbox_of(name, request.user)
    if mailbox is None or not mailbox.provider_configured:
        return _refusal_page(request, "bad_link", status=400)
    if request.method != "POST":
        return render(request, "mail_oauth/reconnect.html", {"mailbox": mailbox})
    provider = provider_for(mailbox.provider)  # what the settings spoil uses no link up
    if not use_link(name):
        return _refusal_page(request, "bad_link", status=400)
    try:
        typed = "" if provider.names_account else mailbox.email
        return _to_provider(request, provider, Wish(mailbox=mailbox, typed_email=typed))
    except ConnectRefused as refusal:
        give_link_back(name)
        return _not_begun(request, provider, refusal, mailbox)
    except Exception:
        give_link_back(name)
        raise


def _to_provider(request: HttpRequest, provider: Provider, wish: Wish) -> HttpResponse:
    """Begin a consent. Raises `ConnectRefused`."""
    user = cast("AbstractBaseUser", request.user)
    redirected_to = redirect_uri(request, provider.alias)
    return redirect_privately(begin(provider, user, request.session, redirected_to, wish))


def _not_begun(
    request: HttpRequest, provider: Provider, refusal: ConnectRefused, mailbox: MailCredentials | None
) -> HttpResponse:
    if not isinstance(refusal, TooManyStarts):
        return _refuse(provider.alias, refusal, mailbox.pk if mailbox else None)
    page = _refusal_page(request, refusal.code, status=429)
    page.headers["Retry-After"] = str(refusal.retry_after)
    return page


@takes_query
@flow_page
def callback(request: HttpRequest, alias: str, query: Secret) -> HttpResponse:
    """Take the provider's answer, and leave its URL at once, which no other page ever hears of."""
    response = _answered(request, alias, query)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _answered(request: HttpRequest, alias: str, query: Secret) -> HttpResponse:
    if request.method != "GET" or not _is_a_visit(request):  # the state is for the real visit
        return HttpResponseNotAllowed(["GET"])
    try:
        if not request.user.is_authenticated:
            raise ConnectRefused("bad_state")
        answer = parse_answer(query)
        attempt = take(answer.state, alias=alias, user=request.user, session=request.session)
    except ConnectRefused as refusal:
        return _refusal_page(request, refusal.code, status=400)
    try:
        row = complete(attempt, answer)
    except ConnectRefused as refusal:
        return _refuse(alias, refusal, attempt.replaces_id)
    messages.success(request, _("%(email)s is connected.") % {"email": row.email}, fail_silently=True)
    return HttpResponseRedirect(after_connecting(request, attempt.next_url))


def _is_a_visit(request: HttpRequest) -> bool:
    """Tell whether a user goes to a page, or a browser fetches what it guesses that its user will want.

    By any header in use for it. An image, a script, a frame or a prefetch is no document (Fetch Metadata, W3C).
    """
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    guessed = any(word in purpose.lower() for purpose in purposes for word in ("prefetch", "preview", "prerender"))
    return not guessed and request.headers.get("Sec-Fetch-Dest", "document").lower() == "document"


def _refuse(alias: str, refusal: ConnectRefused, mailbox: UUID | None) -> HttpResponse:
    """Lead to the page of a refusal; a provider of the site's own may have codes that are unknown here."""
    code = refusal.code if refusal.code in REFUSALS else "provider_error"
    query = f"?mailbox={mailbox}" if mailbox else ""
    return HttpResponseRedirect(reverse("mail_oauth:refused", args=[alias, code]) + query)


@flow_page
@login_required
@require_safe
def refused(request: HttpRequest, alias: str, code: str) -> HttpResponse:
    """Explain why a mailbox was not connected; the text is chosen by code, never a provider's words."""
    if code not in REFUSALS:
        raise Http404
    return _refusal_page(request, code, status=200, provider=_provider(alias))


@flow_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def disconnect(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask, then disconnect, and say honestly what became of the grant at the provider."""
    rows = MailCredentials.objects.for_user(request.user).without_tokens()
    row = get_object_or_404(rows, pk=pk)
    if row.status == Status.DISCONNECTED:  # in another window, or by a second click
        messages.info(request, _("%(email)s is disconnected already.") % {"email": row.email}, fail_silently=True)
        return redirect("mail_oauth:mailboxes")
    if request.method != "POST":
        return render(request, "mail_oauth/disconnect.html", {"mailbox": row})
    page = row.account_page
    try:
        result = disconnect_mailbox(row, actor=request.user)
    except MailCredentials.DoesNotExist:
        raise Http404 from None
    messages.success(request, told_of(result, row, page), fail_silently=True)
    return redirect("mail_oauth:mailboxes")


@flow_page
@login_required
@require_POST
def send_test(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have a mailbox send itself a message, and say what came of it."""
    rows = MailCredentials.objects.for_user(request.user).present().without_tokens()
    told = send_to_itself(get_object_or_404(rows, pk=pk), request.user)
    level = messages.SUCCESS if told.done else messages.WARNING
    messages.add_message(request, level, told.text, fail_silently=True)
    return redirect("mail_oauth:mailboxes")


def _provider(alias: str) -> Provider:
    if alias not in app_settings().providers:
        raise Http404
    provider = provider_for(alias)
    if provider.is_app_only:  # nobody's consent is asked for
        raise Http404
    return provider


def _own_mailbox(request: HttpRequest, provider: Provider) -> MailCredentials | None:
    """Return the mailbox to reconnect, one of the user's own at this provider, if the request names one."""
    named = request.POST.get("mailbox")
    if not named:
        return None
    mine = MailCredentials.objects.for_user(request.user).filter(provider=provider.alias)
    try:
        found: MailCredentials = get_object_or_404(mine, pk=named)
    except ValidationError:
        raise Http404 from None
    return found


def _typed_address(request: HttpRequest, provider: Provider, mailbox: MailCredentials | None) -> str:
    typed = request.POST.get("email", "").strip()
    return mailbox.email if mailbox is not None and not typed and not provider.names_account else typed


def _wants_address(request: HttpRequest, provider: Provider, wish: Wish) -> bool:
    return bool(wish.typed_email) or not provider.names_account or "ask_address" in request.POST


def _ask_address(request: HttpRequest, provider: Provider, wish: Wish) -> HttpResponse:
    """Ask for the address, once more if the one that was typed is none."""
    given = request.POST.get("email", "")
    context = {"provider": provider, "email": given[:LONGEST_ADDRESS], "invalid": bool(given), "wish": wish}
    return render(request, "mail_oauth/address.html", context, status=400 if given else 200)


def _refusal_page(
    request: HttpRequest, code: str, *, status: int, provider: Provider | None = None
) -> HttpResponse:
    context: dict[str, Any] = {"refusal": REFUSALS[code], "code": code, "provider": provider}
    if provider is not None and request.GET.get("mailbox"):
        mine = MailCredentials.objects.for_user(request.user).filter(provider=provider.alias).without_tokens()
        try:
            context["mailbox"] = mine.filter(pk=request.GET["mailbox"]).first()
        except ValidationError:
            raise Http404 from None
    return render(request, "mail_oauth/refused.html", context, status=status)
