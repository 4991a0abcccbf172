from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0007_connect_limits"),
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
                ],
                max_length=32,
                verbose_name="what",
            ),
        ),
        migrations.AlterField(
            model_name="mailcredentials",
            name="status",
            field=models.CharField(
                choices=[
                    ("connected", "connected"),
                    ("needs_reauth", "needs reconnecting by its user"),
                    ("needs_admin", "needs the user's administrator"),
                    ("needs_attention", "refused for an unknown reason"),
                    ("unreadable", "unreadable: an operator must act"),
                    ("disconnected", "disconnected"),
                ],
                default="connected",
                max_length=16,
                verbose_name="status",
            ),
        ),
    ]
