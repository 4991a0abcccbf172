"""URLs of the example project."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from example_project.views import home, messages

urlpatterns = [
    path("", home, name="home"),
    path("messages/<uuid:pk>/", messages, name="messages"),
    path("desk/", include("example_project.helpdesk.urls")),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("mail/", include("mail_oauth.urls")),
    path("admin/", admin.site.urls),
]
