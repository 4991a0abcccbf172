"""Which test stands for which loss that peers recorded, and for which fault of `faults.FAULTS`.

A test is `path::name` or `path::Class::name`, below `tests/`.
"""

from __future__ import annotations

_ROTATION, _DEMOTIONS, _MASSES = (f"losses/test_{name}.py::" for name in ("rotation", "demotions", "masses"))
_DAY_90 = _ROTATION + "test_a_rotated_token_is_saved_and_the_mailbox_lives_beyond_day_90"
_ODD, _LINES, _RACES = "refresh/test_odd_replies.py::", "refresh/test_bad_lines.py::", "refresh/test_races.py::"
_REPLIES, _TABLE, _TIMES = (f"verdicts/test_{name}.py::" for name in ("token_replies", "the_table", "times"))
_OUTCOMES, _PARKING = "refresh/test_outcomes.py::", "refresh/test_parking.py::"
_BOUNDS, _TLS = "transport/test_bounds.py::", "transport/test_connections.py::TestTLS::"
_CONNECTING, _DISCONNECTING = "connect/test_connecting.py::", "connect/test_disconnecting.py::"
_CALLBACK, _CONNECT_REPLIES = "connect/test_callback.py::", "connect/test_token_replies.py::"
_UNFIT = _CONNECT_REPLIES + "test_a_reply_that_does_not_fit_connects_nothing"
_IDENTITIES, _SIGNATURES = "attacks/test_identities.py::", "attacks/test_signatures.py::"
_CIRCUITS = "lanes/test_circuits.py::"
_REDIS, _SWEEP = "cache/test_redis.py::", "upkeep/test_sweep.py::"

ISSUES: dict[str, list[str]] = {
    "odoo#109213": [_DAY_90],
    "zammad#3411": [_DAY_90],
    "paperless-ngx#11341": [_DAY_90],
    "osTicket#6455": [_DAY_90, _ROTATION + "test_a_dead_grant_is_told_at_once_and_found_in_a_list"],
    "n8n#12742": [_ROTATION + "test_n8n_12742_two_hosts_that_need_one_single_use_token_spend_it_once"],
    "python-o365#350": [_ROTATION + "test_python_o365_350_two_hosts_that_insist_never_send_a_spent_token"],
    "xagent#1454": [_ROTATION + "test_xagent_1454_the_loser_of_a_race_leaves_the_winners_row_alone"],
    "executor#1377": [_ROTATION + "test_executor_1377_a_write_that_fails_after_the_exchange_loses_no_grant"],
    "Duende Support#1286": [
        _ROTATION + "test_duende_1286_a_stale_copy_in_hand_is_never_what_is_sent",
        _ROTATION + "test_duende_1286_who_waited_takes_the_winners_token",
    ],
    "litellm#31493": [
        _ROTATION + "test_litellm_31493_the_slowest_call_ends_before_its_lease",
        _ROTATION + "test_litellm_31493_a_lease_shorter_than_a_call_is_refused_by_a_check",
    ],
    "EmailEngine 38fa2120": [_DEMOTIONS + "test_emailengine_38fa2120_a_dns_blip_marks_no_mailbox_bad"],
    "MSAL.NET#2808": [_DEMOTIONS + "test_msal_net_2808_throttling_that_arrives_as_invalid_grant_is_a_pause"],
    "n8n#22567": [
        _DEMOTIONS + "test_n8n_22567_one_expired_client_secret_demotes_nobody",
        _CIRCUITS + "TestABadClientSecret::test_opens_the_circuit_at_once_with_one_alert_and_blames_nobody",
    ],
    "nango#5505": [
        _DEMOTIONS + "test_nango_5505_a_day_of_failures_is_a_small_number_of_calls",
        _DEMOTIONS + "test_nango_5505_after_the_users_turn_has_come_there_are_none",
    ],
}

NUMBERS: dict[int, list[str]] = {
    1: [_CALLBACK + "test_01_no_empty_or_wrong_state"],
    2: [_CALLBACK + "test_02_a_replay_is_refused_and_the_grant_untouched"],
    3: [_CALLBACK + "test_03_two_identical_callbacks_at_once_are_one_exchange"],
    4: [
        _CALLBACK + "test_04_a_valid_state_in_another_users_session",
        _CALLBACK + "test_04_a_valid_state_in_another_browser_of_the_same_user",
    ],
    5: [_CALLBACK + "test_05_anonymous_at_the_callback"],
    6: [_CALLBACK + "test_06_an_expired_state_and_a_flushed_session"],
    7: [_CALLBACK + "test_07_one_providers_code_at_anothers_callback"],
    8: [_CALLBACK + "test_08_a_foreign_or_missing_issuer"],
    9: [_CALLBACK + "test_09_denial_shows_a_fixed_text"],
    10: [
        _CALLBACK + "test_10_both_neither_or_doubled",
        _CALLBACK + "test_10_doubled_in_any_spelling",
        _CALLBACK + "test_10_a_separator_that_is_none_makes_no_second_parameter",
    ],
    11: [_CALLBACK + "test_11_an_unknown_error_is_a_generic_message"],
    12: [
        _CALLBACK + "test_12_a_malformed_code",
        _CALLBACK + "test_12_a_code_that_is_not_utf8",
        _CALLBACK + "test_12_an_odd_byte_anywhere",
        _CALLBACK + "test_12_a_query_of_any_length",
    ],
    13: [
        _CALLBACK + "test_13_other_methods_and_prefetch_leave_the_state",
        _CALLBACK + "test_13_what_is_no_page_spends_nothing",
        "attacks/test_the_way.py::TestRequests::test_a_browser_that_guesses_spends_nothing",
    ],
    14: [
        _CALLBACK + "test_14_a_next_that_leads_elsewhere",
        _CALLBACK + "test_14_a_next_is_checked_again_at_use",
        "attacks/test_redirects.py::test_a_next_that_leads_elsewhere_or_nowhere",
    ],
    15: [
        _CALLBACK + "TestSpoofedHost::test_a_host_that_is_not_ours_is_refused",
        _CALLBACK + "TestSpoofedHost::test_at_the_callback_it_spends_nothing",
        _CALLBACK + "TestSpoofedHost::test_base_url_stands_over_every_host",
        "attacks/test_redirects.py::test_no_header_changes_the_redirect_uri",
    ],
    17: [_UNFIT, _ODD + "test_17_and_18_without_a_new_refresh_token_the_old_one_stays_and_works"],
    18: [
        _REPLIES + "test_an_unfit_refresh_token_is_none",
        _ODD + "test_17_and_18_without_a_new_refresh_token_the_old_one_stays_and_works",
    ],
    19: [_ODD + "test_19_pair_and_expiry_are_written_by_one_statement"],
    20: [
        _REPLIES + "test_without_a_fit_access_token_only_a_rotated_refresh_token_is_kept",
        _OUTCOMES + "TestARotatedRefreshTokenIsKept::test_whatever_else_is_refused",
    ],
    21: [
        _ODD + "test_21_long_tokens_are_stored_and_given_out_whole",
        _ODD + "test_21_one_over_the_cap_is_refused_not_cut",
    ],
    22: [_REPLIES + "test_lifetimes", _ODD + "test_22_an_odd_lifetime_makes_neither_a_storm_nor_an_eternal_token"],
    23: [_REPLIES + "test_bearer_tokens_are_taken", _REPLIES + "test_tokens_of_other_kinds_are_not"],
    24: [
        "lanes/test_attention.py::TestFewerScopes::test_of_a_refresh_are_told_and_the_pair_is_kept",
        "lanes/test_attention.py::TestFewerScopes::test_that_are_none_are_no_matter",
    ],
    25: [_UNFIT, _REPLIES + "test_an_unfit_refresh_token_is_none"],
    26: [
        _UNFIT,
        _IDENTITIES + "TestForgedTokens::test_an_algorithm_that_anybody_can_sign_with",
        _IDENTITIES + "TestClaims::test_a_claim_that_does_not_fit",
        _SIGNATURES + "TestAlgorithms::test_any_other_name_is_refused",
        _SIGNATURES + "TestMoments::test_that_do_not_fit_or_are_no_numbers",
        _SIGNATURES + "TestForms::test_a_megabyte_is_not_even_taken",
    ],
    27: [
        _UNFIT,
        _REPLIES + "test_what_is_no_json_object_is_retried_and_may_have_worked",
        _REPLIES + "test_a_byte_order_mark_is_refused_but_its_refresh_token_is_kept",
        _REPLIES + "test_another_encoding_is_refused_but_its_refresh_token_is_kept",
        _REPLIES + "test_a_number_that_nobody_can_reckon_with_costs_no_token",
    ],
    28: [_UNFIT, _REPLIES + "test_an_error_in_a_good_status_is_an_error_and_its_refresh_token_is_kept"],
    30: [
        _UNFIT,
        _BOUNDS + "TestSize::test_is_capped",
        _BOUNDS + "TestSize::test_a_bomb_takes_little_memory",
    ],
    31: [
        _OUTCOMES + "TestAPassingFault::test_keeps_the_grant_and_is_tried_later",
        _ODD + "test_31_a_gateways_page_is_stored_nowhere",
    ],
    32: [
        _TIMES + "test_retry_after_in_every_form",
        _LINES + "test_32_retry_after_in_every_form_is_honoured_within_bounds",
        _LINES + "test_32_mailboxes_that_were_throttled_together_come_back_apart",
    ],
    34: [
        _BOUNDS + "TestTime::test_is_bounded_in_all",
        _LINES + "test_34_a_provider_that_dawdles_costs_the_total_deadline_and_the_lease_is_released",
    ],
    35: [
        _BOUNDS + "TestFaults::test_redirects_are_handed_back_unfollowed",
        _LINES + "test_35_a_redirect_is_the_operators_and_nothing_follows_it",
    ],
    36: [
        _TLS + "test_with_any_other_sends_nothing",
        _TLS + "test_does_not_fall_back_to_plain_text",
        _LINES + "test_36_a_bad_certificate_gets_no_token_and_costs_no_grant",
    ],
    37: [
        _LINES + "test_37_a_request_that_never_left_is_known_to_have_changed_nothing",
        _LINES + "test_37_a_body_that_breaks_off_leaves_the_outcome_unknown",
    ],
    40: [
        _TABLE + "test_oauth_errors",
        _TABLE + "test_microsofts_numbers_refine_the_error",
        _TABLE + "test_single_providers_own_codes",
    ],
    41: [
        _CIRCUITS + "TestABadClientSecret::test_opens_the_circuit_at_once_with_one_alert_and_blames_nobody",
        _CIRCUITS + "TestABadClientSecret::test_recovers_by_itself",
    ],
    42: [
        _TABLE + "test_a_loop_goes_before_all_other_numbers",
        _MASSES + "test_42_a_pause_for_a_loop_is_left_alone_by_the_sweep",
    ],
    43: [
        _RACES + "TestAWorkerThatWakesTooLate::test_has_its_failure_refused",
        _RACES + "TestACallerWhoseClaimIsLost::test_takes_the_token_of_the_one_who_won",
    ],
    44: [
        "lanes/test_brake.py::test_one_tenants_brake_holds_no_other_tenant",
        "lanes/test_brake.py::test_many_tenants_pull_the_apps_brake",
        "lanes/test_brake.py::test_who_is_refused_again_after_it_is_told",
    ],
    45: [
        _OUTCOMES + "TestEachTransitionIsToldOnce::test_a_dead_grant",
        _MASSES + "Test45AGrantThatIsDead::test_is_told_once_and_a_reconnect_clears_it",
    ],
    46: [
        "chaos/test_storms.py::test_one_expired_mailbox_asked_by_8_processes_of_16_threads_is_refreshed_once",
        _RACES + "TestManyCallersAtOnce::test_make_one_call_and_get_one_token",
    ],
    47: [
        "chaos/test_pauses.py::test_the_late_result_of_a_stopped_process_is_refused",
        _RACES + "TestAWorkerThatWakesTooLate::test_has_its_tokens_refused",
    ],
    48: [
        "chaos/test_kills.py::test_workers_killed_at_random_lose_no_grant_outside_the_window",
        "refresh/test_takeovers.py::test_who_takes_over_does_not_blame_the_grant_at_once",
    ],
    49: [
        "refresh/test_outage.py::test_the_pair_is_parked_and_adopted",
        _PARKING + "TestAPairThatCannotBeSaved::test_is_adopted_by_the_next_caller_without_a_call",
        _RACES + "TestADatabaseThatFailsAtTheSave::test_is_asked_again_and_the_provider_is_not",
    ],
    50: [
        _RACES + "TestInsideACallersTransaction::test_a_rollback_keeps_the_new_token",
        _RACES + "TestInsideACallersTransaction::test_sqlite_refuses_before_any_call",
    ],
    51: [
        "row/test_saving.py::TestAReplica::test_is_not_asked_for_a_token",
        *(
            f"{_MASSES}Test51AReplicaThatLags::test_is_not_asked_{by}"
            for by in (
                "by_a_refresh_of_what_was_read_there",
                "by_the_sweep",
                "by_reconciliation",
                "when_a_failure_is_saved",
                "by_a_disconnect",
            )
        ),
    ],
    52: [
        "upkeep/test_tasks.py::TestATick::test_that_is_doubled_refreshes_once",
        "upkeep/test_tasks.py::TestATick::test_that_was_lost_changes_nothing_but_the_time",
        _SWEEP + "TestSweepsAtOnce::test_share_the_work_and_never_do_it_twice",
        *(
            f"{_MASSES}Test52EverythingIsDueAtOnce::test_and_{what}"
            for what in (
                "a_beat_asks_for_no_more_than_its_share",
                "a_claim_takes_no_more_than_it_was_told_each_mailbox_once",
                "afterwards_is_due_spread_over_the_life_of_a_token",
            )
        ),
    ],
    53: [
        _RACES + "TestDuringARefresh::test_deleting_the_mailbox_is_quiet",
        _RACES + "TestDuringARefresh::test_deleting_its_user_is_quiet",
    ],
    54: [
        _RACES + "TestDuringARefresh::test_a_disconnect_wins",
        _RACES + "TestDuringARefresh::test_a_reconnect_wins",
        "attacks/test_disconnecting.py::test_a_refresh_that_ends_after_a_reconnect_does_not_overwrite_it",
    ],
    55: [_CONNECTING + "TestReconnecting::test_another_account_is_refused_until_the_user_says_replace"],
    56: [
        _CONNECTING + "TestReconnecting::test_one_mailbox_under_two_users_is_two_rows",
        "row/test_saving.py::TestOneMailboxIsOneRow::test_two_users_may_share_a_mailbox",
    ],
    58: [
        *(
            f"{_REDIS}TestATokenWithoutRedis::test_comes_from_{what}"
            for what in (
                "the_database_after_a_flush",
                "the_database_while_it_is_dead",
                "the_database_while_it_is_silent",
                "the_database_when_it_was_evicted",
                "a_replica_that_cannot_be_written",
            )
        ),
        "chaos/test_cache_loss.py::test_every_answer_is_valid_whatever_becomes_of_redis",
    ],
    59: [
        "cache/test_copies.py::TestPoison::test_is_refused_and_repaired",
        _REDIS + "TestAValue::test_that_is_a_pickle_bomb_is_not_opened",
    ],
    60: [
        _SWEEP + "TestASweepEnds::test_orderly_when_a_signal_strikes",
        "worker/test_worker.py::test_a_worker_told_to_stop_finishes_what_runs_and_gives_back_the_rest",
    ],
    61: [
        _TIMES + "test_days_on_which_clocks_change_make_no_difference",
        _MASSES + "Test61And62ClocksThatAreWrong::test_61_a_jump_makes_no_storm_of_callers",
        _MASSES
        + "Test61And62ClocksThatAreWrong::test_61_what_was_issued_during_a_jump_ahead_is_not_believed_after_it",
    ],
    62: [
        "row/test_claims.py::TestAClaim::test_goes_by_the_databases_clock",
        _MASSES + "Test61And62ClocksThatAreWrong::test_62_the_sweep_of_a_host_whose_clock_differs_makes_no_storm",
        _MASSES + "Test61And62ClocksThatAreWrong::test_62_nor_does_a_failure_on_a_host_that_is_a_little_behind",
    ],
    67: [
        *(
            f"{_CONNECTING}TestReconnecting::test_67_{what}"
            for what in (
                "an_address_that_changed_at_the_provider_is_updated",
                "a_recycled_address_is_another_mailbox",
            )
        )
    ],
    73: [
        _DISCONNECTING + "Test73TheRevocationEndpointFails::test_it_says_400",
        _MASSES + "Test73ARevocationEndpointThatIsDown::test_delays_nothing_here_and_the_sweep_revokes_later",
        _MASSES + "Test73ARevocationEndpointThatIsDown::test_that_does_not_exist_is_said_and_the_tokens_go",
    ],
}
