from django.conf import settings
from django.db import migrations, models

from mail_oauth.migrations._operations import AddIndexLive


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("mail_oauth", "0002_health"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddIndexLive(
            model_name="mailcredentials",
            index=models.Index(fields=["provider", "last_refreshed_at"], name="mail_oauth_success"),
        ),
        AddIndexLive(
            model_name="mailcredentials",
            index=models.Index(
                fields=["provider", "tenant", "last_refreshed_at"], name="mail_oauth_tenant_success"
            ),
        ),
    ]
