from django.db import migrations, models

from mail_oauth.migrations._operations import AddFieldLive


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("mail_oauth", "0014_words"),
    ]

    operations = [
        AddFieldLive(
            model_name="credentialevent",
            name="note",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What the one who did it gave as a reason.",
                max_length=200,
                verbose_name="note",
            ),
        ),
    ]
