import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import mail_oauth.constraints
from mail_oauth.migrations._operations import AddFieldLive, AddUniqueLive, AllowNull


class Migration(migrations.Migration):
    """Backwards, mailboxes without a user go."""

    atomic = False

    dependencies = [
        ("mail_oauth", "0008_sealed_values"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddFieldLive(
            model_name="mailcredentials",
            name="access",
            field=models.CharField(
                choices=[
                    ("user", "its user's consent"),
                    ("own", "the app's access, by a token for this mailbox"),
                    ("shared", "the app's access, by the token that the app has for all"),
                    ("app", "no mailbox: the token that the app has for all"),
                ],
                db_default="user",
                default="user",
                editable=False,
                max_length=8,
                verbose_name="opened by",
            ),
        ),
        AddFieldLive(
            model_name="mailcredentials",
            name="app_key",
            field=models.CharField(blank=True, editable=False, max_length=64, null=True),
        ),
        AllowNull(
            model_name="mailcredentials",
            name="user",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Nobody, where the app itself is let into the mailbox.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="mail_credentials",
                to=settings.AUTH_USER_MODEL,
                verbose_name="user",
            ),
        ),
        AddUniqueLive(
            model_name="mailcredentials",
            constraint=mail_oauth.constraints.UniqueWherePresent(
                field="app_key", name="mail_oauth_one_row_per_app_key"
            ),
        ),
    ]
