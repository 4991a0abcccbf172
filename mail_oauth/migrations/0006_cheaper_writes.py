import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from mail_oauth.migrations._operations import DropKeyIndexLive, StoreAsItIs


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("mail_oauth", "0005_lane_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        DropKeyIndexLive(
            model_name="mailcredentials",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="mail_credentials",
                to=settings.AUTH_USER_MODEL,
                verbose_name="user",
            ),
        ),
        DropKeyIndexLive(
            model_name="credentialevent",
            name="credentials",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                to="mail_oauth.mailcredentials",
            ),
        ),
        StoreAsItIs("mailcredentials", ["access_token", "refresh_token"]),
    ]
