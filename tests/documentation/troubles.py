"""What each code of the table of failures means, and what to click: the words of docs/troubleshooting.md.

Sources: Microsoft's `reference-error-codes.md`; RFC 6749 §5.2; OIDC Core §3.1.2.6; RFC 8707; Google's OAuth 2.0 pages;
Yahoo's OAuth guide. Where the doctor has a hint for a code, the page shows that one, and more only where more is said here.
"""

from __future__ import annotations

_SIGN_INS = "Entra → *Monitoring & health → Sign-in logs*, the user's failed sign-in: it names the policy."
_USERS = "Entra → *Users*: is the account there, enabled, and of this tenant? A guest is invited by *New user → Invite external user*."
_POLICY = f"{_SIGN_INS} Then *Protection → Conditional Access*: admit the app for that user, or exclude it."
_TENANT_LIMITS = (
    "The administrators of both tenants: Entra → *External Identities → Cross-tenant access settings*."
)
_PERMISSIONS = (
    "Entra → *App registrations → the app → API permissions*: add what is missing, *Grant admin consent*."
)
_ENTERPRISE = "Entra → *Enterprise applications → the app*"
_FEDERATED = "Entra → *App registrations → the app → Certificates & secrets → Federated credentials*."
_SECRETS = "Entra → *App registrations → the app → Certificates & secrets*."
_CONSENT = (
    f"{_ENTERPRISE} *→ Permissions → Grant admin consent*; or let users consent, under *Consent and permissions*."
)
_PASSWORD = "The user sets a new password, and reconnects."  # an advice
_MFA = "The user reconnects, and passes the second factor on the way."
_REPLY = "App registrations → the app → *Authentication → Web → Redirect URIs*: exactly `https://your.site/mail/callback/ALIAS/`."

ERRORS: dict[str, tuple[str, str]] = {
    "invalid_grant": ("The grant is expired, withdrawn, or was given to another client.", ""),
    "interaction_required": ("The user must do something at the provider.", ""),
    "consent_required": ("Consent is missing, or no longer covers what is asked for.", ""),
    "login_required": ("The user must sign in at the provider.", ""),
    "account_selection_required": ("The user must choose an account at the provider.", ""),
    "invalid_client": ("Id, secret or assertion of the client is refused.", ""),
    "unauthorized_client": ("The client may not use this grant type.", ""),
    "deleted_client": ("Google: the OAuth client was deleted.", "Make a new client, and write its id and secret."),
    "disabled_client": (
        "Google: the OAuth client is disabled.",
        "Google Cloud → *Google Auth Platform → Clients*, and mails to the project's owners: they say why.",
    ),
    "redirect_uri_mismatch": (
        "The redirect URI is not among the registered ones.",
        "Register exactly `https://your.site/mail/callback/ALIAS/`, and compare `BASE_URL`.",
    ),
    "org_internal": (
        "Google: the app is internal to one organisation.",
        "Google Cloud → *Google Auth Platform → Audience*: *External*, unless only that organisation shall connect.",
    ),
    "invalid_scope": ("A scope is unknown, or not allowed to this app.", ""),
    "invalid_resource": ("The resource is unknown, or not allowed to this app.", 'Compare "SCOPES".'),
    "invalid_target": (
        "The resource is unknown, or not allowed to this app.",
        'Compare "SCOPES" and "RESOURCES".',
    ),
    "invalid_request": (
        "The request lacks a parameter or has a wrong one.",
        "Look at options that replace the provider's own; if there are none, report it.",
    ),
    "unsupported_grant_type": (
        "The endpoint knows no such grant type.",
        'Compare "TOKEN_URL"; else report it.',
    ),
    "temporarily_unavailable": ("The provider is overloaded or under maintenance.", ""),
    "server_error": ("The provider has an error of its own.", ""),
    "internal_failure": ("The provider has an error of its own.", ""),
    "slow_down": ("The provider asks for a pause.", 'If it recurs: "CALLS_PER_SECOND" of the provider.'),
    "rate_limit_exceeded": ("The provider asks for a pause.", 'If it recurs: "CALLS_PER_SECOND" of the provider.'),
}
"""By the OAuth `error`: what it means, and what to do where neither the doctor nor who acts says it."""

AADSTS: dict[int, tuple[str, str]] = {
    28000: ("Scopes of more than one resource in one token request.", ""),
    28002: ("A scope in the token request is not valid.", 'Compare "SCOPES".'),
    28003: ("The token request has an empty scope.", 'Compare "SCOPES".'),
    50000: ("Microsoft's sign-in service has an error.", "If it stays: a support ticket at Microsoft."),
    50001: ("The resource is disabled, or there is none of that name.", 'Compare "SCOPES" and "CLOUD".'),
    50011: ("The redirect URI is not registered.", f"{_REPLY} Compare `BASE_URL`."),
    50012: ("The client assertion or its certificate is refused.", f"Compare the certificate: {_SECRETS}"),
    50020: ("The account is of another tenant, and no guest of this one.", _USERS),
    50027: ("The client assertion is malformed, expired or for somebody else.", "Check this host's clock (NTP)."),
    50033: ("A passing error at Microsoft.", ""),
    50034: ("There is no such account in the tenant.", _USERS),
    50053: (
        "The account is locked, or the sign-in comes from an address of bad repute.",
        "Often it passes. Else the sign-in logs say which of the two; the user reconnects.",
    ),
    50055: ("The password has expired.", _PASSWORD),
    50057: ("The account is disabled.", "Entra → *Users → the user → Account enabled*."),
    50058: ("The user is not signed in.", ""),
    50072: ("The user must register a second factor.", _MFA),
    50074: ("A second factor is required.", _MFA),
    50076: ("A second factor is required since a policy changed, or the user moved.", _MFA),
    50078: ("The second factor was too long ago.", _MFA),
    50079: ("The user must register a second factor.", _MFA),
    50085: ("The sign-in at a social identity provider must be repeated.", ""),
    50087: ("A passing error of the second factor.", ""),
    50088: ("The limit of calls for second factors is reached.", ""),
    50089: ("The sign-in took too long, or its session was withdrawn.", ""),
    50105: (
        "The user is not assigned to the app.",
        f"{_ENTERPRISE} *→ Users and groups → Add*; or *Properties → Assignment required: No*.",
    ),
    50132: ("The session ended: the password expired or was changed.", ""),
    50133: ("The session ended: the password expired or was changed.", ""),
    50144: ("The password in the organisation's own Active Directory has expired.", _PASSWORD),
    50158: ("An external security check must be passed.", _MFA),
    50173: ("User or administrator withdrew all sessions, as after a new password.", ""),
    50194: ("An app of one tenant was used at `common`.", ""),
    50196: ("Too many equal requests in a short time.", "Nothing: only a pause ends it, and one is kept."),
    51004: ("There is no such account in the directory.", _USERS),
    53000: ("A policy demands a device that complies.", _POLICY),
    53001: ("A policy demands a device that is joined to the domain.", _POLICY),
    53002: ("A policy admits approved apps alone.", _POLICY),
    53003: ("A Conditional Access policy blocks it.", _POLICY),
    53004: ("The user may not register a second factor now, because of risk.", _SIGN_INS),
    53011: ("The user is blocked because of risk.", "Entra → *Protection → Risky users*."),
    54005: ("The code was redeemed already.", ""),
    65001: ("Neither user nor administrator has consented to this.", ""),
    65004: ("The user declined.", ""),
    65005: ("The app asks for something that its registration does not list.", _PERMISSIONS),
    70000: ("The refresh token is not valid.", ""),
    70001: ("There is no such app in the tenant, or it is disabled.", ""),
    70002: ("The client secret does not match.", f"{_SECRETS} Take its value, not its id."),
    70008: ("The grant expired or was withdrawn.", ""),
    70011: ("A scope is not valid.", ""),
    70012: ("A server's error with a personal account.", ""),
    70021: ("No federated credential matches the platform's token.", _FEDERATED),
    70043: ("Conditional Access demands a sign-in more often.", ""),
    80002: ("The organisation's own password check did not answer.", ""),
    90002: ("There is no such tenant.", ""),
    90006: ("The service is away for now.", ""),
    90012: ("The request timed out at Microsoft.", ""),
    90024: ("A passing error: too much at once.", ""),
    90033: ("Microsoft's directory is away for now.", ""),
    90036: ("Microsoft's directory has an error.", "If it stays: a support ticket at Microsoft."),
    90038: ("The tenant lies in another cloud.", ""),
    90055: ("The tenant sends too many requests.", ""),
    90090: ("A passing error of the directory.", ""),
    90091: ("A passing error of the directory.", ""),
    90092: ("An error of the directory that does not pass soon.", "If it stays: a support ticket at Microsoft."),
    90094: ("An administrator must consent.", _CONSENT),
    90095: ("An administrator must consent, and was asked to.", _CONSENT),
    90099: ("The app was not authorised in the tenant.", _CONSENT),
    500011: (
        "The resource is not known in the tenant.",
        'Compare "SCOPES" and "TENANT"; the organisation may lack Exchange Online.',
    ),
    500021: ("A restriction of tenants in the network denies the tenant.", _TENANT_LIMITS),
    500022: ("A restriction of tenants in the network denies the tenant.", _TENANT_LIMITS),
    500212: ("The user's own tenant lets nobody out to this one.", _TENANT_LIMITS),
    500213: ("This tenant lets nobody in from the user's.", _TENANT_LIMITS),
    501051: (
        "The app is not assigned to a role of the resource.",
        f"{_ENTERPRISE} *→ Users and groups*, of the resource.",
    ),
    501621: ("A passing timeout of a check of claims.", ""),
    530032: ("A security policy of the tenant blocks it.", _POLICY),
    530034: ("A delegated administrator is blocked because of risk.", _SIGN_INS),
    530035: (
        "Security defaults block it.",
        "Entra → *Overview → Properties → Manage security defaults*, and the sign-in logs.",
    ),
    650052: (
        "The organisation has no subscription for what the app needs.",
        "Microsoft 365 admin center → *Billing → Licenses*: Exchange Online for the user.",
    ),
    650057: ("The resource is not listed at the app.", _PERMISSIONS),
    700016: ("There is no such app in the tenant.", ""),
    700020: ("The grant was given for something else, and must be given anew.", ""),
    700021: ("The assertion's application is not the client.", 'Compare "CLIENT_ID".'),
    700022: ("Scopes of more than one resource in one token request.", ""),
    700023: ("The assertion's audience is not this tenant.", 'Compare "TENANT" and "CLOUD".'),
    700024: ("The assertion is not valid now.", ""),
    700025: ("A public client showed a secret.", ""),
    700027: ("The assertion's certificate is not registered.", ""),
    700030: ("The certificate's subject is not admitted.", f"Compare the certificate: {_SECRETS}"),
    700082: ("The grant was not used for 90 days.", ""),
    700084: (
        "The redirect URI was registered as a single-page one: its grants end after a day.",
        f"{_REPLY} Remove it under *Single-page application*; then the users reconnect.",
    ),
    700211: ("No federated credential has the token's issuer.", ""),
    700212: ("No federated credential has the token's audience.", ""),
    700213: ("No federated credential has the token's subject.", ""),
    1002012: ("An app asked for single scopes.", 'Write "SCOPES" that end in `/.default`, or none.'),
    7000112: ("The app is disabled.", ""),
    7000215: ("The client secret is wrong. Often its id was taken for its value.", _SECRETS),
    7000216: ("No secret, certificate or assertion came.", 'Write "CLIENT_SECRET" or another proof.'),
    7000218: ("No secret or assertion came.", ""),
    7000222: ("The client secret has expired.", _SECRETS),
    7000229: (
        "The app has no service principal in the tenant.",
        f"Its administrator consents once, by which it comes under {_ENTERPRISE}.",
    ),
    9001023: ("A grant type that `common` and `consumers` do not serve.", ""),
    9002331: ("The app is for personal accounts alone.", ""),
    9002332: ("The app is for work and school accounts alone.", ""),
}
"""By Microsoft's number."""

OTHERS: dict[str, dict[str, tuple[str, str]]] = {
    "google": {
        "invalid_rapt": (
            "The organisation demands a sign-in more often (session control).",
            (
                "The user reconnects. The administrator may trust the app: Admin console → *Security → Access and data "
                "control → Google Cloud session control → Exempt trusted apps*."
            ),
        ),
        "admin_policy_enforced": (
            "The organisation does not admit the app or its scope.",
            "Admin console → *Security → Access and data control → API controls → Manage app access*: trust the client id.",
        ),
    },
    "google_app": {
        "invalid_grant_signature": ("The service account or its key was deleted.", ""),
        "invalid_grant_clock": ("The assertion is not valid now.", ""),
        "invalid_grant_mailbox": (
            "There is no such mailbox in the domain.",
            "Compare the address; Admin console → *Directory → Users*.",
        ),
        "access_denied": (
            "Domain-wide delegation does not cover it.",
            (
                "Admin console → *Security → Access and data control → API controls → Domain-wide delegation*: client id and "
                "scope."
            ),
        ),
        "admin_policy_enforced": (
            "The organisation does not admit the app or its scope.",
            "Admin console → *Security → Access and data control → API controls → Manage app access*: trust the client id.",
        ),
    },
    "yahoo": {
        "invalid_refresh_token": ("The refresh token is not valid, as after a new password.", ""),
        "token_expired": ("The refresh token has expired.", ""),
        "account_not_authorized": ("The account no longer lets the app in.", ""),
        "invalid_client_secret": (
            "The client secret is wrong.",
            "Yahoo Developer → *My Apps → the app*: compare it.",
        ),
        "invalid_callback": (
            "The redirect URI is not the registered one.",
            "Yahoo Developer → *My Apps → the app → Redirect URI(s)*: exactly `https://your.site/mail/callback/ALIAS/`.",
        ),
        "error_handling_request": ("Yahoo has an error of its own.", ""),
    },
    "zoho": {
        "invalid_code": ("The refresh token is not valid.", ""),
    },
}
"""By family of errors and code."""
