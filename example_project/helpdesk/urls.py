"""URLs of the help desk."""

from django.urls import path

from example_project.helpdesk.views import conversation, desk

app_name = "helpdesk"
urlpatterns = [
    path("<uuid:pk>/", desk, name="desk"),
    path("<uuid:pk>/<slug:key>/", conversation, name="conversation"),
]
