from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mail_oauth", "0015_note_of_events"),
    ]

    operations = [
        migrations.CreateModel(
            name="ErasedMailbox",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("owner", models.CharField(db_index=True, max_length=64)),
                ("met_on", models.DateField(db_index=True)),
            ],
            options={
                "verbose_name": "erased mailbox",
                "verbose_name_plural": "erased mailboxes",
                "default_permissions": (),
            },
        ),
    ]
