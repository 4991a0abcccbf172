"""The list of mailboxes: no token is fetched for it, and it does not wait for a count."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from mail_oauth.models import MailCredentials

Rows = QuerySet[MailCredentials]


class MailboxList(ChangeList):
    """The list, which never fetches a token, and says where it was not counted."""

    count_is_estimated = False

    def get_results(self, request: HttpRequest) -> None:
        """Count, or estimate; a first page that is not full shows how many there are."""
        super().get_results(request)
        self.count_is_estimated = getattr(self.paginator, "estimated", False)
        if self.count_is_estimated and self.page_num == 1 and len(self.result_list) < self.list_per_page:
            self.result_count = len(self.result_list)
            self.multi_page = self.count_is_estimated = False

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Rows:
        """Leave the token columns in the database."""
        found: Rows = super().get_queryset(request, exclude_parameters)
        return found.defer("access_token", "refresh_token")
