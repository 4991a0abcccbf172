"""Three traps of django-fernet-fields: each is shown in the plain field, then mended in ours."""

from __future__ import annotations

import pytest
from cryptography.fernet import InvalidToken
from django.core.exceptions import FieldError
from django.db import connection, transaction
from django.db.models import Case, F, Func, Subquery, TextField, Value, When
from django.db.models.functions import Cast, Concat
from django.test import override_settings

from mail_oauth.encryption import unseal
from mail_oauth.exceptions import SealError, UnsealedValue
from mail_oauth.sealing import Sealed
from tests.sealing.notes import Note, sealed_for

EXPRESSIONS = {
    "a column": lambda: F("title"),
    "a concatenation": lambda: Concat(F("title"), Value("!")),
    "a function": lambda: Func(F("title"), function="UPPER"),
    "a subquery": lambda: Subquery(Note.objects.values("title")[:1]),
    "a cast": lambda: Cast(F("title"), TextField()),
    "a case": lambda: Case(When(title="a", then=F("title")), default=Value(None)),
}


def raw(note: Note, column: str) -> bytes:
    """What the database really holds."""
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(Note._meta.db_table)
        cursor.execute(f"SELECT {connection.ops.quote_name(column)} FROM {table} WHERE id = %s", [note.pk])
        return bytes(cursor.fetchone()[0])


def overwrite(note: Note, column: str, value: bytes) -> None:
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(Note._meta.db_table)
        cursor.execute(
            f"UPDATE {table} SET {connection.ops.quote_name(column)} = %s WHERE id = %s", [value, note.pk]
        )


class TestAnExpressionStoresTheTextOfItsSQL:
    def test_in_the_plain_field(self, notes: type[Note]) -> None:
        note = notes.objects.create(title="a", plain="secret")
        notes.objects.update(plain=F("title"))
        assert notes.objects.get(pk=note.pk).plain not in {"secret", "a"}, "the token is gone, without an error"

    @pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
    def test_ours_refuses_it_and_keeps_the_token(self, notes: type[Note], expression) -> None:
        note = notes.objects.create(title="a", sealed=sealed_for("a"))
        with pytest.raises(FieldError, match="not an expression"), transaction.atomic():
            notes.objects.update(sealed=expression())
        assert notes.objects.get(pk=note.pk).sealed == note.sealed

    @pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
    def test_ours_refuses_it_in_save_as_well(self, notes: type[Note], expression) -> None:
        note = notes.objects.create(title="a", sealed=sealed_for("a"))
        note.sealed = expression()
        with pytest.raises(FieldError):
            note.save()

    @pytest.mark.parametrize(
        "expression",
        [Value("plain"), Case(When(title="a", then=Value("plain"))), Cast(Value("plain"), TextField())],
        ids=["constant", "case", "cast"],
    )
    def test_ours_refuses_a_plain_constant_in_disguise(self, notes: type[Note], expression) -> None:
        notes.objects.create(title="a", sealed=sealed_for("a"))
        with pytest.raises(UnsealedValue):
            notes.objects.update(sealed=expression)


class TestBulkUpdateDestroysTokens:
    def test_in_the_plain_field(self, notes: type[Note]) -> None:
        note = notes.objects.create(title="a", plain="old")
        note.plain = "new"
        notes.objects.bulk_update([note], ["plain"])
        assert notes.objects.get(pk=note.pk).plain not in {"old", "new"}

    def test_ours_stores_each_value_in_its_row(self, notes: type[Note]) -> None:
        rows = [notes.objects.create(title=title) for title in "abc"]
        for row in rows:
            row.sealed = sealed_for(row.title, f"secret of {row.title}")
        assert notes.objects.bulk_update(rows, ["sealed"], batch_size=2) == 3
        for row in notes.objects.all():
            assert unseal(row.sealed, f"note:{row.title}").reveal() == f"secret of {row.title}"

    def test_ours_can_empty_a_row(self, notes: type[Note]) -> None:
        rows = [notes.objects.create(title=title, sealed=sealed_for(title)) for title in "ab"]
        rows[0].sealed = None
        notes.objects.bulk_update(rows, ["sealed"])
        assert [note.sealed for note in notes.objects.order_by("pk")] == [None, rows[1].sealed]

    def test_ours_refuses_a_plain_string(self, notes: type[Note]) -> None:
        note = notes.objects.create(title="a", sealed=sealed_for("a"))
        note.sealed = "plain"
        with pytest.raises(UnsealedValue):
            notes.objects.bulk_update([note], ["sealed"])


class TestOneUnreadableRowBreaksTheWholeQueryset:
    def test_in_the_plain_field(self, notes: type[Note]) -> None:
        good, bad = (notes.objects.create(title=title, plain="secret") for title in ("good", "bad"))
        overwrite(bad, "plain", b"no fernet token")
        with pytest.raises(InvalidToken):
            list(notes.objects.all())
        assert notes.objects.get(pk=good.pk).plain == "secret"

    @pytest.mark.parametrize("blob", [b"", b"no fernet token", b"\xff\xfe\x00", "grüße".encode()])
    def test_ours_breaks_only_when_that_row_is_opened(self, notes: type[Note], blob: bytes) -> None:
        good, bad = (notes.objects.create(title=title, sealed=sealed_for(title)) for title in ("good", "bad"))
        overwrite(bad, "sealed", blob)
        assert notes.objects.count() == 2
        rows = {row.title: row for row in notes.objects.all()}
        assert unseal(rows["good"].sealed, "note:good").reveal() == "secret"
        assert notes.objects.filter(sealed__isnull=False).count() == 2
        with pytest.raises(SealError):
            unseal(rows["bad"].sealed, "note:bad")
        assert good.sealed == rows["good"].sealed


class TestKeysAreReadOnceForEver:
    def test_in_the_plain_field(self, notes: type[Note]) -> None:
        notes.objects.create(title="a", plain="secret")
        assert notes.objects.get().plain == "secret"
        with override_settings(FERNET_KEYS=["another key"]):
            assert notes.objects.get().plain == "secret", "sealed under a key that is not in the settings"

    def test_ours_sees_a_key_that_is_gone_and_one_that_is_back(self, notes: type[Note]) -> None:
        notes.objects.create(title="a", sealed=sealed_for("a"))
        with override_settings(FERNET_KEYS=["another key"]), pytest.raises(SealError, match="put it back"):
            unseal(notes.objects.get().sealed, "note:a")
        assert unseal(notes.objects.get().sealed, "note:a").reveal() == "secret"

    def test_ours_seals_under_the_first_key_and_opens_under_all(self, notes: type[Note], settings) -> None:
        old = sealed_for("a")
        settings.FERNET_KEYS = ["new key", *settings.FERNET_KEYS]
        new = sealed_for("a")
        assert new.fingerprint != old.fingerprint
        for value in (old, new):
            notes.objects.update_or_create(title="a", defaults={"sealed": value})
            assert unseal(notes.objects.get().sealed, "note:a").reveal() == "secret"

    def test_ours_works_with_raw_fernet_keys(self, notes: type[Note], settings) -> None:
        from cryptography.fernet import Fernet

        settings.FERNET_USE_HKDF = False
        settings.FERNET_KEYS = [Fernet.generate_key().decode()]
        notes.objects.create(title="a", sealed=sealed_for("a"))
        assert unseal(notes.objects.get().sealed, "note:a").reveal() == "secret"
        settings.FERNET_USE_HKDF = True
        with pytest.raises(SealError):
            unseal(notes.objects.get().sealed, "note:a")


class TestOnlySealedValuesAreStored:
    @pytest.mark.parametrize("plain", ["plain", "", b"bytes", 5, object()])
    def test_whatever_the_way(self, notes: type[Note], plain) -> None:
        note = notes.objects.create(title="a", sealed=sealed_for("a"))
        attempts = {
            "create": lambda: notes.objects.create(title="b", sealed=plain),
            "bulk_create": lambda: notes.objects.bulk_create([Note(title="b", sealed=plain)]),
            "update": lambda: notes.objects.update(sealed=plain),
            "update_or_create": lambda: notes.objects.update_or_create(title="a", defaults={"sealed": plain}),
        }
        for way, attempt in attempts.items():
            with pytest.raises(UnsealedValue) as refused, transaction.atomic():
                attempt()
            assert "sealed takes a Sealed value" in str(refused.value), way
        assert [row.sealed for row in notes.objects.all()] == [note.sealed]

    def test_the_error_does_not_show_what_was_refused(self, notes: type[Note]) -> None:
        with pytest.raises(UnsealedValue) as refused:
            notes.objects.create(sealed="a token in clear")
        assert "a token in clear" not in str(refused.value)

    def test_text_of_a_sealed_shape_is_still_no_sealed_value(self, notes: type[Note]) -> None:
        with pytest.raises(UnsealedValue):
            notes.objects.create(sealed=sealed_for("a").text)

    def test_the_column_holds_the_sealed_text(self, notes: type[Note]) -> None:
        note = notes.objects.create(title="a", sealed=sealed_for("a"))
        assert raw(note, "sealed").decode() == note.sealed.text

    def test_sealed_values_pass_through_update(self, notes: type[Note]) -> None:
        notes.objects.create(title="a")
        assert notes.objects.filter(title="a").update(sealed=sealed_for("a")) == 1
        assert unseal(notes.objects.get().sealed, "note:a").reveal() == "secret"


class TestNothingIsLookedUpByCiphertext:
    @pytest.mark.parametrize("lookup", ["exact", "contains", "in", "startswith", "gt", "regex"])
    def test_lookups_are_refused(self, notes: type[Note], lookup: str) -> None:
        value = [sealed_for("a")] if lookup == "in" else sealed_for("a")
        with pytest.raises((FieldError, UnsealedValue)):
            list(notes.objects.filter(**{f"sealed__{lookup}": value}))

    def test_but_whether_there_is_one(self, notes: type[Note]) -> None:
        notes.objects.create(title="a", sealed=sealed_for("a"))
        notes.objects.create(title="b")
        assert notes.objects.get(sealed__isnull=True).title == "b"

    def test_keys_in_use_are_counted_without_decrypting(self, notes: type[Note], settings) -> None:
        from django.db.models import Count
        from django.db.models.functions import Substr

        first = notes.objects.create(title="a", sealed=sealed_for("a"))
        settings.FERNET_KEYS = ["new key", *settings.FERNET_KEYS]
        second = [notes.objects.create(title=title, sealed=sealed_for(title)) for title in "bc"]
        prefix = Substr("sealed", 1, 21, output_field=TextField())
        found = {
            bytes(row[0], "ascii") if isinstance(row[0], str) else bytes(row[0]): row[1]
            for row in notes.objects.annotate(key=prefix).values_list("key").annotate(Count("pk"))
        }
        assert found == {
            f"mo1:{first.sealed.fingerprint}:".encode(): 1,
            f"mo1:{second[0].sealed.fingerprint}:".encode(): 2,
        }


def test_reading_a_row_decrypts_nothing(notes: type[Note], settings) -> None:
    notes.objects.create(title="a", sealed=sealed_for("a"))
    settings.FERNET_KEYS = ["another key"]
    assert isinstance(notes.objects.get().sealed, Sealed)
