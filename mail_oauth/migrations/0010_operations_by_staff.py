import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0009_app_only"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ReconnectLink",
            fields=[
                (
                    "mailbox",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="mail_oauth.mailcredentials",
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("sent_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "link to reconnect",
                "verbose_name_plural": "links to reconnect",
                "default_permissions": (),
            },
        ),
        migrations.AlterModelOptions(
            name="mailcredentials",
            options={
                "permissions": [
                    ("refresh_mailcredentials", "Can refresh mailboxes now"),
                    ("test_sign_in_mailcredentials", "Can test the sign-in to mailboxes"),
                    ("rebuild_mailcredentials", "Can rebuild cache entries of mailboxes"),
                    ("ask_reconnect_mailcredentials", "Can ask users to reconnect mailboxes"),
                    ("pause_mailcredentials", "Can switch OAuth of mailboxes off and on"),
                    ("disconnect_mailcredentials", "Can disconnect mailboxes"),
                    ("reveal_mailcredentials", "Can see tokens of mailboxes in clear"),
                ],
                "verbose_name": "mailbox",
                "verbose_name_plural": "mailboxes",
            },
        ),
        migrations.AlterModelOptions(
            name="providerhealth",
            options={
                "permissions": [
                    ("hold_providerhealth", "Can hold the calls of a provider"),
                    (
                        "release_providerhealth",
                        "Can try and release the calls of a provider, and release the brake",
                    ),
                ],
                "verbose_name": "provider health",
                "verbose_name_plural": "provider health",
            },
        ),
        migrations.AlterField(
            model_name="credentialevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("connected", "connected"),
                    ("reconnected", "reconnected"),
                    ("replaced", "replaced by another account"),
                    ("refreshed", "token refreshed"),
                    ("recovered", "works again"),
                    ("refresh_failed", "refresh failed"),
                    ("needs_reauth", "needs reconnecting"),
                    ("needs_admin", "needs the administrator"),
                    ("needs_attention", "needs an operator's attention"),
                    ("reinstated", "not told to reconnect yet: too many at once"),
                    ("grant_ending", "grant ends soon"),
                    ("unreadable", "became unreadable"),
                    ("readable", "readable again"),
                    ("value_refused", "a stored value was refused"),
                    ("paused", "OAuth switched off"),
                    ("resumed", "OAuth switched on"),
                    ("disconnected", "disconnected"),
                    ("revoked", "grant revoked at the provider"),
                    ("revocation_failed", "revocation failed"),
                    ("tokens_dropped", "tokens deleted here"),
                    ("refresh_ordered", "refresh asked for by staff"),
                    ("sign_in_tested", "sign-in tested by staff"),
                    ("cache_rebuilt", "cache entry rebuilt by staff"),
                    ("reconnect_asked", "user asked to reconnect"),
                    ("token_revealed", "token shown to staff"),
                ],
                max_length=32,
                verbose_name="what",
            ),
        ),
        migrations.AlterField(
            model_name="providerfault",
            name="trouble",
            field=models.CharField(
                choices=[
                    ("client", "client authentication refused"),
                    ("configuration", "configuration refused"),
                    ("outage", "provider unavailable"),
                    ("throttle", "provider asks for a pause"),
                    ("reauth", "too many grants refused at once"),
                    ("by_hand", "held by staff"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="providerhealth",
            name="trouble",
            field=models.CharField(
                choices=[
                    ("client", "client authentication refused"),
                    ("configuration", "configuration refused"),
                    ("outage", "provider unavailable"),
                    ("throttle", "provider asks for a pause"),
                    ("reauth", "too many grants refused at once"),
                    ("by_hand", "held by staff"),
                ],
                max_length=16,
                verbose_name="trouble",
            ),
        ),
        migrations.CreateModel(
            name="BulkJob",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("operation", models.CharField(max_length=32, verbose_name="operation")),
                ("origin", models.CharField(blank=True, max_length=300)),
                ("language", models.CharField(blank=True, max_length=32)),
                ("total", models.PositiveIntegerField(default=0, verbose_name="mailboxes")),
                (
                    "created_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name="begun"),
                ),
                ("ended_at", models.DateTimeField(db_index=True, null=True, verbose_name="ended")),
                ("stopped", models.BooleanField(default=False, verbose_name="stopped")),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
            ],
            options={
                "verbose_name": "bulk action",
                "verbose_name_plural": "bulk actions",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="BulkItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("mailbox", models.UUIDField()),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("done", "done"), ("failed", "not done")],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("text", models.TextField(blank=True)),
                ("owner", models.CharField(blank=True, max_length=32)),
                ("taken_until", models.DateTimeField(null=True)),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="mail_oauth.bulkjob",
                    ),
                ),
            ],
            options={
                "verbose_name": "mailbox of a bulk action",
                "verbose_name_plural": "mailboxes of bulk actions",
                "default_permissions": (),
                "indexes": [models.Index(fields=["job", "state", "id"], name="mail_oauth_job_state")],
            },
        ),
    ]
