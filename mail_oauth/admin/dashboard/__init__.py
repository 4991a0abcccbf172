"""The dashboard: how everything is, in words, charts and tables, at the cost of a handful of queries."""

from mail_oauth.admin.dashboard.page import DashboardAdmin

__all__ = ["DashboardAdmin"]
