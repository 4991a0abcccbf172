"""Which test stands for which of `REQUIREMENTS`, which abuse of the flow, and which cap.

A test is `path::name` or `path::Class::name`, below `tests/`; so is a target of the fuzzer.
"""

from __future__ import annotations

_CALLBACK, _WAY, _PAGES = "connect/test_callback.py::", "attacks/test_the_way.py::", "attacks/test_pages.py::"
_SHARING, _PACE, _TAKING = (f"attacks/test_{name}.py::" for name in ("sharing", "pace", "taking_over"))
_IDENTITIES, _SIGNATURES = "attacks/test_identities.py::", "attacks/test_signatures.py::"
_REDIRECTS, _LEAKS = "attacks/test_redirects.py::", "attacks/test_leaks.py::"
_ADDRESSES, _BOUNDS = "transport/test_addresses.py::", "transport/test_bounds.py::"
_CONNECTIONS, _REPLIES = "transport/test_connections.py::", "verdicts/test_token_replies.py::"
_CONTRACT, _CONNECTING = "providers/contract.py::ProviderContract::", "connect/test_connecting.py::"
_HEADERS = _PAGES + "test_the_headers_of_each_answer"
_OWN_SECRETS = "connect/test_token_replies.py::test_every_consent_has_secrets_of_its_own"

REQUIREMENTS: dict[int, str] = {
    1: "PKCE S256 for each consent, and a nonce with OpenID Connect (RFC 9700 §2.1.1)",
    2: "a state of 128 bits, for one use, bound to session, user, provider and redirect URI (RFC 9700 §4.7)",
    3: "no mix-up of providers: a redirect URI each, and `iss` compared exactly (RFC 9700 §4.4, RFC 9207 §2.4)",
    4: "the redirect URI never comes from an unchecked Host (RFC 9700 §4.1)",
    5: "the callback leads on to a clean URL, and its pages tell nobody of it (RFC 9700 §4.2)",
    6: "an id_token is verified, its algorithm by a list (OpenID Connect Core §3.1.3.7)",
    7: "revocation: unknown tokens count as revoked, a 503 is tried again (RFC 7009 §2.2)",
    8: "a token request follows no redirect, verifies TLS, and is bounded in time and size",
    9: "no endpoint leads to a private address, nor is another issuer's (OpenID Connect Discovery §4.3)",
    10: "an account is its subject, never its address; another one replaces it only explicitly",
    11: "consents begin by POST with CSRF; a `next` is checked, and checked again at use",
    12: "no log, exception, page, message or dump shows a secret",
    13: "one answer for an unknown, a foreign and an expired state",
}
"""What is required of the flow, by number, with the source."""

RULES: dict[int, list[str]] = {
    1: [
        _OWN_SECRETS,
        _CONTRACT + "test_the_challenge_is_the_verifiers_digest",
        _CONTRACT + "test_a_nonce_goes_with_openid",
        "providers/test_flows.py::TestTheWholeWay::test_a_wrong_verifier_brings_no_tokens",
    ],
    2: [
        _OWN_SECRETS,
        _CALLBACK + "test_02_a_replay_is_refused_and_the_grant_untouched",
        _CALLBACK + "test_03_two_identical_callbacks_at_once_are_one_exchange",
        _CALLBACK + "test_04_a_valid_state_in_another_users_session",
        _CALLBACK + "test_06_an_expired_state_and_a_flushed_session",
        _CALLBACK + "test_07_one_providers_code_at_anothers_callback",
    ],
    3: [
        _CALLBACK + "test_07_one_providers_code_at_anothers_callback",
        _CALLBACK + "test_08_a_foreign_or_missing_issuer",
    ],
    4: [
        _CALLBACK + "TestSpoofedHost::test_base_url_stands_over_every_host",
        _CALLBACK + "TestSpoofedHost::test_without_either_nothing_is_sent",
        _REDIRECTS + "test_no_header_changes_the_redirect_uri",
    ],
    5: [
        _HEADERS,
        _PAGES + "test_no_page_holds_what_a_strict_policy_forbids",
        _CALLBACK + "TestPages::test_the_callbacks_reply_leaks_nothing",
    ],
    6: [
        _IDENTITIES + "TestClaims::test_a_claim_that_does_not_fit",
        _IDENTITIES + "TestMicrosoftsTenants::test_the_issuer_names_the_tenant_of_the_token",
        _IDENTITIES + "TestMicrosoftsTenants::test_only_people_of_the_configured_tenant",
        _SIGNATURES + "TestAlgorithms::test_a_public_key_is_no_secret",
        _SIGNATURES + "TestAlgorithms::test_any_other_name_is_refused",
        _SIGNATURES + "TestMoments::test_that_do_not_fit_or_are_no_numbers",
        _SIGNATURES + "TestMoments::test_nothing_that_must_stand_there_is_missing",
        _SIGNATURES + "test_a_claim_that_is_another",
        "fuzz/test_id_tokens.py::test_any_id_token",
    ],
    7: [
        "connect/test_disconnecting.py::test_a_dead_grant_counts_as_revoked",
        "connect/test_disconnecting.py::Test73TheRevocationEndpointFails::test_it_is_down_and_tried_again",
    ],
    8: [
        _BOUNDS + "TestFaults::test_redirects_are_handed_back_unfollowed",
        _BOUNDS + "TestTime::test_is_bounded_in_all",
        _BOUNDS + "TestSize::test_just_over_the_cap_is_refused",
        _CONNECTIONS + "TestTLS::test_with_any_other_sends_nothing",
        _REPLIES + "test_what_is_no_json_object_is_retried_and_may_have_worked",
    ],
    9: [
        _ADDRESSES + "test_private_addresses_are_refused",
        _ADDRESSES + "test_addresses_in_disguise_are_refused",
        _ADDRESSES + "test_a_listed_host_is_called_by_http_only_in_development",
        _ADDRESSES + "TestANameThatLeadsToAPrivateAddress::test_is_refused_without_so_much_as_a_knock",
        _ADDRESSES
        + "TestANameThatLeadsToAPrivateAddress::test_the_second_time_it_is_asked_is_not_asked_a_second_time",
        _ADDRESSES + "test_a_redirect_of_any_document_leads_nowhere",
        _REDIRECTS + "TestDiscovery::test_a_private_endpoint_is_not_called",
        _REDIRECTS + "TestDiscovery::test_another_issuer_in_the_document",
        "fuzz/test_addresses.py::test_any_url",
    ],
    10: [
        _CALLBACK + "test_05_anonymous_at_the_callback",
        _WAY + "TestSessions::test_a_session_that_passes_to_another_user",
        _CONNECTING + "TestReconnecting::test_another_account_is_refused_until_the_user_says_replace",
        _CONNECTING + "TestReconnecting::test_67_a_recycled_address_is_another_mailbox",
    ],
    11: [
        _CALLBACK + "TestPages::test_start_is_post_with_csrf",
        _CALLBACK + "test_14_a_next_that_leads_elsewhere",
        _CALLBACK + "test_14_a_next_is_checked_again_at_use",
    ],
    12: [
        _LEAKS + "test_no_page_and_no_report_shows_a_secret",
        _LEAKS + "test_headers_that_cannot_be_read_are_not_logged",
        _CONNECTIONS + "TestNothingLeaks::test_debug_logs_hold_no_secret",
    ],
    13: [_WAY + "TestSessions::test_the_same_answer_for_unknown_foreign_and_expired"],
}

ABUSES: dict[str, list[str]] = {
    "login CSRF: the attacker's account into the victim's list": [
        _WAY + "TestSessions::test_a_planted_callback_in_the_victims_session"
    ],
    "login CSRF: the victim's account into the attacker's list": [
        _WAY + "TestSessions::test_a_stolen_callback_in_the_thiefs_session"
    ],
    "stolen state": [
        _CALLBACK + "test_04_a_valid_state_in_another_users_session",
        _CALLBACK + "test_04_a_valid_state_in_another_browser_of_the_same_user",
        _CALLBACK + "TestPages::test_what_lies_in_the_table_opens_nothing",
    ],
    "account swap between start and callback": [
        _WAY + "TestSessions::test_a_session_whose_user_was_swapped_in_place",
        _WAY + "TestSessions::test_a_session_that_passes_to_another_user",
        _CONNECTING + "TestReconnecting::test_another_account_is_refused_until_the_user_says_replace",
        _TAKING + "TestAnotherAccount::test_the_account_of_a_row_changes_while_its_consent_is_redeemed",
    ],
    "a mailbox that another user holds": [
        _SHARING + "TestAllowed::test_nothing_of_the_first_is_touched",
        _SHARING + "TestRefused::test_the_second_user_gets_nothing_and_the_first_keeps_all",
        _SHARING + "TestRefused::test_a_typed_address_is_no_way_around",
        _SHARING + "TestRefused::test_typing_an_address_keeps_nobody_from_their_own",
        _SHARING + "test_of_two_users_at_the_same_moment_one_gets_it",
    ],
    "open redirect": [
        _REDIRECTS + "test_a_next_that_leads_elsewhere_or_nowhere",
        _CALLBACK + "test_14_a_next_is_checked_again_at_use",
    ],
    "Host spoofing": [
        _CALLBACK + "TestSpoofedHost::test_a_host_that_is_not_ours_is_refused",
        _CALLBACK + "TestSpoofedHost::test_at_the_callback_it_spends_nothing",
    ],
    "clickjacking": [_HEADERS],
    "callback replay by prefetch": [
        _CALLBACK + "test_13_what_is_no_page_spends_nothing",
        _WAY + "TestRequests::test_a_browser_that_guesses_spends_nothing",
    ],
    "parallel callbacks": [
        _CALLBACK + "test_03_two_identical_callbacks_at_once_are_one_exchange",
        _TAKING + "test_two_windows_connect_one_account_at_once",
        _TAKING + "test_two_consents_race_for_one_row",
    ],
    "a flood of starts": [
        _PACE + "test_so_many_at_once_and_no_more",
        _PACE + "test_finishing_or_losing_a_consent_forgets_nothing",
        _PACE + "test_starts_at_the_same_moment_are_counted_one_by_one",
        _WAY + "TestTheTableOfConsents::test_one_user_cannot_fill_it",
    ],
}

CAPS: dict[str, list[str]] = {
    "connect.answers.LONGEST_QUERY": [_CALLBACK + "test_12_a_query_of_any_length"],
    "connect.answers.MOST_PARAMETERS": [_CALLBACK + "test_12_a_query_of_any_length"],
    "connect.attempts.MOST_AT_ONCE": [_WAY + "TestTheTableOfConsents::test_one_user_cannot_fill_it"],
    "connect.sharing.TURNS": [_SHARING + "TestRefused::test_the_turns_stay_few"],
    "connect.urls.LONGEST_NEXT": [_REDIRECTS + "test_a_next_that_leads_elsewhere_or_nowhere"],
    "models.consents.LONGEST_REDIRECT_URI": [
        _PAGES + "TestWhatIsTyped::test_a_host_of_endless_subdomains_is_refused"
    ],
    "providers.claims.LONGEST_ADDRESS": ["attacks/test_addresses.py::test_what_is_no_address_is_asked_for_again"],
    "providers.claims.LONGEST_SUBJECT": [_IDENTITIES + "TestClaims::test_a_claim_that_does_not_fit"],
    "providers.documents.MAX_DOCUMENT": [_SIGNATURES + "TestSetsOfKeys::test_a_document_may_be_so_long"],
    "providers.documents.REFETCH_SECONDS": [
        _SIGNATURES + "TestSetsOfKeys::test_a_flood_of_unknown_names_makes_no_flood_of_calls"
    ],
    "providers.id_tokens.LEEWAY_SECONDS": [_SIGNATURES + "TestMoments::test_that_are_odd_but_fit"],
    "providers.id_tokens.MAX_LENGTH": [_SIGNATURES + "TestForms::test_one_that_is_too_large_is_not_even_read"],
    "providers.id_tokens.MOST_KEYS": [_SIGNATURES + "TestSetsOfKeys::test_of_hundreds_only_some_are_tried"],
    "providers.id_tokens.RSA_BITS": [_SIGNATURES + "TestKeys::test_one_of_endless_length_is_not_reckoned_with"],
    "refresh.replies.LONGEST_LIFETIME": [_REPLIES + "test_any_lifetime_is_brought_within_bounds"],
    "refresh.replies.MAX_TOKEN": [_REPLIES + "test_long_tokens_are_taken_whole"],
    "transport.addresses.LONGEST_URL": [_ADDRESSES + "test_what_is_no_plain_https_url_is_refused"],
    "transport.bodies.MAX_DEPTH": ["fuzz/test_verdicts.py::test_the_corpus"],
    "transport.peers.MOST_ADDRESSES": [_ADDRESSES + "test_a_name_with_many_addresses_costs_a_bounded_time"],
    "transport.connections.MAX_BODY": [_BOUNDS + "TestSize::test_just_over_the_cap_is_refused"],
}
"""Size, depth and time caps, by the name of the constant below `mail_oauth`; time caps that are settings beside them:
`TOTAL_TIMEOUT`, `CONNECT_TIMEOUT`, `READ_TIMEOUT`, `STATE_SECONDS` and `CONNECT_STARTS_PER_HOUR`."""
