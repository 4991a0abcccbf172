"""URLs of the app: include them under a path of your choice."""

from django.urls import path

from mail_oauth import views

app_name = "mail_oauth"

urlpatterns = [
    path("", views.mailboxes, name="mailboxes"),
    path("connect/<slug:alias>/", views.start, name="start"),
    path("callback/<slug:alias>/", views.callback, name="callback"),
    path("refused/<slug:alias>/<slug:code>/", views.refused, name="refused"),
    path("disconnect/<uuid:pk>/", views.disconnect, name="disconnect"),
    path("reconnect/<str:name>/", views.reconnect, name="reconnect"),
    path("test/<uuid:pk>/", views.send_test, name="send_test"),
]
