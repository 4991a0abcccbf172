"""URLs of the app: include them under a path of your choice."""

app_name = "mail_oauth"
urlpatterns = []
