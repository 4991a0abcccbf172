"""The provider's process: `python -m tests.toolkit.provider.serve`, told by the environment where to live."""

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

from tests.toolkit.provider.people import ADDRESSES, CLIENT_ID, CLIENT_SECRET, PASSWORD, REDIRECT_URI


def register() -> None:
    """Make the people's accounts and register the mail site."""
    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    for name, address in ADDRESSES.items():
        User.objects.create_user(name, address, PASSWORD)
    Application.objects.create(
        name="The mail site",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=REDIRECT_URI,
        algorithm=Application.RS256_ALGORITHM,
    )


def serve() -> None:
    server = ThreadedWSGIServer(("127.0.0.1", settings.PORT), WSGIRequestHandler)
    server.set_app(get_wsgi_application())
    server.serve_forever()


if __name__ == "__main__":
    django.setup()
    if not settings.DATABASES["default"]["NAME"].exists():
        call_command("migrate", run_syncdb=True, verbosity=0)
        register()
    serve()
