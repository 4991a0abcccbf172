import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0011_upkeep_report"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
                    ("user_told", "its user was told by mail"),
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
        migrations.CreateModel(
            name="Episode",
            fields=[
                (
                    "credentials",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="episode",
                        serialize=False,
                        to="mail_oauth.mailcredentials",
                        verbose_name="mailbox",
                    ),
                ),
                (
                    "need",
                    models.CharField(
                        choices=[
                            ("needs_reauth", "needs reconnecting by its user"),
                            ("needs_admin", "needs the user's administrator"),
                        ],
                        max_length=16,
                        verbose_name="needs",
                    ),
                ),
                ("began_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="since")),
                ("told_at", models.DateTimeField(null=True, verbose_name="user told")),
                ("reported_at", models.DateTimeField(null=True, verbose_name="operators told")),
                ("recovered_at", models.DateTimeField(null=True, verbose_name="works again")),
            ],
            options={
                "verbose_name": "episode",
                "verbose_name_plural": "episodes",
                "indexes": [models.Index(fields=["reported_at", "began_at"], name="mail_oauth_unreported")],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("recipient", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField(null=True)),
                ("owner", models.CharField(blank=True, max_length=64)),
                ("version", models.PositiveBigIntegerField(default=1)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("mass_until", models.DateTimeField(null=True)),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
                "indexes": [models.Index(fields=["due_at"], name="mail_oauth_notice_due")],
            },
        ),
    ]
