"""One settings dict: typed, checked, read lazily; a mistake is named with its cure."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.conf import NAMES, Settings, app_settings, problems
from mail_oauth.exceptions import ConfigurationError


def of_type(kind: type) -> list[str]:
    return [spec.name for spec in fields(Settings) if isinstance(getattr(Settings(), spec.name), kind)]


def test_all_have_defaults(settings):
    settings.MAIL_OAUTH = {}
    assert app_settings() == Settings()


def test_none_at_all_is_the_same(settings):
    del settings.MAIL_OAUTH
    assert app_settings() == Settings()


def test_changes_are_seen_at_once(settings):
    for margin in (100, 200):
        settings.MAIL_OAUTH = {"REFRESH_MARGIN": margin}
        assert app_settings().refresh_margin == margin


def test_what_was_read_cannot_be_changed(settings):
    settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["a.example"]}
    assert app_settings().private_hosts == ("a.example",)
    with pytest.raises(FrozenInstanceError):
        app_settings().cache = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("REFRESH_MARGINS", "REFRESH_MARGIN"), ("refresh_margin", "REFRESH_MARGIN"), ("PROVIDER", "PROVIDERS")],
)
def test_a_misspelt_name_is_guessed(settings, name, meant):
    settings.MAIL_OAUTH = {name: {}}
    with pytest.raises(ConfigurationError, match=f"Did you mean '{meant}'"):
        app_settings()


def test_a_name_like_no_other_is_refused_without_a_guess():
    assert problems({"XYZZY": 1}) == ["MAIL_OAUTH has no setting 'XYZZY'."]


@pytest.mark.parametrize("raw", [None, [], "PROVIDERS", 5])
def test_what_is_no_dict_is_refused_with_the_line_to_write(settings, raw):
    settings.MAIL_OAUTH = raw
    with pytest.raises(ConfigurationError, match=r'MAIL_OAUTH = \{"PROVIDERS"'):
        app_settings()


@pytest.mark.parametrize("value", [-1, "60", None, True, [60], float("nan")])
def test_a_number_must_be_one(value):
    for name in {*of_type(int), *of_type(float)} - {*of_type(bool)}:
        [text] = problems({name.upper(): value})
        assert repr(name.upper()) in text


@pytest.mark.parametrize("value", [5, None, ["x"], b"x"])
def test_a_text_must_be_one(value):
    for name in {*of_type(str)} - {"keys"}:
        assert problems({name.upper(): value}) == [f"MAIL_OAUTH[{name.upper()!r}] must be a string."]


@pytest.mark.parametrize("value", [5, None, ["the key itself"], "the key itself", "YWJjZGVm-4mG_w=="])
def test_where_keys_come_from_is_named_and_a_key_in_its_place_is_not_shown(value):
    text = "MAIL_OAUTH['KEYS'] must be a callable that returns keys, or its dotted path."
    assert problems({"KEYS": value}) == [text]
    assert not problems({"KEYS": "project.kms.keys"}) + problems({"KEYS": list})


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_switch_must_be_one(value):
    assert problems({"ACCEPT_UNBOUND": value}) == ["MAIL_OAUTH['ACCEPT_UNBOUND'] must be True or False."]
    assert not problems({"ACCEPT_UNBOUND": True})


@pytest.mark.parametrize("value", ["a.example", 5, {"a.example"}, None, [5]])
def test_a_list_must_be_one(value):
    assert problems({"PRIVATE_HOSTS": value}) == ["MAIL_OAUTH['PRIVATE_HOSTS'] must be a list of strings."]


@pytest.mark.parametrize("value", [[], "microsoft", None])
def test_providers_must_be_a_dict(value):
    assert problems({"PROVIDERS": value}) == ["MAIL_OAUTH['PROVIDERS'] must be a dict."]


def test_every_mistake_is_reported():
    assert len(problems({"XYZZY": 1, "CACHE": 5, "BATCH_SIZE": "many"})) == 3


@given(st.dictionaries(st.sampled_from(sorted(NAMES)) | st.text(), st.none() | st.integers() | st.text()))
def test_any_dict_is_judged_in_sentences(raw):
    assert all(text.endswith((".", "?")) for text in problems(raw))


def test_each_says_in_the_code_what_it_means():
    import inspect

    source = inspect.getsource(Settings)
    assert source.count('"""') == 2 * (len(fields(Settings)) + 1)


def test_the_defaults_fit_each_other():
    default = Settings()
    assert default.total_timeout < default.lease_seconds
    assert default.total_timeout < default.wait_timeout
    assert default.min_validity < default.refresh_margin
    assert default.backoff_base < default.backoff_cap < default.backoff_long
