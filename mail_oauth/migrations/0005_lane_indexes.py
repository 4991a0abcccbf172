from django.conf import settings
from django.db import migrations, models

from mail_oauth.migrations._operations import AddIndexLive, RemoveIndexLive


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("mail_oauth", "0004_scale"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddIndexLive(
            model_name="mailcredentials",
            index=models.Index(fields=["provider", "refresh_at"], name="mail_oauth_provider_due"),
        ),
        AddIndexLive(
            model_name="mailcredentials",
            index=models.Index(fields=["provider", "tenant"], name="mail_oauth_lane"),
        ),
        RemoveIndexLive(model_name="mailcredentials", name="mail_oauth_success"),
        RemoveIndexLive(model_name="mailcredentials", name="mail_oauth_tenant_success"),
    ]
