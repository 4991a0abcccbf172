"""One line for each answered request, written before the answer leaves."""

import json
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class AccessLog:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        call = {
            "method": request.method,
            "path": request.path,
            "grant_type": request.POST.get("grant_type", ""),
            "status": response.status_code,
        }
        with settings.ACCESS_LOG.open("a") as log:
            log.write(json.dumps(call) + "\n")
        return response
