from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0003_success_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CallBudget",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("provider", models.CharField(max_length=64, unique=True)),
                ("free_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "call budget",
                "verbose_name_plural": "call budgets",
            },
        ),
        migrations.CreateModel(
            name="RefreshCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("begins_at", models.DateTimeField(verbose_name="from")),
                ("provider", models.CharField(max_length=64, verbose_name="provider")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("granted", "refreshed"),
                            ("retry", "tried again later"),
                            ("reauth", "refused: the user must reconnect"),
                            ("admin", "refused: their administrator must act"),
                            ("operator", "refused: our configuration"),
                            ("unknown", "refused for an unknown reason"),
                        ],
                        max_length=16,
                        verbose_name="outcome",
                    ),
                ),
                ("number", models.PositiveBigIntegerField(default=0, verbose_name="number")),
            ],
            options={
                "verbose_name": "count of refreshes",
                "verbose_name_plural": "counts of refreshes",
            },
        ),
        migrations.AddConstraint(
            model_name="refreshcount",
            constraint=models.UniqueConstraint(
                fields=("begins_at", "provider", "outcome"), name="mail_oauth_one_count_per_outcome"
            ),
        ),
        migrations.AddField(
            model_name="mailcredentials",
            name="refresh_policy",
            field=models.CharField(
                blank=True,
                choices=[
                    ("always", "always"),
                    ("recently_used", "while it is used"),
                    ("on_demand", "when its token is asked for"),
                ],
                db_default="",
                default="",
                help_text="Empty: as its provider's options or the site's settings say.",
                max_length=16,
                verbose_name="kept warm",
            ),
        ),
        migrations.AlterField(
            model_name="mailcredentials",
            name="last_used_at",
            field=models.DateTimeField(
                blank=True, help_text="To within some ten minutes.", null=True, verbose_name="last used"
            ),
        ),
    ]
