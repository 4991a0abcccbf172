"""Mail servers on loopback, for demos and tests.

They sign in whoever brings a living access token of the fake provider::

    with FakeProvider() as provider, MailServers(provider) as mail:
        settings.MAIL_OAUTH = mail.settings(settings.MAIL_OAUTH)

SMTP is aiosmtpd's: it needs `pip install 'mail-oauth[testing]'`.
"""

from mail_oauth.testing.mailservers.postoffice import Taken
from mail_oauth.testing.mailservers.servers import MailServers

__all__ = ["MailServers", "Taken"]
