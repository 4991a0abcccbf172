"""What a page has told its reader, as read: without markup, but for the ends of lines."""

from __future__ import annotations

import html
from typing import Any

from django.contrib.messages import get_messages


def said(response: Any) -> list[str]:
    """The messages that wait for the next page."""
    texts = [str(message) for message in get_messages(response.wsgi_request)]
    return [html.unescape(text.replace("<bdi>", "").replace("</bdi>", "")) for text in texts]
