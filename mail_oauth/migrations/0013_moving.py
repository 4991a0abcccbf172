from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0012_notices"),
    ]

    operations = [
        migrations.CreateModel(
            name="ErasedEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("happened_on", models.DateField(db_index=True, verbose_name="date")),
                ("provider", models.CharField(max_length=64, verbose_name="provider")),
                ("kind", models.CharField(help_text="A kind of event.", max_length=32, verbose_name="event")),
                ("reason", models.CharField(blank=True, max_length=64, verbose_name="reason")),
            ],
            options={
                "verbose_name": "event of an erased mailbox",
                "verbose_name_plural": "events of erased mailboxes",
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
                    ("imported", "brought from elsewhere"),
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
    ]
