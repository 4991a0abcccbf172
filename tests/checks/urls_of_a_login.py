"""A site with pages to sign in at."""

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("mail/", include("mail_oauth.urls")),
    path("in/", LoginView.as_view()),
    *i18n_patterns(path("words/in/", LoginView.as_view())),
]
