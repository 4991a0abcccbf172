"""What is left of erased mailboxes: events that name nobody, to read."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import pgettext_lazy

from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.counting import EstimatingPaginator
from mail_oauth.admin.filters import KindFilter, ProviderFilter
from mail_oauth.admin.reading import ToRead
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import ErasedEvent


@admin.register(ErasedEvent)
class ErasedEventAdmin(ToRead):
    """A list without any way to change it: `erase` writes these events, and `prune_events` deletes old ones."""

    list_display = ("day", "provider_words", "kind_words", "reason")
    list_display_links = None
    list_filter = (KindFilter, ProviderFilter, "happened_on")
    list_per_page = 100
    sortable_by = ("day",)
    ordering = ("-happened_on", "-pk")
    show_facets = admin.ShowFacets.NEVER
    paginator = EstimatingPaginator

    @admin.display(description=pgettext_lazy("column", "date"), ordering="happened_on")
    def day(self, event: ErasedEvent) -> str:
        """The day on which it happened, in UTC; sorts as it reads in every language."""
        return event.happened_on.isoformat()

    @admin.display(description=pgettext_lazy("column", "provider"))
    def provider_words(self, event: ErasedEvent) -> str:
        """What people call the provider."""
        return provider_name(event.provider)

    @admin.display(description=pgettext_lazy("column", "event"))
    def kind_words(self, event: ErasedEvent) -> str:
        """What happened; the bare code of an event that this release does not know."""
        return str(EventKind(event.kind).label) if event.kind in EventKind.values else event.kind
