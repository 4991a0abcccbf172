"""Every code is judged as the documentation says: RFC 6749 §5.2, Entra's reference of AADSTS codes, providers' own."""

from __future__ import annotations

import pytest

from mail_oauth.refresh.classification import AADSTS, CLIENT_AADSTS, SLOW_AADSTS, Action, Trouble
from mail_oauth.refresh.verdicts import judge, without_user
from tests.verdicts.replies import raw, reply

REAUTH, ADMIN, OPERATOR, BUG, RETRY = (
    Action.REAUTH,
    Action.ADMIN,
    Action.OPERATOR,
    Action.BUG,
    Action.RETRY,
)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


# Written out a second time on purpose: a slip in the table is a mailbox lost or a customer called for nothing.
ERRORS = {
    "invalid_grant": REAUTH,
    "interaction_required": REAUTH,
    "consent_required": REAUTH,
    "login_required": REAUTH,
    "account_selection_required": REAUTH,
    "invalid_client": OPERATOR,
    "unauthorized_client": OPERATOR,
    "deleted_client": OPERATOR,
    "disabled_client": OPERATOR,
    "redirect_uri_mismatch": OPERATOR,
    "org_internal": OPERATOR,
    "invalid_scope": OPERATOR,
    "invalid_resource": OPERATOR,
    "invalid_target": OPERATOR,
    "invalid_request": BUG,
    "unsupported_grant_type": BUG,
    "temporarily_unavailable": RETRY,
    "server_error": RETRY,
    "internal_failure": RETRY,
    "slow_down": RETRY,
    "rate_limit_exceeded": RETRY,
    "something_new": RETRY,
}
MICROSOFT = {
    REAUTH: numbers(
        "50173 70000 70008 700082 700084 70043 50089 50078 50132 50133 50085 54005 700020 "
        "50072 50074 50076 50079 50158 50055 50144 50058 65001 65004"
    ),
    ADMIN: numbers(
        "50057 50034 51004 50020 50105 500021 500022 500212 500213 53000 53001 53002 53003 53004 53011 530032 "
        "530034 530035 65005 650052 90094 90095 90099 501051"
    ),
    OPERATOR: numbers(
        "7000215 7000222 70002 7000218 700025 700027 700030 50012 50011 50194 70001 700016 7000112 70011 28000 "
        "28002 28003 700022 9002331 9002332 90002 90038 500011 50001 650057 "
        # of apps without a user, and of those that sign
        "9001023 1002012 7000229 50027 700021 700023 700024 7000216 70021 700211 700212 700213"
    ),
    RETRY: numbers(
        "50033 50087 50088 70012 90006 90012 90024 90033 90055 90090 90091 80002 501621 "
        "50053 50196 50000 90036 90092"
    ),
}
BY_NUMBER = {number: action for action, members in MICROSOFT.items() for number in members}


@pytest.mark.parametrize(("error", "action"), ERRORS.items())
def test_oauth_errors(error, action):
    for status in (400, 401, 403, 200):
        verdict = judge(reply({"error": error, "error_description": "words <b>of</b> theirs"}, status))
        assert (verdict.action, verdict.reason) == (action, error), status
        assert verdict.tokens is None


@pytest.mark.parametrize(("number", "action"), BY_NUMBER.items())
def test_microsofts_numbers_refine_the_error(number, action):
    for error in ("invalid_grant", "invalid_client", "something_new"):
        for more in ({"error_codes": [number]}, {"error_description": f"AADSTS{number}: Words."}):
            verdict = judge(reply({"error": error, **more}, 400), family="microsoft")
            assert (verdict.action, verdict.reason) == (action, f"AADSTS{number}"), (error, more)


def test_no_number_is_in_the_table_that_is_not_in_the_facts():
    assert AADSTS.keys() == BY_NUMBER.keys()
    assert frozenset({50053, 50196, 50000, 90036, 90092}) == SLOW_AADSTS


@pytest.mark.parametrize("number", sorted(SLOW_AADSTS))
def test_what_passes_slowly_is_said_to(number):
    assert judge(reply({"error": "invalid_grant", "error_codes": [number]}, 400)).slow


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client", "temporarily_unavailable"])
def test_an_unknown_number_falls_back_to_the_error(error):
    verdict = judge(reply({"error": error, "error_codes": [123456789]}, 400))
    assert (verdict.action, verdict.reason) == (ERRORS[error], error)


@pytest.mark.parametrize("codes", [[70000, 50196], [50196, 70000], [1, 50196]])
def test_a_loop_goes_before_all_other_numbers(codes):
    verdict = judge(reply({"error": "invalid_grant", "error_codes": codes}, 400))
    assert (verdict.action, verdict.slow, verdict.reason) == (RETRY, True, "AADSTS50196")


def test_of_several_numbers_a_known_one_counts():
    assert judge(reply({"error": "invalid_grant", "error_codes": [1, 53003]}, 400)).action is ADMIN


@pytest.mark.parametrize(
    ("family", "fields", "status", "action"),
    [
        ("google", {"error": "invalid_grant", "error_subtype": "invalid_rapt"}, 400, REAUTH),
        ("google", {"error": "access_denied", "error_subtype": "invalid_rapt"}, 400, REAUTH),
        ("google", {"error": "invalid_grant", "error_subtype": "admin_policy_enforced"}, 400, ADMIN),
        ("google", {"error": "invalid_grant", "error_subtype": "news"}, 400, REAUTH),
        ("yahoo", {"error": "INVALID_REFRESH_TOKEN"}, 400, REAUTH),
        ("yahoo", {"error": "TOKEN_EXPIRED"}, 401, REAUTH),
        ("yahoo", {"error": "INVALID_GRANT"}, 401, REAUTH),
        ("yahoo", {"error": "ACCOUNT_NOT_AUTHORIZED"}, 403, REAUTH),
        ("yahoo", {"error": "INVALID_CLIENT"}, 401, OPERATOR),
        ("yahoo", {"error": "INVALID_CLIENT_SECRET"}, 401, OPERATOR),
        ("yahoo", {"error": "INVALID_CALLBACK"}, 400, OPERATOR),
        ("yahoo", {"error": "ERROR_HANDLING_REQUEST"}, 400, RETRY),
        ("zoho", {"error": "invalid_code"}, 200, REAUTH),
    ],
)
def test_single_providers_own_codes(family, fields, status, action):
    assert judge(reply(fields, status), family=family).action is action


def test_one_providers_codes_mean_nothing_at_another():
    assert judge(reply({"error": "invalid_code"}, 400), family="google").action is RETRY


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 999])
def test_statuses_that_pass_by_themselves(status):
    for body in (b"", b"<html>Bad gateway</html>", b'{"error": "invalid_grant"}', b"{}"):
        verdict = judge(raw(body, status))
        assert (verdict.action, verdict.reason) == (RETRY, f"http_{status}"), body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_that_is_no_json_proves_nothing(status):
    for body in (b"", b"<html>", b"[]", b"\xff"):
        verdict = judge(raw(body, status))
        assert (verdict.action, verdict.reason) == (RETRY, f"http_{status}"), body


@pytest.mark.parametrize("error", [None, "", 5, [], {"code": 5}, "words with spaces", "x" * 100, "a\nb"])
def test_an_error_that_is_no_code_is_retried_slowly_and_not_repeated(error):
    verdict = judge(reply({"error": error}, 400))
    assert (verdict.action, verdict.slow, verdict.reason) == (RETRY, True, "http_400")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_the_operators(status):
    verdict = judge(raw(b"", status, location="https://evil.example/"))
    assert (verdict.action, verdict.reason) == (OPERATOR, "redirect")


# Google's guide to the errors of service accounts, and google-auth's.
SERVICE_ACCOUNTS = [
    ("Invalid JWT Signature.", OPERATOR, "invalid_grant_signature", Trouble.CLIENT),
    ("Invalid grant: account not found", OPERATOR, "invalid_grant_signature", Trouble.CLIENT),
    (
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
        OPERATOR,
        "invalid_grant_clock",
        Trouble.CONFIGURATION,
    ),
    ("Invalid email or User ID", ADMIN, "invalid_grant_mailbox", None),
    ("Not a valid email or user ID.", ADMIN, "invalid_grant_mailbox", None),
    ("Words that nobody knows.", ADMIN, "invalid_grant", None),
]


@pytest.mark.parametrize(("words", "action", "reason", "trouble"), SERVICE_ACCOUNTS)
def test_what_google_tells_of_service_accounts_by_words_alone(words, action, reason, trouble):
    said = without_user(
        judge(reply({"error": "invalid_grant", "error_description": words}, 400), family="google_app")
    )
    assert (said.action, said.reason, said.trouble) == (action, reason, trouble)


def test_words_say_nothing_where_users_consent():
    told = {"error": "invalid_grant", "error_description": "Invalid email or User ID"}
    assert judge(reply(told, 400), family="google").action is REAUTH


@pytest.mark.parametrize("number", MICROSOFT[REAUTH])
def test_where_there_is_no_user_an_administrator_is_asked(number):
    said = without_user(
        judge(reply({"error": "invalid_grant", "error_codes": [number]}, 400), family="microsoft_app")
    )
    assert (said.action, said.trouble) == (ADMIN, None)


def test_nor_is_a_user_asked_for_what_should_have_passed():
    said = without_user(
        judge(reply({"error": "invalid_grant", "error_codes": [50053]}, 400), family="microsoft_app")
    )
    assert (said.action, said.lasting) == (RETRY, ADMIN)


@pytest.mark.parametrize("number", sorted(CLIENT_AADSTS))
def test_of_the_clients_numbers_all_concern_the_app(number):
    said = judge(reply({"error": "invalid_client", "error_codes": [number]}, 401), family="microsoft_app")
    assert (said.action, said.trouble) == (OPERATOR, Trouble.CLIENT)
