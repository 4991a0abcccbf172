import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0006_cheaper_writes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ConnectPace",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("free_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "pace of a user's consents",
                "verbose_name_plural": "paces of users' consents",
            },
        ),
        migrations.CreateModel(
            name="ConnectTurn",
            fields=[
                ("number", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("taken_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "turn to save a consent",
                "verbose_name_plural": "turns to save a consent",
            },
        ),
    ]
