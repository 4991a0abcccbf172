"""A site on which this app's URLs begin with the user's language."""

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    *i18n_patterns(path("mail/", include("mail_oauth.urls"))),
]
